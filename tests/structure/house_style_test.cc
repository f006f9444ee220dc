// Checks of house style that a compiler does not make: file sizes, what a header begins with, and that
// nothing in the tree knows the machine it was written on.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <regex>
#include <string>
#include <vector>

#include "tests/structure/source_tree.h"

namespace deciban {
namespace {

using ::testing::IsEmpty;

constexpr std::size_t kMaxLines = 600;

// Absolute paths into somebody's folders.  Spelled in pieces, so that this file passes its own check.
const std::regex& machine_path() {
  static const std::regex pattern(
      "(^|[^A-Za-z0-9_./~}-])/("
      "work"
      "|"
      "home"
      "|"
      "root"
      "|"
      "Users"
      ")/");
  return pattern;
}

TEST(HouseStyle, FilesAreShort) {
  std::vector<std::string> violations;
  for (const SourceFile& file :
       source_files({".h", ".cc", ".c", ".cu", ".cuh", ".inc", ".py", ".sh", ".cmake", "CMakeLists.txt"})) {
    if (file.lines.size() > kMaxLines) {
      violations.push_back(file.path + ": " + std::to_string(file.lines.size()) + " lines, the ceiling is " +
                           std::to_string(kMaxLines));
    }
  }
  EXPECT_THAT(violations, IsEmpty());
}

TEST(HouseStyle, HeadersSayWhatTheyAreForAndAreGuarded) {
  std::vector<std::string> violations;
  const std::vector<SourceFile> headers = source_files({".h", ".cuh"});
  for (const SourceFile& file : headers) {
    const bool described =
        !file.lines.empty() && (file.lines[0].starts_with("// ") || file.lines[0].starts_with("/*"));
    if (!described)
      violations.push_back(file.at(0) + ": a header begins with a comment that says what it is for");
    const bool guarded = std::any_of(file.lines.begin(), file.lines.end(), [](const std::string& line) {
      return line.starts_with("#pragma once") || line.starts_with("#ifndef DECIBAN_");
    });
    if (!guarded) violations.push_back(file.at(0) + ": no #pragma once");
  }
  EXPECT_THAT(violations, IsEmpty());
  EXPECT_FALSE(headers.empty());
}

// Two types of one name in one namespace are two definitions of one thing: the linker keeps either's members.
TEST(HouseStyle, TypesHaveTheirNamesAlone) {
  static const std::regex definition("^(struct|class|enum class) ([A-Z][A-Za-z0-9]*)[^;]*\\{?$");
  std::map<std::string, std::string> places;
  std::vector<std::string> violations;
  for (const SourceFile& file : source_files({".h"})) {
    // Modules that are loaded, not linked, and what is compiled once an instruction set, keep theirs hidden.
    if (file.path.starts_with("engine/cuda/") || file.path.starts_with("plugins/") ||
        file.path.starts_with("tests/"))
      continue;
    const bool plain =
        std::find(file.lines.begin(), file.lines.end(), "namespace deciban {") != file.lines.end();
    if (!plain) continue;
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      std::string line = file.lines[i];
      if (const std::size_t api = line.find("DECIBAN_API "); api != std::string::npos) line.erase(api, 12);
      std::smatch match;
      if (!std::regex_match(line, match, definition)) continue;
      const auto [first, is_new] = places.try_emplace(match[2], file.at(i));
      if (!is_new) violations.push_back(match[2].str() + ": " + first->second + " and " + file.at(i));
    }
  }
  EXPECT_THAT(violations, IsEmpty());
  EXPECT_GT(places.size(), 100u);
}

TEST(HouseStyle, NoPathsOfOneMachine) {
  std::vector<std::string> violations;
  for (const SourceFile& file :
       source_files({".h", ".cc", ".c", ".cu", ".cuh", ".inc", ".py", ".sh", ".cmake", ".txt", ".json", ".md",
                     ".ci/run", ".yml", ".gitignore", ".clang-format"})) {
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      if (std::regex_search(file.lines[i], machine_path()))
        violations.push_back(file.at(i) + ": " + file.lines[i]);
    }
  }
  EXPECT_THAT(violations, IsEmpty());
}

TEST(HouseStyle, RecognisesPathsOfOneMachine) {
  const std::string home = std::string("/") + "home/";
  EXPECT_TRUE(std::regex_search("open(\"" + home + "me/model.pth\")", machine_path()));
  EXPECT_TRUE(std::regex_search(home + "me", machine_path()));
  EXPECT_FALSE(std::regex_search("https://example.org" + home + "page", machine_path()));
  EXPECT_FALSE(std::regex_search("the " + std::string("work") + "/run ratio", machine_path()));
}

}  // namespace
}  // namespace deciban

// What is for one processor architecture stays in files whose names say so, and the cross build knows all
// libraries.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "tests/scratch_directory.h"
#include "tests/structure/source_tree.h"

namespace deciban {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;

struct Owned {
  std::regex words, files;  // what only these files may hold
};

TEST(Architecture, IntrinsicsStayInTheirFiles) {
  const Owned table[] = {
      {std::regex("immintrin\\.h|\\b_mm[0-9]*_|\\b__m(128|256|512)|__builtin_cpu_supports"),
       std::regex(".*_x86[.-].*")},
      {std::regex("arm_neon\\.h|\\bv[a-z0-9]+q?_[fsu](16|32)\\(|getauxval|HWCAP|float32x4_t"),
       std::regex(".*_(neon|aarch64)[.-].*")},
  };
  std::vector<std::string> violations;
  std::size_t owners = 0;
  for (const SourceFile& file : source_files({".h", ".cc", ".c"})) {
    if (file.path.starts_with("tests/")) continue;
    for (const Owned& owned : table) {
      if (std::regex_match(file.path, owned.files)) {
        ++owners;
        continue;
      }
      for (std::size_t i = 0; i < file.lines.size(); ++i) {
        if (std::regex_search(file.lines[i], owned.words))
          violations.push_back(file.at(i) + ": " + file.lines[i]);
      }
    }
  }
  EXPECT_THAT(violations, IsEmpty());
  EXPECT_GE(owners, 8u);
}

// The words of packages=( … ) in a script.
std::set<std::string> packages_of(const std::string& script) {
  std::set<std::string> words;
  bool inside = false;
  for (const std::string& line : read_source(source_dir() / script, script).lines) {
    if (line == "packages=(") inside = true;
    if (line == ")") inside = false;
    static const std::regex word("[a-z0-9][a-z0-9.+-]+");
    if (!inside || line == "packages=(") continue;
    words.insert(std::sregex_token_iterator(line.begin(), line.end(), word), std::sregex_token_iterator());
  }
  return words;
}

TEST(Architecture, TheCrossBuildHasTheLibrariesOfAnyBuild) {
  const std::set<std::string> cross = packages_of("scripts/aarch64.sh");
  std::size_t libraries = 0;
  for (const std::string& package : packages_of("scripts/setup.sh")) {
    if (!package.ends_with("-dev") || package == "libbenchmark-dev") continue;  // no microbenchmarks there
    ++libraries;
    EXPECT_THAT(cross, Contains(package));
  }
  EXPECT_GT(libraries, 15u);
}

int toolchain(const std::filesystem::path& sysroot) {
  const std::string command = "cmake '-DDECIBAN_SYSROOT=" + sysroot.string() + "' -P '" +
                              (source_dir() / "cmake/aarch64-linux-gnu.cmake").string() + "' >/dev/null 2>&1";
  return std::system(command.c_str());
}

TEST(Architecture, TheToolchainFileIsReadAndMissesItsSysroot) {
  if (std::system("cmake --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "no cmake";
  const ScratchDirectory folder;
  EXPECT_NE(toolchain(folder.path() / "missing"), 0);
  std::filesystem::create_directories(folder.path() / "usr/include");
  EXPECT_EQ(toolchain(folder.path()), 0);
}

}  // namespace
}  // namespace deciban

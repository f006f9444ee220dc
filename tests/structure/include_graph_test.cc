// Checks that every `#include "…"` follows the arrows of docs/design.md: which folder may know which.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "tests/structure/source_tree.h"

namespace deciban {
namespace {

using ::testing::IsEmpty;

// What a folder may include besides itself: whole folders ("engine/") or single headers ("engine/lm.h").
struct Arrow {
  std::string_view folder;
  std::vector<std::string_view> may_include;
};

const std::vector<Arrow>& arrows() {
  static const std::vector<Arrow> table = {
      {"engine/", {}},
      {"datasets/", {}},
      {"reports/", {}},
      {"evals/", {"engine/export.h", "engine/lm.h", "datasets/", "reports/"}},
      {"bench/", {"engine/", "datasets/paper.h", "reports/"}},
      {"plugins/",
       {"engine/export.h", "engine/plugin_api.h", "engine/lm.h", "engine/checkpoint.h", "engine/tokenizer.h",
        "engine/ops.h", "engine/packer.h", "engine/device.h", "engine/causal_convolution.h",
        "engine/model_info_json.h"}},
      {"cli/", {"engine/", "datasets/", "reports/", "evals/", "bench/"}},
      {"scripts/", {"engine/"}},
      {"tests/", {"engine/", "datasets/", "reports/", "evals/", "bench/", "cli/", "plugins/"}},
  };
  return table;
}

// Pairs that must not meet although their folder's arrow would allow it.
struct Barrier {
  std::regex from;
  std::string_view to;
  std::string_view why;
};

const std::vector<Barrier>& barriers() {
  static const std::vector<Barrier> table = {
      {std::regex("engine/rwkv.*"), "engine/cpu/", "a model is written in engine/ops.h alone"},
      {std::regex("engine/rwkv.*"), "engine/cuda/", "a model is written in engine/ops.h alone"},
      {std::regex("engine/cpu/.*"), "engine/cuda/", "backends do not know each other"},
      {std::regex("engine/cuda/.*"), "engine/cpu/", "backends do not know each other"},
  };
  return table;
}

// Headers that the build generates.
bool generated(std::string_view header) { return header == "deciban_version.h"; }

// Empty if `from` may include `to`, else the reason why not.
std::string objection(const std::string& from, const std::string& to) {
  if (generated(to)) return {};
  for (const Barrier& barrier : barriers()) {
    if (to.starts_with(barrier.to) && std::regex_match(from, barrier.from)) return std::string(barrier.why);
  }
  for (const Arrow& arrow : arrows()) {
    if (!from.starts_with(arrow.folder)) continue;
    if (to.starts_with(arrow.folder)) return {};
    for (std::string_view allowed : arrow.may_include) {
      if (allowed.ends_with('/') ? to.starts_with(allowed) : to == allowed) return {};
    }
    if (to.find('/') == std::string::npos)
      return "our headers are included by their path from the project's root";
    return std::string(arrow.folder) + " may not include it";
  }
  return "its folder is not in the table of arrows";
}

TEST(IncludeGraph, FollowsTheArrows) {
  static const std::regex include("^\\s*#\\s*include\\s*\"([^\"]+)\".*");
  std::vector<std::string> violations;
  std::size_t includes = 0;
  for (const SourceFile& file : source_files({".h", ".cc", ".c", ".cu", ".cuh", ".inc"})) {
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      std::smatch match;
      if (!std::regex_match(file.lines[i], match, include)) continue;
      ++includes;
      const std::string reason = objection(file.path, match[1]);
      if (!reason.empty())
        violations.push_back(file.at(i) + ": includes \"" + match[1].str() + "\": " + reason);
    }
  }
  EXPECT_THAT(violations, IsEmpty());
  EXPECT_GT(includes, 10u) << "the walk found almost no includes: is DECIBAN_SOURCE_DIR right?";
}

// The table itself: each kind of forbidden arrow is recognised, and each allowed one passes.
// Then a header that forgets an include of its own fails the build (cmake/HeaderTest.cmake sees to those
// without a .cc).
TEST(IncludeGraph, ASourceIncludesItsOwnHeaderFirst) {
  int pairs = 0;
  std::vector<std::string> others;
  for (const SourceFile& file : source_files({".cc"})) {
    const std::string header = file.path.substr(0, file.path.size() - 2) + "h";
    if (!std::filesystem::exists(source_dir() / header)) continue;
    ++pairs;
    const auto first = std::find_if(file.lines.begin(), file.lines.end(),
                                    [](const std::string& line) { return line.starts_with("#include"); });
    if (first == file.lines.end() || !first->starts_with("#include \"" + header + "\""))
      others.push_back(file.path);
  }
  EXPECT_GT(pairs, 100);
  EXPECT_THAT(others, IsEmpty()) << "the first include must be the file's own header";
}

TEST(IncludeGraph, ObjectsToEveryForbiddenArrow) {
  const std::vector<std::pair<std::string, std::string>> forbidden = {
      {"engine/lm.h", "reports/record.h"},
      {"engine/rwkv.cc", "datasets/corpus.h"},
      {"engine/rwkv7.cc", "engine/cpu/kernels.h"},
      {"engine/rwkv7.cc", "engine/cuda/load.h"},
      {"engine/cpu/gemm.cc", "engine/cuda/load.h"},
      {"engine/cuda/load.cc", "engine/cpu/gemm.h"},
      {"datasets/corpus.cc", "engine/checkpoint.h"},
      {"datasets/corpus.cc", "evals/task.h"},
      {"reports/table.cc", "engine/lm.h"},
      {"reports/record.cc", "datasets/corpus.h"},
      {"evals/run.cc", "engine/ops.h"},
      {"evals/run.cc", "cli/progress.h"},
      {"bench/scaling.cc", "evals/run.h"},
      {"plugins/compressor.cc", "datasets/corpus.h"},
      {"plugins/transformer/net.cc", "engine/rwkv.h"},
      {"plugins/transformer/net.cc", "engine/cpu/cpu_ops.h"},
      {"reports/table.cc", "record.h"},
      {"vendor/x.cc", "engine/lm.h"}};
  for (const auto& [from, to] : forbidden) EXPECT_NE(objection(from, to), "") << from << " -> " << to;
}

TEST(IncludeGraph, AllowsTheArrowsOfTheDesign) {
  const std::vector<std::pair<std::string, std::string>> allowed = {
      {"engine/rwkv7.cc", "engine/ops.h"},
      {"engine/cpu/ops.cc", "engine/ops.h"},
      {"evals/run.cc", "engine/lm.h"},
      {"evals/run.cc", "datasets/corpus.h"},
      {"evals/run.cc", "reports/record.h"},
      {"bench/scaling.cc", "engine/lm.h"},
      {"cli/main.cc", "evals/run.h"},
      {"tests/cli/main_test.cc", "cli/main.h"},
      {"plugins/uniform.c", "engine/plugin_api.h"},
      {"cli/version.cc", "deciban_version.h"}};
  for (const auto& [from, to] : allowed) EXPECT_EQ(objection(from, to), "") << from << " -> " << to;
}

}  // namespace
}  // namespace deciban

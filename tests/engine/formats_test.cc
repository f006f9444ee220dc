// One model in every file format gives one set of log-probabilities (the developers' shared data;
// fp16-representable weights, so that no conversion loses anything).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/engine/scoring.h"

namespace deciban {
namespace {

class Formats : public testing::TestWithParam<std::string> {};

TEST_P(Formats, EveryFileGivesTheExpectedLogProbabilities) {
  const auto directory = shared("golden/rwkv/formats/" + GetParam());
  DECIBAN_NEEDS_SHARED("golden/rwkv/formats/" + GetParam());
  const auto expected = read_json(directory / "expected.json");
  const auto tokens = expected["tokens"].get<std::vector<Token>>();
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (entry.path().extension() == ".json") continue;
    // The one file whose values were rounded once more has log-probabilities of its own.
    const bool rounded = entry.path().filename() == "fla-bf16.safetensors";
    const auto logprobs = expected[rounded ? "logprob_next_bf16" : "logprob_next"].get<std::vector<double>>();
    const auto model = open_golden(entry.path(), {.mode = "f32"});
    const Collected got = score(*model, {{.tokens = tokens}});
    ASSERT_TRUE(got.failures.empty()) << entry.path();
    double worst = 0;
    for (std::size_t i = 0; i < logprobs.size(); ++i) {
      worst = std::max(worst, std::abs(got.scores.at(0)[i].logprob - logprobs[i]));
    }
    EXPECT_LE(worst, 3e-4) << entry.path();
    ++files;
  }
  EXPECT_GE(files, 4u);
}

INSTANTIATE_TEST_SUITE_P(All, Formats, testing::Values("rwkv4", "rwkv5.2", "rwkv7"), [](const auto& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
});

}  // namespace
}  // namespace deciban

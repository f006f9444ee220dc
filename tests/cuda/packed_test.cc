// Weights of four and eight bits in groups on a CUDA device: what `deciban convert` wrote is what the device
// makes of the same matrices itself, and few rows are multiplied as many are.
#include <cstring>
#include <random>

#include "engine/convert.h"
#include "tests/cuda/card.h"
#include "tests/scratch_directory.h"

namespace deciban {
namespace {

std::filesystem::path demo(const std::string& name) {
  return source_dir() / "datasets/demo" / name / "model.pth";
}

std::vector<Token> some_tokens(std::size_t count) {
  std::mt19937 random(11);
  std::vector<Token> tokens(count);
  for (Token& token : tokens) token = static_cast<Token>(random() % 256);
  return tokens;
}

class CudaPacked : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { DECIBAN_NEEDS_CARD(); }
};

// The device's search for scales must choose what the CPU's chose for the file, to the bit.
TEST_P(CudaPacked, AConvertedFileIsWhatTheDeviceMakesItself) {
  const ScratchDirectory folder;
  const auto tokens = some_tokens(700);
  for (const char* name : {"rwkv7", "rwkv4"}) {
    const auto converted = folder.path() / (std::string(name) + ".safetensors");
    convert_rwkv(demo(name), GetParam(), converted);
    const CardOpening how{.mode = GetParam(), .deterministic = true};
    const auto own = open_on_card(demo(name), how), file = open_on_card(converted, how);
    const CardOpening automatic{.mode = "auto", .deterministic = true};
    EXPECT_EQ(open_on_card(converted, automatic)->info().format, GetParam());
    const auto a = score(*own, {{.tokens = tokens}}).scores.at(0),
               b = score(*file, {{.tokens = tokens}}).scores.at(0);
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i)
      ASSERT_EQ(a[i].logprob, b[i].logprob) << name << ", token " << i;
  }
}

// As the CPU computes the same weights, but for activations in bf16.
TEST_P(CudaPacked, TheCpuComputesAlmostTheSame) {
  const auto tokens = some_tokens(700);
  const auto cpu = open_golden(demo("rwkv7"), {.mode = GetParam()});
  const auto card = open_on_card(demo("rwkv7"), {.mode = GetParam()});
  const auto a = score(*cpu, {{.tokens = tokens}}).scores.at(0),
             b = score(*card, {{.tokens = tokens}}).scores.at(0);
  EXPECT_LE(mean_difference(a, b), 0.02);
}

// 1 to 16 rows have kernels of their own, which read the packed weights; 17 and more do not.
TEST_P(CudaPacked, StepsAreWhatScoringIs) {
  const std::string text = "The quick brown fox jumps over the lazy dog, and then it does so again.";
  const std::vector<Token> tokens(text.begin(), text.begin() + 64);
  for (const std::size_t n : {1, 3, 8, 9, 16, 17}) {
    const auto model = open_on_card(demo("rwkv7"), {.mode = GetParam()});
    const auto want = score(*model, {{.tokens = tokens}}).scores.at(0);
    const auto batch = model->start_batch(n);
    double sum = 0;
    for (std::size_t t = 0; t + 1 < tokens.size(); ++t) {
      const LogitRows rows = batch->step(std::vector<Token>(n, tokens[t]));
      for (std::size_t i = 1; i < n; ++i)
        ASSERT_EQ(std::memcmp(rows.row(i).data(), rows.row(0).data(), rows.columns * sizeof(float)), 0) << i;
      double total = 0;
      const auto row = rows.row(0);
      for (const float logit : row) total += std::exp(static_cast<double>(logit) - row[0]);
      sum +=
          std::abs(row[static_cast<std::size_t>(tokens[t + 1])] - row[0] - std::log(total) - want[t].logprob);
    }
    EXPECT_LE(sum / 63, 1e-2) << n << " rows";
  }
}

INSTANTIATE_TEST_SUITE_P(All, CudaPacked, testing::Values("int8", "int4", "int4g64"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace deciban

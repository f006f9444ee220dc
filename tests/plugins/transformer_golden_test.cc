// Every family against Hugging Face transformers: tests/golden/transformers holds tiny random models as it
// saved them and the log-probabilities it gave (scripts/reference/transformers_golden.py).
#include <gtest/gtest.h>

#include <cmath>
#include <iostream>
#include <string>

#include "tests/plugins/transformer_scoring.h"

namespace deciban::transformer {
namespace {

const std::string kModels[] = {
    "gpt2",         "gpt2-variant",  "neox",         "neox-sequential",   "opt",
    "opt-350m",     "bloom",         "llama",        "llama-gqa-sharded", "llama-biases",
    "llama-linear", "llama-dynamic", "llama-llama3", "llama-yarn",        "mistral-window",
    "qwen2",        "qwen2-windows", "qwen3",
};

class Golden : public testing::TestWithParam<std::string> {};

TEST_P(Golden, LogProbabilitiesAreThoseOfTransformers) {
  const auto expected = read_json(golden("transformers/" + GetParam() + "/expected.json"));
  const auto tokens = expected["tokens"].get<std::vector<Token>>();
  const auto logprobs = expected["logprobs"].get<std::vector<double>>();
  const auto exact = expected["logprobs64"].get<std::vector<double>>();
  const auto model = open_golden(GetParam());
  const auto scores = score_one(*model, tokens);
  ASSERT_EQ(scores.size(), logprobs.size());
  double worst = 0, worst_exact = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    worst = std::max(worst, std::abs(scores[i].logprob - logprobs[i]));
    worst_exact = std::max(worst_exact, std::abs(scores[i].logprob - exact[i]));
  }
  EXPECT_LE(worst, 3e-4);
  EXPECT_LE(worst_exact, 3e-4);
  std::cout << GetParam() << ": at most " << worst << " from float32, " << worst_exact << " from float64\n";
}

// The same bits whatever is computed together: chunks of any size, threads, single steps, a forked cache.
TEST_P(Golden, ChunksStepsAndForksChangeNothing) {
  const auto tokens =
      read_json(golden("transformers/" + GetParam() + "/expected.json"))["tokens"].get<std::vector<Token>>();
  const auto model = open_golden(GetParam(), {.chunk_rows = 512});
  const auto whole = score_one(*model, tokens);
  for (const std::size_t rows : {1, 7, 64, 100}) {
    const auto other = open_golden(GetParam(), {.threads = rows == 7 ? 3 : 1, .chunk_rows = rows});
    EXPECT_TRUE(same_bits(whole, score_one(*other, tokens))) << rows << " rows";
  }
  const auto batch = model->start_batch(2);
  constexpr std::size_t kFork = 70;
  for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
    const Token other = i < kFork ? 5 : tokens[i];
    if (i == kFork) batch->copy(0, 1);
    const std::vector<Token> step{tokens[i], other};
    const LogitRows rows = batch->step(step);
    for (std::size_t s = 0; s < (i < kFork ? 1u : 2u); ++s) {
      const TokenScore best = best_of(rows.row(s));
      ASSERT_EQ(best.best, whole[i].best) << i;
      const float off = rows.row(s)[static_cast<std::size_t>(tokens[i + 1])] -
                        rows.row(s)[static_cast<std::size_t>(best.best)] + best.best_logprob -
                        whole[i].logprob;
      ASSERT_LE(std::abs(off), 5e-6) << "token " << i << " of sequence " << s;
    }
  }
}

// Narrow modes stay close; in bf16a keys, values and weights of attention are rounded too.
TEST_P(Golden, NarrowModesStayClose) {
  const auto expected = read_json(golden("transformers/" + GetParam() + "/expected.json"));
  const auto tokens = expected["tokens"].get<std::vector<Token>>();
  const auto exact = score_one(*open_golden(GetParam()), tokens);
  const bool rounds = GetParam() != "opt-350m";
  for (const std::string mode : {"bf16", "f16", rounds ? "bf16a" : "bf16"}) {
    const auto model = open_golden(GetParam(), {.mode = mode});
    EXPECT_EQ(model->info().format, mode);
    const auto scores = score_one(*model, tokens);
    double off = 0;
    for (std::size_t i = 0; i < scores.size(); ++i) off += std::abs(scores[i].logprob - exact[i].logprob);
    EXPECT_LE(off / static_cast<double>(scores.size()), mode == "bf16a" ? 0.15 : 0.05) << mode;
  }
}

INSTANTIATE_TEST_SUITE_P(Every, Golden, testing::ValuesIn(kModels), [](const auto& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace deciban::transformer

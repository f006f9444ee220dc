// Every family against Hugging Face transformers: tests/golden/transformers holds tiny random models as it
// saved them and the log-probabilities it gave (scripts/reference/transformers_golden.py).
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
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

std::vector<Token> tokens_of(const std::string& name) {
  return read_json(golden("transformers/" + name + "/expected.json"))["tokens"].get<std::vector<Token>>();
}

// Models that norm behind their layers, or project their embedding, keep f32 inputs.
bool rounds_inputs(const std::string& name) { return name != "opt-350m"; }

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

// The same bits whatever is computed together: chunks of any size, threads, shared beginnings.
TEST_P(Golden, ChunksChangeNothing) {
  const auto tokens = tokens_of(GetParam());
  const auto whole = score_one(*open_golden(GetParam(), {.chunk_rows = 512}), tokens);
  for (const std::size_t rows : {1, 7, 64, 100}) {
    const auto other = open_golden(GetParam(), {.threads = rows == 7 ? 3 : 1, .chunk_rows = rows});
    EXPECT_TRUE(same_bits(whole, score_one(*other, tokens))) << rows << " rows";
  }
}

// Single steps give the bits of the logits that reading all at once gives, in every mode; so does a fork.
TEST_P(Golden, StepsHaveTheBitsOfReadingAtOnce) {
  const auto tokens = tokens_of(GetParam());
  for (const std::string mode : {"f32", "bf16", "f16", "int8", "bf16a", "int8a"}) {
    if (mode == "bf16a" && !rounds_inputs(GetParam())) continue;
    const auto model = open_golden(GetParam(), {.mode = mode, .threads = 2});
    const Collected whole = score(*model, {{.tokens = tokens}}, true);
    const std::vector<float>& logits = whole.logits.at(0);
    const auto batch = model->start_batch(2);
    constexpr std::size_t kFork = 70;
    for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
      if (i == kFork) batch->copy(0, 1);
      const LogitRows rows = batch->step(std::vector<Token>{tokens[i], i < kFork ? Token{5} : tokens[i]});
      ASSERT_EQ(logits.size(), (tokens.size() - 1) * rows.columns);
      for (std::size_t s = 0; s < (i < kFork ? 1u : 2u); ++s) {
        ASSERT_EQ(
            std::memcmp(rows.row(s).data(), logits.data() + i * rows.columns, rows.columns * sizeof(float)),
            0)
            << mode << ", token " << i << " of sequence " << s;
        // The scores are made of the same logits, with sums in another order.
        const TokenScore best = best_of(rows.row(s)), &at_once = whole.scores.at(0)[i];
        ASSERT_EQ(best.best, at_once.best) << mode << ", token " << i;
        ASSERT_NEAR(best.best_logprob, at_once.best_logprob, 4e-6) << mode << ", token " << i;
      }
    }
  }
}

// Narrow modes stay close; in bf16a keys, values and weights of attention are rounded too.
TEST_P(Golden, NarrowModesStayClose) {
  const auto expected = read_json(golden("transformers/" + GetParam() + "/expected.json"));
  const auto tokens = expected["tokens"].get<std::vector<Token>>();
  const auto exact = score_one(*open_golden(GetParam()), tokens);
  for (const std::string mode : {"bf16", "f16", rounds_inputs(GetParam()) ? "bf16a" : "bf16"}) {
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

// The engine against float64 log-probabilities and states of random models of every version, on every kernel
// table.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/engine/scoring.h"

namespace deciban {
namespace {

struct Golden {
  std::string directory;
  bool shared = false;  // in the developers' shared data, not in the project
};

std::filesystem::path directory(const Golden& g) {
  return g.shared ? shared("golden/rwkv/" + g.directory) : golden("rwkv/" + g.directory);
}

std::vector<std::pair<Golden, std::string>> golden_on_every_isa() {
  std::vector<std::pair<Golden, std::string>> all;
  for (const std::string& isa : supported_isas()) {
    for (const char* name : {"rwkv4-small", "extra-rwkv5.0-small", "extra-rwkv5.1-small", "rwkv5.2-small",
                             "rwkv6-small", "rwkv7-small"}) {
      all.push_back({{name, false}, isa});
    }
    for (const char* name : {"rwkv4-bigvocab", "rwkv7-bigvocab"}) all.push_back({{name, true}, isa});
  }
  return all;
}

class RwkvGolden : public testing::TestWithParam<std::pair<Golden, std::string>> {
 protected:
  void SetUp() override {
    const auto& [g, isa] = GetParam();
    if (g.shared) DECIBAN_NEEDS_SHARED("golden/rwkv/" + g.directory);
    expected_ = read_json(directory(g) / "expected.json");
    tokens_ = expected_["tokens"].get<std::vector<Token>>();
    logprobs_ = expected_["logprob_next"].get<std::vector<double>>();
  }
  std::unique_ptr<LanguageModel> open(const std::string& mode = "f32") const {
    return open_golden(directory(GetParam().first) / "model.pth", {.isa = GetParam().second, .mode = mode});
  }
  nlohmann::json expected_;
  std::vector<Token> tokens_;
  std::vector<double> logprobs_;
};

// fp32 engines of the field stay within 6e-5 of float64 on these models; 3e-4 and 3e-5 leave room for another
// order of summation and catch every systematic error.  Weights stored as bf16 lose nothing in f32.
TEST_P(RwkvGolden, LogProbabilitiesAreThoseOfFloat64) {
  const auto model = open();
  const Collected got = score(*model, {{.tokens = tokens_}});
  ASSERT_TRUE(got.failures.empty()) << got.failures.begin()->second;
  const std::vector<TokenScore>& scores = got.scores.at(0);
  ASSERT_EQ(scores.size(), logprobs_.size());
  double worst = 0, sum = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const double difference = std::abs(scores[i].logprob - logprobs_[i]);
    worst = std::max(worst, difference);
    sum += difference;
  }
  EXPECT_LE(worst, 3e-4);
  EXPECT_LE(sum / static_cast<double>(scores.size()), 3e-5);
  const auto argmax = expected_.value("argmax_next", std::vector<Token>{});  // 5.0 and 5.1 come without
  for (std::size_t i = 0; i < argmax.size(); ++i) EXPECT_EQ(scores[i].best, argmax[i]) << "position " << i;
  RecordProperty("worst", std::to_string(worst));
}

TEST_P(RwkvGolden, TheFinalStateAndLogitsAreThoseOfFloat64) {
  const auto model = open();
  const auto batch = model->start_batch(1);
  LogitRows last;
  for (const Token token : tokens_) last = batch->step(std::span(&token, 1));
  const std::vector<double> logits = read_npy(directory(GetParam().first) / "final_logits.npy");
  ASSERT_EQ(last.columns, logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i)
    ASSERT_NEAR(last.row(0)[i], logits[i], 3e-4) << "logit " << i;

  std::vector<float> state = dynamic_cast<StatefulBatch&>(*batch).state(0);
  std::vector<double> want = read_npy(directory(GetParam().first) / "final_state.npy");
  ASSERT_EQ(state.size(), want.size());
  const ModelInfo& info = model->info();
  const std::size_t layer = state.size() / info.layers, c = info.width;
  const std::size_t middle = layer - 2 * c;
  for (std::size_t l = 0; l < info.layers; ++l) {
    std::vector<std::pair<std::size_t, std::size_t>> parts = {{0, c}, {c, middle}, {c + middle, c}};
    if (info.family == "rwkv4") {
      // aa and bb mean a * e^pp: both sides are brought to the larger of the two exponents.
      const std::size_t a = middle / 3, aa = l * layer + c, bb = aa + a, pp = bb + a;
      for (std::size_t i = 0; i < a; ++i) {
        EXPECT_NEAR(state[pp + i], want[pp + i], 1e-3) << "pp of layer " << l;
        const double common = std::max<double>(state[pp + i], want[pp + i]);
        const double ours = std::exp(state[pp + i] - common), theirs = std::exp(want[pp + i] - common);
        state[aa + i] = static_cast<float>(state[aa + i] * ours);
        state[bb + i] = static_cast<float>(state[bb + i] * ours);
        want[aa + i] *= theirs;
        want[bb + i] *= theirs;
      }
      parts = {{0, c}, {c, a}, {c + a, a}, {c + middle, c}};
    }
    for (const auto& [first, count] : parts) {
      double scale = 0;
      for (std::size_t i = 0; i < count; ++i) scale = std::max(scale, std::abs(want[l * layer + first + i]));
      for (std::size_t i = 0; i < count; ++i) {
        ASSERT_NEAR(state[l * layer + first + i], want[l * layer + first + i], 1e-4 * scale)
            << "layer " << l << ", element " << first + i;
      }
    }
  }
}

// Weights rounded to bf16 and f16 move a random model's log-probabilities little; rounding activations to
// bf16 too moves them by about as much as PyTorch's bf16 does (0.015–0.03 in the mean on these models, which
// are far more sensitive than trained ones).
TEST_P(RwkvGolden, NarrowModesStayClose) {
  const struct {
    const char* mode;
    double mean;
  } bounds[] = {{"f16", 0.004}, {"bf16", 0.02}, {"bf16a", 0.02}};
  for (const auto& [mode, mean] : bounds) {
    const auto model = open(mode);
    const Collected got = score(*model, {{.tokens = tokens_}});
    ASSERT_TRUE(got.failures.empty()) << got.failures.begin()->second;
    double sum = 0;
    for (std::size_t i = 0; i < logprobs_.size(); ++i)
      sum += std::abs(got.scores.at(0)[i].logprob - logprobs_[i]);
    EXPECT_LE(sum / static_cast<double>(logprobs_.size()), mean) << mode;
  }
}

INSTANTIATE_TEST_SUITE_P(All, RwkvGolden, testing::ValuesIn(golden_on_every_isa()), [](const auto& info) {
  std::string name = info.param.first.directory + "_" + info.param.second;
  std::replace_if(
      name.begin(), name.end(), [](char ch) { return !std::isalnum(static_cast<unsigned char>(ch)); }, '_');
  return name;
});

}  // namespace
}  // namespace deciban

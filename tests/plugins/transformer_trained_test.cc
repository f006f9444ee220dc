// The transformer against PyTorch on really trained models and real texts (the developers' shared data).
#include <gtest/gtest.h>

#include <cmath>

#include "tests/plugins/transformer_scoring.h"

namespace deciban::transformer {
namespace {

double nll(const std::vector<TokenScore>& scores) {
  double sum = 0;
  for (const TokenScore& s : scores) sum -= s.logprob;
  return sum;
}

class SlowTrainedTransformer : public testing::TestWithParam<std::string> {};

// One pass over the whole document, four times the training length, and chunks of 1024 with a fresh context
// each.
TEST_P(SlowTrainedTransformer, NegativeLogLikelihoodsAreThoseOfPyTorch) {
  DECIBAN_NEEDS_SHARED("models/" + GetParam() + "/model.safetensors");
  const auto reference = read_json(shared("models/" + GetParam() + "/reference.json"));
  const auto model = open_directory(shared("models/" + GetParam()), {.mode = "bf16", .threads = 2});
  EXPECT_EQ(model->info().context_limit, 1024u);
  for (const auto& [name, set] : reference["sets"].items()) {
    const auto texts = read_json(shared("data/uncheatable/" + set["file"].get<std::string>()));
    const auto& documents = set["docs"];
    std::vector<std::vector<Token>> whole;
    for (const auto& document : documents) {
      const std::string text = texts.at(document["index"].get<std::size_t>());
      std::vector<Token> tokens;
      for (const unsigned char c : text.substr(0, document["bytes"].get<std::size_t>())) tokens.push_back(c);
      whole.push_back(std::move(tokens));
    }
    std::vector<Sequence> list;
    for (const auto& text : whole) list.push_back({.tokens = text});
    for (const auto& text : whole) {
      for (std::size_t first = 0; first < text.size(); first += 1024) {
        list.push_back(
            {.tokens = std::span(text).subspan(first, std::min<std::size_t>(1024, text.size() - first))});
      }
    }
    const Collected got = score(*model, list);
    ASSERT_TRUE(got.failures.empty());
    std::size_t next = whole.size();
    for (std::size_t d = 0; d < whole.size(); ++d) {
      EXPECT_NEAR(nll(got.scores.at(d)) / documents[d]["nll"].get<double>(), 1.0, 1e-5) << name << ", " << d;
      double chunked = 0;
      for (std::size_t first = 0; first < whole[d].size(); first += 1024)
        chunked += nll(got.scores.at(next++));
      EXPECT_NEAR(chunked / documents[d]["nll_chunk1024"].get<double>(), 1.0, 1e-5) << name << ", " << d;
      if (!documents[d].contains("logprobs")) continue;
      const auto logprobs = documents[d]["logprobs"].get<std::vector<double>>();
      for (std::size_t i = 0; i < logprobs.size(); ++i)
        ASSERT_NEAR(got.scores.at(d)[i].logprob, logprobs[i], 5e-4) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Both, SlowTrainedTransformer, testing::Values("gptneox", "llama"));

}  // namespace
}  // namespace deciban::transformer

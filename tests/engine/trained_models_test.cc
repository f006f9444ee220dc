// The engine against PyTorch on really trained models and real texts (the developers' shared data).
#include <gtest/gtest.h>

#include <numeric>

#include "tests/engine/scoring.h"

namespace deciban {
namespace {

std::vector<Token> bytes_of(const std::string& text) {
  std::vector<Token> tokens;
  for (const unsigned char c : text) tokens.push_back(c);
  return tokens;
}

double sum(const std::vector<TokenScore>& scores) {
  double nll = 0;
  for (const TokenScore& s : scores) nll -= s.logprob;
  return nll;
}

class SlowTrained : public testing::TestWithParam<std::string> {};

// One pass over the whole document, and uncheatable_eval's chunks of 1024 with a fresh state each; no start
// token.
TEST_P(SlowTrained, NegativeLogLikelihoodsAreThoseOfPyTorch) {
  DECIBAN_NEEDS_SHARED("models/" + GetParam() + "/model.pth");
  const auto reference = read_json(shared("models/" + GetParam() + "/reference.json"));
  const auto model = open_golden(shared("models/" + GetParam() + "/model.pth"), {.threads = 2});
  EXPECT_EQ(model->info().format, "bf16");  // the files' own precision, with f32 activations
  for (const auto& [name, set] : reference["sets"].items()) {
    const auto texts = read_json(shared("data/uncheatable/" + set["file"].get<std::string>()));
    const auto& documents = set["docs"];
    std::vector<std::vector<Token>> whole;
    for (const auto& document : documents) {
      const std::string text = texts.at(document["index"].get<std::size_t>());
      whole.push_back(bytes_of(text.substr(0, document["bytes"].get<std::size_t>())));
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
      const double nll = documents[d]["nll"], nll_chunked = documents[d]["nll_chunk1024"];
      EXPECT_NEAR(sum(got.scores.at(d)) / nll, 1.0, 1e-5) << name << ", document " << d;
      double chunked = 0;
      for (std::size_t first = 0; first < whole[d].size(); first += 1024)
        chunked += sum(got.scores.at(next++));
      EXPECT_NEAR(chunked / nll_chunked, 1.0, 1e-5) << name << ", document " << d << " in chunks";
      if (!documents[d].contains("logprobs")) continue;
      const auto logprobs = documents[d]["logprobs"].get<std::vector<double>>();
      for (std::size_t i = 0; i < logprobs.size(); ++i)
        ASSERT_NEAR(got.scores.at(d)[i].logprob, logprobs[i], 5e-4);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, SlowTrained, testing::Values("rwkv4", "rwkv5", "rwkv6", "rwkv7"));

// rwkv.cpp's own tiny models; 5v2 with the official epsilon, which rwkv.cpp's file does not use.
TEST(TinyRwkv, LogitsAreThoseExpected) {
  DECIBAN_NEEDS_SHARED("golden/rwkv/tiny-rwkv");
  for (const char* name : {"tiny-rwkv-4v0-660K", "tiny-rwkv-5v2-730K", "tiny-rwkv-7v0-834K"}) {
    const auto expected = read_json(shared(std::string("golden/rwkv/tiny-rwkv/") + name + ".json"));
    const auto model = open_golden(shared(std::string("golden/rwkv/tiny-rwkv/") + name + ".pth"));
    const auto batch = model->start_batch(1);
    LogitRows last;
    for (const Token token : expected["prompt_tokens"].get<std::vector<Token>>())
      last = batch->step(std::span(&token, 1));
    const auto logits = expected["expected_logits_official_eps_float64"].get<std::vector<double>>();
    ASSERT_EQ(last.columns, logits.size());
    for (std::size_t i = 0; i < logits.size(); ++i)
      EXPECT_NEAR(last.row(0)[i], logits[i], 1e-4) << name << ", logit " << i;
  }
}

}  // namespace
}  // namespace deciban

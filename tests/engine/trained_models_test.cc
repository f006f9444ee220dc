// The engine against PyTorch on really trained models and real texts (the developers' shared data).
#include <gtest/gtest.h>

#include <cmath>
#include <iostream>
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
  const auto model =
      open_golden(shared("models/" + GetParam() + "/model.pth"), {.mode = "bf16", .threads = 2});
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

// What a mode costs: bits per byte less those of f32, over whole documents.
TEST_P(SlowTrained, NarrowModesCostLittle) {
  DECIBAN_NEEDS_SHARED("models/" + GetParam() + "/model.pth");
  const auto reference = read_json(shared("models/" + GetParam() + "/reference.json"));
  std::vector<std::vector<Token>> texts;
  double bytes = 0;
  for (const auto& [name, set] : reference["sets"].items()) {
    const auto all = read_json(shared("data/uncheatable/" + set["file"].get<std::string>()));
    for (const auto& document : set["docs"]) {
      const std::string text = all.at(document["index"].get<std::size_t>());
      texts.push_back(bytes_of(text.substr(0, document["bytes"].get<std::size_t>())));
      bytes += static_cast<double>(texts.back().size());
    }
  }
  std::vector<Sequence> list;
  for (const auto& text : texts) list.push_back({.tokens = text});
  const auto bits_per_byte = [&](const std::string& mode) {
    const auto model =
        open_golden(shared("models/" + GetParam() + "/model.pth"), {.mode = mode, .threads = 2});
    const Collected got = score(*model, list);
    EXPECT_TRUE(got.failures.empty());
    double nll = 0;
    for (const auto& [index, scores] : got.scores) nll += sum(scores);
    return nll / std::log(2.0) / bytes;
  };
  const double exact = bits_per_byte("f32");
  // Those of int4 are wider than the bars of docs/formats.md's ladder (2.5e-2 and 3e-2), which are for 1 MB
  // of text: these are a third of it.
  const struct {
    const char* mode;
    double loss;
  } bars[] = {{"bf16", 0},       {"bf16a", 1e-3},  {"int8", 5e-4},
              {"int8a", 1.5e-3}, {"int4", 2.8e-2}, {"int4g64", 3.4e-2}};
  for (const auto& [mode, loss] : bars) {
    const double difference = bits_per_byte(mode) - exact;
    EXPECT_LE(std::abs(difference), loss) << mode;
    std::cout << GetParam() << " " << mode << ": " << difference << " bits a byte more than f32's " << exact
              << "\n";
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

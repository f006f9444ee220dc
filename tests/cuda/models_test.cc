// Trained models on a CUDA device against the CPU engine (which is held to PyTorch's numbers elsewhere), on
// the project's own texts.
#include <iostream>
#include <iterator>

#include "tests/cuda/card.h"

namespace deciban {
namespace {

std::filesystem::path trained(const std::string& name) {
  const std::filesystem::path demo = source_dir() / "datasets/demo" / name / "model.pth";
  return std::filesystem::exists(demo) ? demo : golden("trained/" + name + "/model.pth");
}

// Whole texts as bytes, after the separator.
const std::vector<std::vector<Token>>& texts() {
  static const std::vector<std::vector<Token>> all = [] {
    std::vector<std::vector<Token>> read;
    for (const auto& entry : std::filesystem::directory_iterator(source_dir() / "datasets/demo/texts")) {
      std::ifstream file(entry.path(), std::ios::binary);
      std::vector<Token> tokens{0};
      for (std::istreambuf_iterator<char> at(file), end; at != end; ++at)
        tokens.push_back(static_cast<unsigned char>(*at));
      read.push_back(std::move(tokens));
    }
    return read;
  }();
  return all;
}

std::vector<Sequence> sequences() {
  std::vector<Sequence> list;
  for (const auto& text : texts()) list.push_back({.tokens = text});
  return list;
}

double bits_per_byte(const Collected& got) {
  double nats = 0, bytes = 0;
  for (const auto& [index, scores] : got.scores) {
    for (const TokenScore& score : scores) nats -= score.logprob;
    bytes += static_cast<double>(scores.size());
  }
  return nats / bytes / std::log(2.0);
}

class CudaTrained : public testing::TestWithParam<std::string> {};

TEST_P(CudaTrained, BitsPerByteAreThoseOfTheCpu) {
  DECIBAN_NEEDS_CARD();
  ASSERT_GE(texts().size(), 10u);
  const auto reference = open_golden(trained(GetParam()), {.mode = "f32"});
  const Collected want = score(*reference, sequences());
  const double exact = bits_per_byte(want);
  // Quantised weights and fp8 lose what they lose; the bounds are there to see a mistake.
  const std::map<std::string, double> bounds = {
      {"f32", 2e-6},  {"bf16a", 1e-3}, {"bf16", 1e-3}, {"f16a", 2e-4}, {"f16", 2e-4},      {"w8a16", 6e-3},
      {"int8", 2e-3}, {"int8a", 3e-2}, {"fp8", 3e-2},  {"int4", 3e-2}, {"int4g64", 3.6e-2}};
  std::vector<std::string> words;
  for (const auto& [word, bound] : bounds) words.push_back(word);
  for (const std::string& mode : card_modes(words)) {
    for (const bool deterministic : {false, true}) {
      const auto model = open_on_card(trained(GetParam()), {.mode = mode, .deterministic = deterministic});
      const Collected got = score(*model, sequences());
      ASSERT_TRUE(got.failures.empty()) << got.failures.begin()->second;
      const double loss = bits_per_byte(got) - exact;
      std::cout << GetParam() << ' ' << mode << (deterministic ? " deterministic" : "") << ": " << loss
                << " bits/byte from f32 on the CPU\n";
      EXPECT_LE(std::abs(loss), bounds.at(mode)) << mode;
      if (mode != "f32") continue;
      for (std::size_t i = 0; i < texts().size(); ++i)
        EXPECT_LE(mean_difference(got.scores.at(i), want.scores.at(i)), 1e-5) << "text " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, CudaTrained, testing::Values("rwkv4", "rwkv5", "rwkv6", "rwkv7"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace deciban

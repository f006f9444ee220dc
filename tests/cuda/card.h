// What tests on a CUDA device share: skipping (or failing) where there is none, and opening models on it.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/cuda_module.h"
#include "tests/engine/scoring.h"

namespace deciban {

// Why there is no device to test on; empty if there is one.
inline const std::string& missing_card() {
  static const std::string why = [] {
    try {
      cuda_devices();
      return std::string();
    } catch (const std::runtime_error& error) {
      return std::string(error.what());
    }
  }();
  return why;
}

inline bool card_required() {
  const char* set = std::getenv("DECIBAN_REQUIRE_GPU");
  return set != nullptr && *set != '\0' && std::string(set) != "0";
}

struct CardOpening {
  std::string mode = "auto";
  bool deterministic = false;
  std::size_t chunk_rows = 0;
  std::vector<int> cards = {0};
};

inline std::unique_ptr<LanguageModel> open_on_card(const std::filesystem::path& file,
                                                   const CardOpening& how = {}) {
  const Checkpoint official = official_rwkv(Checkpoint::open(file));
  ModelOptions options;
  options.chunk_rows = how.chunk_rows;
  options.deterministic = how.deterministic;
  std::vector<std::unique_ptr<Backend>> backends;
  for (const int card : how.cards) backends.push_back(cuda_backend(card, how.deterministic));
  ModelInfo info;
  info.name = file.filename().string();
  return load_rwkv(official, byte_tokenizer(), std::move(backends), how.mode, options, std::move(info));
}

// Modes that the first device computes in.
inline std::vector<std::string> card_modes(std::vector<std::string> words) {
  const auto backend = cuda_backend(0, false);
  std::erase_if(words,
                [&](const std::string& word) { return !backend->refusal(numeric_mode(word)).empty(); });
  return words;
}

inline double mean_difference(const std::vector<TokenScore>& a, const std::vector<TokenScore>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    sum += std::abs(static_cast<double>(a[i].logprob) - b[i].logprob);
  return a.empty() ? 0 : sum / static_cast<double>(a.size());
}

}  // namespace deciban

// Skips the test where there is no CUDA device; with DECIBAN_REQUIRE_GPU=1 fails it.
#define DECIBAN_NEEDS_CARD()                                                                               \
  if (!::deciban::missing_card().empty()) {                                                                \
    if (::deciban::card_required()) {                                                                      \
      GTEST_FAIL() << "DECIBAN_REQUIRE_GPU is set, and there is no device: " << ::deciban::missing_card(); \
    }                                                                                                      \
    GTEST_SKIP() << "needs a CUDA device: " << ::deciban::missing_card();                                  \
  }

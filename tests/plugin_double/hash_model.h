// The model of the test doubles: it reads bytes into a hash of all that came before, from which it makes
// logits, so that everything depends on every token and on their order.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "engine/plugin_api.h"

namespace deciban::doubles {

inline constexpr std::size_t kVocabulary = 256;
inline constexpr std::uint64_t kEmpty = 14695981039346656037u;  // nothing was read

inline std::uint64_t after(std::uint64_t state, std::int32_t token) {
  return (state ^ static_cast<std::uint64_t>(token + 1)) * 1099511628211u;
}

using Logits = std::array<float, kVocabulary>;

inline void fill_logits(std::uint64_t state, float* logits) {
  for (std::size_t i = 0; i < kVocabulary; ++i) {
    std::uint64_t x = state + 0x9E3779B97F4A7C15u * (i + 1);
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    logits[i] = static_cast<float>((x >> 33) % 8192) / 1024.0f - 4;
  }
}

inline deciban_score score_of(const Logits& logits, std::int32_t token) {
  const auto best = std::max_element(logits.begin(), logits.end());
  double total = 0;
  for (const float value : logits) total += std::exp(static_cast<double>(value) - *best);
  const double normaliser = *best + std::log(total);
  return {static_cast<float>(logits[static_cast<std::size_t>(token)] - normaliser),
          static_cast<float>(*best - normaliser), static_cast<std::int32_t>(best - logits.begin())};
}

}  // namespace deciban::doubles

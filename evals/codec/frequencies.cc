#include "evals/codec/frequencies.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <stdexcept>

#include "evals/codec/range_coder.h"

namespace deciban {
namespace {

// exp(x) for -40 <= x <= 0 to about 1e-10, by operations that round alike everywhere: 2^n times a polynomial.
double exp_term(double x) {
  constexpr double kLog2E = 1.4426950408889634, kLn2High = 0.693147180369123816490,
                   kLn2Low = 1.90821492927058770002e-10;
  constexpr double kRound = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer
  const double n = (x * kLog2E + kRound) - kRound;
  const double r = (x - n * kLn2High) - n * kLn2Low;  // |r| <= ln 2 / 2
  double p = 1.0 / 40320;
  p = p * r + 1.0 / 5040;
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  const auto exponent = static_cast<std::uint64_t>(static_cast<std::int64_t>(n) + 1023) << 52;
  return p * std::bit_cast<double>(exponent);
}

constexpr double kLeastLogit = -40;  // below the greatest: what is less has the least frequency anyway

}  // namespace

void Frequencies::set(std::span<const float> logits) {
  const std::size_t symbols = logits.size();
  weights_.resize(symbols);
  counts_.resize(symbols);
  float greatest = logits.empty() ? 0 : logits[0];
  for (const float logit : logits) greatest = std::max(greatest, logit);
  double total = 0;
  for (std::size_t i = 0; i < symbols; ++i) {
    const double below =
        std::max(kLeastLogit, static_cast<double>(logits[i]) - static_cast<double>(greatest));
    weights_[i] = exp_term(below);
    total += weights_[i];
  }
  if (!(total > 0) || !std::isfinite(greatest) ||
      std::any_of(logits.begin(), logits.end(), [](float logit) { return std::isnan(logit); })) {
    throw std::runtime_error(
        "the model's logits hold something that is no number: nothing can be coded with them");
  }
  // Two less than what is left beside the ones, so that rounding cannot exceed the total.
  const double scale = static_cast<double>(kFrequencyTotal - symbols - 2) / total;
  for (std::size_t i = 0; i < symbols; ++i) counts_[i] = 1 + static_cast<std::uint32_t>(weights_[i] * scale);
}

void Frequencies::set_uniform(std::size_t symbols) {
  counts_.assign(symbols, static_cast<std::uint32_t>((kFrequencyTotal - 1) / symbols));
}

Frequencies::Interval Frequencies::of(Token symbol) const {
  const auto s = static_cast<std::size_t>(symbol);
  if (symbol < 0 || s >= counts_.size())
    throw std::invalid_argument(
        fmt::format("token {} lies outside the {} that are coded", symbol, counts_.size()));
  std::uint64_t start = 0;
  for (std::size_t i = 0; i < s; ++i) start += counts_[i];
  return {start, s + 1 == counts_.size() ? kFrequencyTotal - start : counts_[s]};
}

Frequencies::Found Frequencies::at(std::uint64_t place) const {
  std::uint64_t start = 0;
  for (std::size_t i = 0; i + 1 < counts_.size(); ++i) {
    if (place < start + counts_[i]) return {static_cast<Token>(i), {start, counts_[i]}};
    start += counts_[i];
  }
  return {static_cast<Token>(counts_.size() - 1), {start, kFrequencyTotal - start}};
}

}  // namespace deciban

#include "evals/codec/range_coder.h"

#include <algorithm>

namespace deciban {
namespace {

constexpr std::uint64_t kLeastRange = std::uint64_t{1} << 56;

// The part of the range that [start, start + frequency) takes.  The last symbol also gets what rounding left.
std::uint64_t narrowed(std::uint64_t range, std::uint64_t start, std::uint64_t frequency) {
  const std::uint64_t unit = range >> 32;
  return start + frequency == kFrequencyTotal ? range - unit * start : unit * frequency;
}

}  // namespace

void RangeEncoder::carry() {
  std::size_t i = bytes_.size();
  while (i > 0 && static_cast<unsigned char>(bytes_[i - 1]) == 0xFF) bytes_[--i] = 0;
  ++bytes_[i - 1];  // there is one: the number coded is below 1
}

void RangeEncoder::encode(std::uint64_t start, std::uint64_t frequency) {
  const std::uint64_t before = low_;
  low_ += (range_ >> 32) * start;
  if (low_ < before) carry();
  range_ = narrowed(range_, start, frequency);
  while (range_ < kLeastRange) {
    bytes_ += static_cast<char>(low_ >> 56);
    low_ <<= 8;
    range_ <<= 8;
  }
}

std::string RangeEncoder::finish() {
  // The number with the fewest bytes in [low, low + range); the decoder reads zeros behind them.
  for (int count = 0; count <= 8; ++count) {
    const std::uint64_t rest = count == 8 ? 0 : ~std::uint64_t{0} >> (8 * count);
    const std::uint64_t value = (low_ + rest) & ~rest;  // rounded up; may wrap round to a carry
    if (value - low_ >= range_ || (count == 0 && low_ != 0)) continue;
    if (value < low_) carry();
    for (int i = 0; i < count; ++i) bytes_ += static_cast<char>(value >> (56 - 8 * i));
    break;
  }
  while (!bytes_.empty() && bytes_.back() == 0) bytes_.pop_back();
  return std::move(bytes_);
}

RangeDecoder::RangeDecoder(std::string_view bytes) : bytes_(bytes) {
  for (int i = 0; i < 8; ++i) code_ = code_ << 8 | next_byte();
}

std::uint64_t RangeDecoder::next_byte() {
  return at_ < bytes_.size() ? static_cast<unsigned char>(bytes_[at_++]) : 0;
}

std::uint64_t RangeDecoder::place() const { return std::min(code_ / (range_ >> 32), kFrequencyTotal - 1); }

void RangeDecoder::accept(std::uint64_t start, std::uint64_t frequency) {
  code_ -= (range_ >> 32) * start;
  range_ = narrowed(range_, start, frequency);
  while (range_ < kLeastRange) {
    code_ = code_ << 8 | next_byte();
    range_ <<= 8;
  }
}

}  // namespace deciban

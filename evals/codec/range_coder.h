// An arithmetic coder: symbols with known frequencies to a string of bytes and back, in their entropy and at
// most a few bytes more.
//
// A range coder (Martin 1979) over 64 bits: frequencies are parts of 2^32, and the range never falls below
// 2^56, so that rounding costs less than 2^-24 of a symbol's bits.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace deciban {

inline constexpr std::uint64_t kFrequencyTotal = std::uint64_t{1} << 32;

class RangeEncoder {
 public:
  // The symbol that holds [start, start + frequency) of kFrequencyTotal; frequency >= 1.
  void encode(std::uint64_t start, std::uint64_t frequency);
  // The shortest bytes from which everything can be decoded.  Call once, at the end.
  std::string finish();

 private:
  void carry();
  std::uint64_t low_ = 0, range_ = ~std::uint64_t{0};
  std::string bytes_;
};

class RangeDecoder {
 public:
  // `bytes` must outlive the decoder; behind their end it reads zeros.
  explicit RangeDecoder(std::string_view bytes);
  // Where in [0, kFrequencyTotal) the next symbol's interval lies: it is the one that holds this place.
  std::uint64_t place() const;
  // Goes on behind that symbol.
  void accept(std::uint64_t start, std::uint64_t frequency);

 private:
  std::uint64_t next_byte();
  std::string_view bytes_;
  std::size_t at_ = 0;
  std::uint64_t code_ = 0, range_ = ~std::uint64_t{0};
};

}  // namespace deciban

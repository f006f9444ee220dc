// From a row of logits to the integer frequencies that a range coder needs, the same in every process that
// has the same logits: nothing but additions, multiplications and shifts of doubles, no library's exp().
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/lm.h"

namespace deciban {

// Every symbol has a frequency of at least 1 of 2^32, so anything can be coded: with 65,536 symbols that
// takes 2^-16 of the probability from the others, 2e-5 bits a token.
class Frequencies {
 public:
  // Throws std::runtime_error if a logit is not a number.
  void set(std::span<const float> logits);
  // Every symbol alike.
  void set_uniform(std::size_t symbols);

  struct Interval {
    std::uint64_t start, frequency;
  };
  Interval of(Token symbol) const;
  struct Found {
    Token symbol;
    Interval interval;
  };
  Found at(std::uint64_t place) const;  // the symbol whose interval holds this place

 private:
  std::vector<double> weights_;
  std::vector<std::uint32_t> counts_;  // the last symbol also has what is left of 2^32
};

}  // namespace deciban

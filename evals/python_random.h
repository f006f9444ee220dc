// CPython's random.Random: few-shot examples and bootstrap resamples are drawn by it, and equal figures need
// equal draws.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace deciban {

// The Mersenne Twister MT19937 (Matsumoto and Nishimura 1998), seeded and used as Python 3 does.
class PythonRandom {
 public:
  // random.Random(seed) of a non-negative integer.
  explicit PythonRandom(std::uint64_t seed);

  std::uint32_t bits32();
  // getrandbits(bits), 1 to 32.
  std::uint32_t bits(int count) { return bits32() >> (32 - count); }
  // random(): [0, 1) with 53 bits.
  double unit();
  // _randbelow(count), count >= 1.
  std::size_t below(std::size_t count);
  // The indices that sample(range(population), count) returns.  Throws std::invalid_argument for a sample
  // larger than its population, as Python does.
  std::vector<std::size_t> sample(std::size_t population, std::size_t count);
  // The indices that choices(range(population), k=count) returns.
  std::size_t choice(std::size_t population) {
    return static_cast<std::size_t>(unit() * static_cast<double>(population));
  }

  template <class Item>
  void shuffle(std::vector<Item>& items) {
    for (std::size_t i = items.size(); i-- > 1;) std::swap(items[i], items[below(i + 1)]);
  }

 private:
  static constexpr std::size_t kSize = 624;
  void refill();
  std::array<std::uint32_t, kSize> state_;
  std::size_t next_ = kSize;
};

}  // namespace deciban

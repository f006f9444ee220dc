#include "evals/python_random.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <unordered_set>

namespace deciban {

PythonRandom::PythonRandom(std::uint64_t seed) {
  // init_by_array() of the seed's 32-bit limbs, lowest first.
  std::vector<std::uint32_t> key{static_cast<std::uint32_t>(seed)};
  if (seed >> 32) key.push_back(static_cast<std::uint32_t>(seed >> 32));
  state_[0] = 19650218;
  for (std::size_t i = 1; i < kSize; ++i)
    state_[i] = 1812433253u * (state_[i - 1] ^ (state_[i - 1] >> 30)) + static_cast<std::uint32_t>(i);
  std::size_t i = 1, j = 0;
  const auto advance = [&] {
    if (++i == kSize) {
      state_[0] = state_[kSize - 1];
      i = 1;
    }
  };
  for (std::size_t k = kSize; k > 0; --k) {
    state_[i] = (state_[i] ^ ((state_[i - 1] ^ (state_[i - 1] >> 30)) * 1664525u)) + key[j] +
                static_cast<std::uint32_t>(j);
    advance();
    if (++j == key.size()) j = 0;
  }
  for (std::size_t k = kSize - 1; k > 0; --k) {
    state_[i] =
        (state_[i] ^ ((state_[i - 1] ^ (state_[i - 1] >> 30)) * 1566083941u)) - static_cast<std::uint32_t>(i);
    advance();
  }
  state_[0] = 0x80000000u;
}

void PythonRandom::refill() {
  constexpr std::size_t kShift = 397;
  for (std::size_t k = 0; k < kSize; ++k) {
    const std::uint32_t y = (state_[k] & 0x80000000u) | (state_[(k + 1) % kSize] & 0x7fffffffu);
    state_[k] = state_[(k + kShift) % kSize] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0u);
  }
  next_ = 0;
}

std::uint32_t PythonRandom::bits32() {
  if (next_ == kSize) refill();
  std::uint32_t y = state_[next_++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680u;
  y ^= (y << 15) & 0xefc60000u;
  return y ^ (y >> 18);
}

double PythonRandom::unit() {
  const std::uint32_t high = bits32() >> 5, low = bits32() >> 6;
  return (high * 67108864.0 + low) * (1.0 / 9007199254740992.0);
}

std::size_t PythonRandom::below(std::size_t count) {
  if (count == 0 || count >> 32) throw std::invalid_argument(fmt::format("random below {}", count));
  const int width = static_cast<int>(std::bit_width(count));
  std::uint32_t drawn = bits(width);
  while (drawn >= count) drawn = bits(width);
  return drawn;
}

std::vector<std::size_t> PythonRandom::sample(std::size_t population, std::size_t count) {
  if (count > population) {
    throw std::invalid_argument(fmt::format("{} examples are wanted of a pool of {}", count, population));
  }
  std::size_t set_size = 21;
  if (count > 5) {
    std::size_t power = 1;  // 4 ** ceil(log(3 k, 4))
    while (power < 3 * count) power *= 4;
    set_size += power;
  }
  std::vector<std::size_t> drawn;
  if (population <= set_size) {
    std::vector<std::size_t> pool(population);
    for (std::size_t i = 0; i < population; ++i) pool[i] = i;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t j = below(population - i);
      drawn.push_back(pool[j]);
      pool[j] = pool[population - i - 1];
    }
    return drawn;
  }
  std::unordered_set<std::size_t> seen;
  while (drawn.size() < count) {
    const std::size_t j = below(population);
    if (seen.insert(j).second) drawn.push_back(j);
  }
  return drawn;
}

}  // namespace deciban

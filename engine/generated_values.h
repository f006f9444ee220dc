// The values of generated tensors (checkpoint.h), by one recipe for the host and for devices.
//
// Integer arithmetic, a conversion that is exact, one multiplication and cut bits: every machine gets the
// same bits.
#pragma once

#include <bit>
#include <cstdint>

#ifdef __CUDACC__
#define DECIBAN_HOST_DEVICE __host__ __device__
#else
#define DECIBAN_HOST_DEVICE
#endif

namespace deciban {

// A near-normal value of deviation 1: the sum of the four 16-bit parts of a hash (splitmix64) of seed and
// index, cut to bf16 so that every format of at least its width holds it exactly.
DECIBAN_HOST_DEVICE inline float generated_value(std::uint64_t seed, std::uint64_t index) {
  std::uint64_t z = seed + (index + 1) * 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  z ^= z >> 31;
  const auto total =
      static_cast<std::int32_t>((z & 0xffff) + (z >> 16 & 0xffff) + (z >> 32 & 0xffff) + (z >> 48));
  // Four uniform parts on [0, 65536) have deviation 65536 / sqrt(3).
  const float value = static_cast<float>(total - 131070) * (1.7320508f / 65536.0f);
#ifdef __CUDA_ARCH__
  return __uint_as_float(__float_as_uint(value) & 0xffff0000u);
#else
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) & 0xffff0000u);
#endif
}

}  // namespace deciban

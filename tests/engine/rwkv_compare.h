// What the tests of RWKV names share: comparing checkpoints, and taking them apart to write them in other
// formats.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/rwkv_names.h"
#include "tests/engine/rwkv_conversions.h"

namespace deciban::testing_files {

inline bool unused_in_seven(std::string_view name) {
  return name == "blocks.0.att.v0" || name == "blocks.0.att.v1" || name == "blocks.0.att.v2";
}

// Round to nearest even, as PyTorch does.
inline float rounded_to_bf16(float value) {
  auto bits = std::bit_cast<std::uint32_t>(value);
  bits += 0x7fffu + ((bits >> 16) & 1u);
  return std::bit_cast<float>(bits & 0xffff0000u);
}

// Every tensor of `expected` is in `actual`, with the same shape and values (`decay_tolerance` for time_decay
// and time_first, which rwkv.cpp stores transformed).
inline void expect_same(const Checkpoint& actual, const Checkpoint& expected, double decay_tolerance = 0) {
  std::size_t compared = 0;
  for (const StoredTensor& wanted : expected.tensors) {
    const StoredTensor* found = actual.find(wanted.name);
    if (!found && unused_in_seven(wanted.name)) continue;
    ASSERT_NE(found, nullptr) << wanted.name;
    ASSERT_EQ(found->shape, wanted.shape) << wanted.name;
    const auto a = found->read_all(), b = wanted.read_all();
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (decay_tolerance > 0 && wanted.name.ends_with("time_decay")) {
        ASSERT_NEAR(effective_decay(a[i]), effective_decay(b[i]), decay_tolerance) << wanted.name << " " << i;
      } else if (decay_tolerance > 0 && wanted.name.ends_with("time_first")) {
        ASSERT_NEAR(a[i], b[i], 1e-6 * (1 + std::abs(b[i]))) << wanted.name << " " << i;
      } else {
        ASSERT_EQ(a[i], found->encoding == Encoding::bf16 ? rounded_to_bf16(b[i]) : b[i])
            << wanted.name << " " << i;
      }
    }
    ++compared;
  }
  EXPECT_GT(compared, 20u);
  EXPECT_LE(actual.tensors.size(), expected.tensors.size());
  EXPECT_NO_THROW(rwkv_shape(actual));
}

inline Checkpoint official_of(const std::vector<WrittenTensor>& tensors) {
  return official_rwkv(read_bytes(safetensors_file(tensors)));
}

}  // namespace deciban::testing_files

// ggml's blocks of 256: what is packed here element by element comes out as scale times value less minimum.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "engine/checkpoint.h"

namespace deciban {
namespace {

constexpr std::size_t kElements = 256;

std::vector<float> decoded(Encoding encoding, const std::vector<std::uint8_t>& block, std::size_t first,
                           std::size_t count) {
  StoredTensor tensor;
  tensor.name = "block";
  tensor.shape = {kElements};
  tensor.strides = {1};
  tensor.encoding = encoding;
  tensor.data = reinterpret_cast<const std::byte*>(block.data());
  std::vector<float> out(count);
  tensor.read(first, count, out.data());
  return out;
}

TEST(KQuants, Q4KHasEightScalesAndMinimaOfSixBits) {
  ASSERT_EQ(block_bytes(Encoding::q4_k), 144u);
  ASSERT_EQ(block_elements(Encoding::q4_k), kElements);
  std::vector<std::uint8_t> block(144);
  block[1] = 0x38;  // d = 0.5
  block[3] = 0x34;  // minimum's = 0.25
  int scale[8], minimum[8];
  for (int s = 0; s < 8; ++s) {
    scale[s] = (s * 13 + 5) % 64;
    minimum[s] = 63 - (s * 11) % 64;
    if (s < 4) {
      block[4 + s] |= static_cast<std::uint8_t>(scale[s]);
      block[8 + s] |= static_cast<std::uint8_t>(minimum[s]);
    } else {  // four low bits in the last bytes, two high ones above those of the first four
      block[8 + s] |= static_cast<std::uint8_t>((scale[s] & 15) | (minimum[s] & 15) << 4);
      block[s] |= static_cast<std::uint8_t>(scale[s] >> 4 << 6);
      block[4 + s] |= static_cast<std::uint8_t>(minimum[s] >> 4 << 6);
    }
  }
  std::vector<float> expected;
  for (std::size_t e = 0; e < kElements; ++e) {
    const int value = static_cast<int>((e * 7 + e / 32) % 16);
    block[16 + e / 64 * 32 + e % 32] |= static_cast<std::uint8_t>(e / 32 % 2 == 0 ? value : value << 4);
    expected.push_back(0.5f * static_cast<float>(scale[e / 32] * value) -
                       0.25f * static_cast<float>(minimum[e / 32]));
  }
  EXPECT_EQ(decoded(Encoding::q4_k, block, 0, kElements), expected);
  EXPECT_EQ(decoded(Encoding::q4_k, block, 70, 3),
            std::vector<float>(expected.begin() + 70, expected.begin() + 73));
}

TEST(KQuants, Q6KHasSixteenSignedScales) {
  ASSERT_EQ(block_bytes(Encoding::q6_k), 210u);
  std::vector<std::uint8_t> block(210);
  block[209] = 0x30;  // d = 0.125
  std::vector<float> expected;
  for (std::size_t e = 0; e < kElements; ++e) {
    const int scale = static_cast<int>(e / 16) * 17 - 128, value = static_cast<int>((e * 5 + e / 64) % 64);
    const std::size_t half = e / 128, quarter = e % 128 / 32, i = e % 32;
    block[half * 64 + quarter % 2 * 32 + i] |=
        static_cast<std::uint8_t>(quarter < 2 ? value & 15 : (value & 15) << 4);
    block[128 + half * 32 + i] |= static_cast<std::uint8_t>(value >> 4 << (2 * quarter));
    block[192 + e / 16] = static_cast<std::uint8_t>(scale);
    expected.push_back(0.125f * static_cast<float>(scale) * static_cast<float>(value - 32));
  }
  EXPECT_EQ(decoded(Encoding::q6_k, block, 0, kElements), expected);
  EXPECT_EQ(decoded(Encoding::q6_k, block, 255, 1), std::vector<float>{expected.back()});
}

}  // namespace
}  // namespace deciban

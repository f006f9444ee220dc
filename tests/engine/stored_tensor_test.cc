#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <numeric>
#include <random>

#include "engine/checkpoint.h"
#include "engine/mapped_file.h"
#include "tests/engine/checkpoint_files.h"

namespace deciban {
namespace {

using testing_files::packed;
using testing_files::put;

StoredTensor tensor_over(const std::string& bytes, Encoding encoding, std::vector<std::size_t> shape) {
  auto owner = std::make_shared<const std::string>(bytes);
  StoredTensor tensor;
  tensor.name = "t";
  tensor.shape = std::move(shape);
  tensor.strides.resize(tensor.shape.size());
  std::ptrdiff_t stride = 1;
  for (std::size_t i = tensor.shape.size(); i-- > 0; stride *= static_cast<std::ptrdiff_t>(tensor.shape[i])) {
    tensor.strides[i] = stride;
  }
  tensor.encoding = encoding;
  tensor.data = reinterpret_cast<const std::byte*>(owner->data());
  tensor.owner = owner;
  return tensor;
}

StoredTensor counting(std::vector<std::size_t> shape) {
  std::size_t size = 1;
  for (const auto extent : shape) size *= extent;
  std::vector<float> values(size);
  std::iota(values.begin(), values.end(), 0.0f);
  return owned_tensor("counting", std::move(shape), std::move(values));
}

// Element by element through the strides: the definition that read() must match.
std::vector<float> by_definition(const StoredTensor& tensor) {
  std::vector<float> result;
  for (std::size_t i = 0; i < tensor.elements(); ++i) {
    std::size_t rest = i;
    std::ptrdiff_t at = 0;
    for (std::size_t d = tensor.shape.size(); d-- > 0;) {
      at += static_cast<std::ptrdiff_t>(rest % tensor.shape[d]) * tensor.strides[d];
      rest /= tensor.shape[d];
    }
    StoredTensor flat = tensor;
    flat.shape = {static_cast<std::size_t>(at) + 1};
    flat.strides = {1};
    float value;
    flat.read(static_cast<std::size_t>(at), 1, &value);
    result.push_back(value);
  }
  return result;
}

TEST(Half, EveryBitPatternHasItsValue) {
  std::string bytes;
  for (std::uint32_t h = 0; h < 65536; ++h) put(bytes, static_cast<std::uint16_t>(h));
  const auto values = tensor_over(bytes, Encoding::f16, {65536}).read_all();
  for (std::uint32_t h = 0; h < 65536; ++h) {
    const int exponent = static_cast<int>(h >> 10 & 31), mantissa = static_cast<int>(h & 1023);
    const double sign = h & 0x8000 ? -1 : 1;
    if (exponent == 31 && mantissa != 0) {
      EXPECT_TRUE(std::isnan(values[h])) << h;
      continue;
    }
    const double expected = exponent == 31  ? std::numeric_limits<double>::infinity()
                            : exponent == 0 ? std::ldexp(mantissa, -24)
                                            : std::ldexp(1024 + mantissa, exponent - 25);
    EXPECT_EQ(values[h], static_cast<float>(sign * expected)) << h;
    EXPECT_EQ(std::signbit(values[h]), sign < 0) << h;
  }
}

TEST(Encodings, AllConvert) {
  EXPECT_EQ(tensor_over(packed<double>({0.5, 1e300, -3}), Encoding::f64, {3}).read_all(),
            (std::vector<float>{0.5f, std::numeric_limits<float>::infinity(), -3}));
  EXPECT_EQ(tensor_over(packed<std::uint16_t>({0x3f80, 0xc020, 0x0001}), Encoding::bf16, {3}).read_all(),
            (std::vector<float>{1, -2.5f, std::ldexp(1.0f, -133)}));
  EXPECT_EQ(tensor_over(packed<std::int64_t>({-2, 1'099'511'627'776}), Encoding::i64, {2}).read_all(),
            (std::vector<float>{-2, 1'099'511'627'776.0f}));
  EXPECT_EQ(tensor_over(packed<std::int32_t>({-6, 5}), Encoding::i32, {2}).read_all(),
            (std::vector<float>{-6, 5}));
  EXPECT_EQ(tensor_over(packed<std::int16_t>({-600, 5}), Encoding::i16, {2}).read_all(),
            (std::vector<float>{-600, 5}));
  EXPECT_EQ(tensor_over(packed<std::int8_t>({-128, 127}), Encoding::i8, {2}).read_all(),
            (std::vector<float>{-128, 127}));
  EXPECT_EQ(tensor_over(packed<std::uint8_t>({0, 255}), Encoding::u8, {2}).read_all(),
            (std::vector<float>{0, 255}));
  EXPECT_EQ(tensor_over(packed<std::uint8_t>({0, 1, 2}), Encoding::boolean, {3}).read_all(),
            (std::vector<float>{0, 1, 1}));
}

TEST(Encodings, DataNeedNotBeAligned) {
  const std::string bytes = "x" + packed<float>({1, 2, 3, 4});
  auto tensor = tensor_over(bytes, Encoding::f32, {2, 2});
  tensor.data += 1;
  EXPECT_EQ(tensor.read_all(), (std::vector<float>{1, 2, 3, 4}));
  EXPECT_EQ(tensor.transposed().read_all(), (std::vector<float>{1, 3, 2, 4}));
}

// One block with the given bits: d = 0.5, m = -1.25, and nibbles that count.
std::string block_bytes_of(Encoding encoding) {
  std::string block;
  put<std::uint16_t>(block, 0x3800);
  if (encoding == Encoding::q4_1 || encoding == Encoding::q5_1) put<std::uint16_t>(block, 0xbd00);
  if (encoding == Encoding::q5_0 || encoding == Encoding::q5_1) put<std::uint32_t>(block, 0x8001'0002u);
  for (int j = 0; j < (encoding == Encoding::q8_0 ? 32 : 16); ++j) {
    put(block, encoding == Encoding::q8_0 ? static_cast<std::uint8_t>(j * 9 - 128)
                                          : static_cast<std::uint8_t>(j | (15 - j) << 4));
  }
  return block;
}

TEST(Quantised, BlocksFollowTheirFormulas) {
  for (const Encoding encoding :
       {Encoding::q4_0, Encoding::q4_1, Encoding::q5_0, Encoding::q5_1, Encoding::q8_0}) {
    SCOPED_TRACE(name(encoding));
    const std::string block = block_bytes_of(encoding);
    ASSERT_EQ(block.size(), block_bytes(encoding));
    ASSERT_EQ(block_elements(encoding), 32u);
    const auto values = tensor_over(block, encoding, {32}).read_all();
    for (int e = 0; e < 32; ++e) {
      int q = e < 16 ? e : 15 - (e - 16);
      if (e == 1 || e == 16 || e == 31) {  // the bits set in 0x80010002
        if (encoding == Encoding::q5_0 || encoding == Encoding::q5_1) q += 16;
      }
      float expected = 0;
      switch (encoding) {
        case Encoding::q4_0:
          expected = 0.5f * static_cast<float>(q - 8);
          break;
        case Encoding::q4_1:
          expected = 0.5f * static_cast<float>(q) - 1.25f;
          break;
        case Encoding::q5_0:
          expected = 0.5f * static_cast<float>(q - 16);
          break;
        case Encoding::q5_1:
          expected = 0.5f * static_cast<float>(q) - 1.25f;
          break;
        default:
          expected = 0.5f * static_cast<float>(static_cast<std::int8_t>(e * 9 - 128));
          break;
      }
      EXPECT_EQ(values[static_cast<std::size_t>(e)], expected) << e;
    }
  }
}

TEST(Quantised, PartsOfBlocksAndViewsAgreeWithTheWhole) {
  std::mt19937 random(7);
  for (const Encoding encoding :
       {Encoding::q4_0, Encoding::q4_1, Encoding::q5_0, Encoding::q5_1, Encoding::q8_0}) {
    SCOPED_TRACE(name(encoding));
    std::string bytes;
    for (int b = 0; b < 12; ++b) {
      std::string block = block_bytes_of(encoding);
      for (std::size_t i = block.size() - 16; i < block.size(); ++i) block[i] = static_cast<char>(random());
      bytes += block;
    }
    const auto tensor = tensor_over(bytes, encoding, {6, 64});
    const auto all = tensor.read_all();
    std::vector<float> part(100);
    tensor.read(45, 100, part.data());
    EXPECT_TRUE(std::equal(part.begin(), part.end(), all.begin() + 45));
    EXPECT_EQ(tensor.transposed().read_all(), by_definition(tensor.transposed()));
    EXPECT_EQ(tensor.slice(3).read_all(), std::vector<float>(all.begin() + 192, all.begin() + 256));
    const auto column = tensor.transposed().slice(5).read_all();  // begins inside a block
    for (std::size_t r = 0; r < 6; ++r) EXPECT_EQ(column[r], all[r * 64 + 5]);
  }
}

TEST(Views, ReadLikeTheirDefinition) {
  const std::vector<StoredTensor> views = {
      counting({3, 5}),
      counting({3, 5}).transposed(),
      counting({70, 130}).transposed(),
      counting({4, 65, 3}).transposed(),
      counting({2, 3, 4, 5}).transposed(),
      counting({1, 7, 1}).transposed(),
      counting({2, 1, 6}),
      counting({6, 4}).transposed().slice(2),
      counting({3, 4, 5}).slice(1).transposed(),
      counting({}),
      counting({1, 1}),
  };
  for (const auto& view : views) {
    SCOPED_TRACE(::testing::PrintToString(view.shape));
    const auto expected = by_definition(view);
    EXPECT_EQ(view.read_all(), expected);
    for (std::size_t first = 0; first < view.elements(); first += 1 + view.elements() / 13) {
      for (const std::size_t count : {std::size_t{1}, view.elements() / 3, view.elements() - first}) {
        if (count > view.elements() - first) continue;
        std::vector<float> part(count);
        view.read(first, count, part.data());
        ASSERT_TRUE(
            std::equal(part.begin(), part.end(), expected.begin() + static_cast<std::ptrdiff_t>(first)))
            << first << " " << count;
      }
    }
  }
}

TEST(Views, KnowTheirShape) {
  const auto tensor = counting({1, 3, 1, 4});
  EXPECT_EQ(tensor.squeezed().shape, (std::vector<std::size_t>{3, 4}));
  EXPECT_EQ(tensor.transposed().shape, (std::vector<std::size_t>{1, 3, 4, 1}));
  EXPECT_EQ(tensor.slice(0).shape, (std::vector<std::size_t>{3, 1, 4}));
  EXPECT_TRUE(tensor.contiguous());
  EXPECT_FALSE(counting({3, 4}).transposed().contiguous());
  EXPECT_TRUE(counting({1, 4}).transposed().contiguous());
  EXPECT_TRUE(counting({0, 4}).transposed().contiguous());
  EXPECT_TRUE(counting({0, 4}).read_all().empty());
  EXPECT_EQ(counting({3, 4}).transposed().reshaped({12}).read_all(),
            counting({3, 4}).transposed().read_all());
  EXPECT_EQ(counting({3, 4}).reshaped({2, 6}).slice(1).read_all(), (std::vector<float>{6, 7, 8, 9, 10, 11}));
}

TEST(Views, RefuseWhatTheyCannotDo) {
  const auto tensor = counting({3, 4});
  float value;
  EXPECT_THROW(tensor.read(12, 1, &value), std::out_of_range);
  EXPECT_THROW(tensor.read(0, 13, &value), std::out_of_range);
  EXPECT_THROW(tensor.read(std::numeric_limits<std::size_t>::max(), 2, &value), std::out_of_range);
  EXPECT_THROW(tensor.slice(3), std::out_of_range);
  EXPECT_THROW(counting({}).slice(0), std::out_of_range);
  EXPECT_THROW(counting({5}).transposed(), std::invalid_argument);
  EXPECT_THROW(tensor.reshaped({5}), std::invalid_argument);
  EXPECT_THROW(owned_tensor("x", {3}, {1, 2}), std::invalid_argument);
}

TEST(Views, ScaleMultipliesOnTheWayOut) {
  auto tensor = counting({2, 2});
  tensor.scale = 4;
  EXPECT_EQ(tensor.transposed().read_all(), (std::vector<float>{0, 8, 4, 12}));
  EXPECT_EQ(tensor.transposed().slice(1).read_all(), (std::vector<float>{4, 12}));
}

TEST(Release, DropsPagesThatCanBeReadAgain) {
  const auto path =
      std::filesystem::temp_directory_path() / ("deciban_release_" + std::to_string(::getpid()));
  std::vector<float> values(100'000);
  std::iota(values.begin(), values.end(), 0.0f);
  std::ofstream(path, std::ios::binary) << packed(values);
  {
    const FileBytes file = map_file(path);
    StoredTensor tensor = counting({100'000});
    tensor.data = file.bytes.data();
    tensor.owner = file.owner;
    tensor.mapped = file.mapped;
    EXPECT_EQ(tensor.read_all(), values);
    tensor.release(0, 100'000);
    tensor.release(1000, 5000);
    tensor.release(99'999, 1);
    EXPECT_EQ(tensor.read_all(), values);
  }
  std::filesystem::remove(path);
}

TEST(Release, LeavesMemoryOfOurOwnAlone) {
  const auto tensor = counting({100'000});
  const auto before = tensor.read_all();
  tensor.release(0, 100'000);
  EXPECT_EQ(tensor.read_all(), before);
}

}  // namespace
}  // namespace deciban

#include "engine/rwkv_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/engine/checkpoint_files.h"
#include "tests/shared_data.h"

namespace deciban {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

bool unused_in_seven(std::string_view name) {
  return name == "blocks.0.att.v0" || name == "blocks.0.att.v1" || name == "blocks.0.att.v2";
}

// What the engine makes of a decay; rounding of exp(-exp(…)) in f32 loses bits of the raw value that do not
// matter.
double effective_decay(float raw) {
  return std::exp(-std::exp(static_cast<double>(raw)));
}

// Round to nearest even, as PyTorch does.
float rounded_to_bf16(float value) {
  auto bits = std::bit_cast<std::uint32_t>(value);
  bits += 0x7fffu + ((bits >> 16) & 1u);
  return std::bit_cast<float>(bits & 0xffff0000u);
}

// Every tensor of `expected` is in `actual`, with the same shape and values (`decay_tolerance` for time_decay
// and time_first, which rwkv.cpp stores transformed).
void expect_same(const Checkpoint& actual, const Checkpoint& expected, double decay_tolerance = 0) {
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

struct Golden {
  const char* folder;
  RwkvVersion version;
};

class OfficialFile : public ::testing::TestWithParam<Golden> {};

TEST_P(OfficialFile, HasTheShapeItsReferenceStates) {
  const auto folder = golden("rwkv") / GetParam().folder;
  const auto expected = nlohmann::json::parse(std::ifstream(folder / "expected.json"));
  const Checkpoint official = official_rwkv(Checkpoint::open(folder / "model.pth"));
  const RwkvShape shape = rwkv_shape(official);
  EXPECT_EQ(shape.version, GetParam().version);
  EXPECT_EQ(shape.vocabulary, expected.at("n_vocab"));
  EXPECT_EQ(shape.layers, expected.at("n_layer"));
  EXPECT_EQ(shape.width, expected.at("n_embd"));
  EXPECT_EQ(shape.ffn, expected.at("ffn_dim"));
  if (shape.version == RwkvVersion::v4) {
    EXPECT_EQ(shape.heads, 0u);
  } else {
    EXPECT_EQ(shape.head_size, expected.at("head_size"));
    EXPECT_EQ(shape.heads * shape.head_size, shape.attention);
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, OfficialFile,
                         ::testing::Values(Golden{"rwkv4-small", RwkvVersion::v4},
                                           Golden{"extra-rwkv5.0-small", RwkvVersion::v5_0},
                                           Golden{"extra-rwkv5.1-small", RwkvVersion::v5_1},
                                           Golden{"rwkv5.2-small", RwkvVersion::v5_2},
                                           Golden{"rwkv6-small", RwkvVersion::v6},
                                           Golden{"rwkv7-small", RwkvVersion::v7}),
                         [](const auto& info) { return "Version" + std::to_string(info.index); });

class ConvertedFile : public ::testing::TestWithParam<const char*> {};

TEST_P(ConvertedFile, MapsToTheOfficialTensors) {
  const std::filesystem::path path = shared(std::string("golden/rwkv/formats/") + GetParam());
  DECIBAN_NEEDS_SHARED(std::string("golden/rwkv/formats/") + GetParam());
  const Checkpoint expected = official_rwkv(Checkpoint::open(path.parent_path() / "official.pth"));
  const Checkpoint actual = official_rwkv(Checkpoint::open(path));
  expect_same(actual, expected, path.extension() == ".bin" ? 2e-7 : 0);
  EXPECT_EQ(parameter_count(actual), parameter_count(expected));
}

INSTANTIATE_TEST_SUITE_P(Golden, ConvertedFile,
                         ::testing::Values("rwkv4/hf-RwkvForCausalLM.safetensors", "rwkv4/rwkvcpp-fp16.bin",
                                           "rwkv4/rwkvcpp-fp32.bin", "rwkv4/web-rwkv-fp16.st",
                                           "rwkv5.2/rwkvcpp-fp16.bin", "rwkv5.2/rwkvcpp-fp32.bin",
                                           "rwkv5.2/web-rwkv-fp16.st",
                                           "rwkv7/fla-RWKV7ForCausalLM.safetensors",
                                           "rwkv7/fla-bf16.safetensors", "rwkv7/rwkv7-f16.gguf",
                                           "rwkv7/rwkv7-f32.gguf", "rwkv7/rwkvcpp-fp16.bin",
                                           "rwkv7/rwkvcpp-fp32.bin", "rwkv7/web-rwkv-fp16.st"),
                         [](const auto& info) { return "File" + std::to_string(info.index); });

}  // namespace
}  // namespace deciban

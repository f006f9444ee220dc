#include "engine/rwkv_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/engine/checkpoint_files.h"
#include "tests/engine/error_of.h"
#include "tests/engine/rwkv_compare.h"
#include "tests/engine/tiny_rwkv.h"
#include "tests/shared_data.h"

namespace deciban {
namespace {

using namespace testing_files;
using ::testing::AllOf;
using ::testing::HasSubstr;

struct NamedModel {
  const char* folder;
  RwkvVersion version;
};

class OfficialFile : public ::testing::TestWithParam<NamedModel> {};

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
                         ::testing::Values(NamedModel{"rwkv4-small", RwkvVersion::v4},
                                           NamedModel{"extra-rwkv5.0-small", RwkvVersion::v5_0},
                                           NamedModel{"extra-rwkv5.1-small", RwkvVersion::v5_1},
                                           NamedModel{"rwkv5.2-small", RwkvVersion::v5_2},
                                           NamedModel{"rwkv6-small", RwkvVersion::v6},
                                           NamedModel{"rwkv7-small", RwkvVersion::v7}),
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

TEST(Official, KeepsStatesOfStateTuning) {
  for (const char* version : {"5.2", "6", "7"}) {
    auto tensors = tiny_rwkv(version);
    tensors.push_back(f32_tensor("blocks.1.att.time_state", {2, 2, 2}, {0, 1, 2, 3, 4, 5, 6, 7}));
    const Checkpoint official = official_of(tensors);
    EXPECT_NO_THROW(rwkv_shape(official));
    EXPECT_EQ(official.at("blocks.1.att.time_state").read_all(),
              (std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7}));
  }
}

TEST(Official, UnitDimensionsMakeNoDifference) {
  for (const char* version : {"4", "5.0", "5.1", "5.2", "6", "7"}) {
    auto squeezed = tiny_rwkv(version);
    for (WrittenTensor& tensor : squeezed) {
      if (tensor.shape.size() == 3 && tensor.shape[0] == 1) tensor.shape = {tensor.shape[2]};
    }
    expect_same(official_of(squeezed), official_of(tiny_rwkv(version)));
  }
}

TEST(Official, OneHeadKeepsItsDimension) {
  TinyModel size;
  size.heads = 1;
  size.head_size = 4;
  for (const char* version : {"5.2", "6", "7"}) {
    const RwkvShape shape = rwkv_shape(official_of(tiny_rwkv(version, size)));
    EXPECT_EQ(shape.heads, 1u);
    EXPECT_EQ(shape.head_size, 4u);
  }
}

TEST(Strangers, AreNamed) {
  const auto refusal = [](const char* version, const char* extra) {
    auto tensors = tiny_rwkv(version);
    if (*extra) tensors.push_back(f32_tensor(extra, {1}, {1}));
    return error_of([&] { rwkv_shape(official_of(tensors)); });
  };
  EXPECT_THAT(refusal("7", "blocks.0.ffn.s_emb.weight"), HasSubstr("RWKV-7a"));
  EXPECT_THAT(refusal("7", "blocks.0.qkv.qq.weight"), HasSubstr("RWKV-7b"));
  EXPECT_THAT(refusal("7", "blocks.0.ffn.enn.weight"), HasSubstr("RWKV-8"));
  EXPECT_THAT(refusal("6", "blocks.0.att.time_maa_rkvw_w1"), HasSubstr("x060b"));
  EXPECT_THAT(refusal("4", "head_q.weight"), HasSubstr("neo"));
  EXPECT_THAT(refusal("4", "blocks.0.tiny_ln.weight"), HasSubstr("neo"));
  EXPECT_THAT(refusal("4", "blocks.0.ffnPre.key.weight"), HasSubstr("neo"));
  EXPECT_THAT(refusal("7", "blocks.1.att.new_thing"),
              AllOf(HasSubstr("blocks.1.att.new_thing"), HasSubstr("rwkv7")));
  EXPECT_THAT(refusal("4", "blocks.00.att.key.weight"), HasSubstr("not part of"));
  const auto other = [](const char* name) {
    return error_of([&] { official_of({f32_tensor(name, {1}, {1})}); });
  };
  EXPECT_THAT(other("model.layers.0.self_attn.q_proj.weight"), HasSubstr("transformer"));
  EXPECT_THAT(other("gpt_neox.layers.0.attention.dense.weight"), HasSubstr("GPT-NeoX"));
  EXPECT_THAT(other("transformer.h.0.attn.c_attn.weight"), HasSubstr("GPT-2"));
  EXPECT_THAT(other("backbone.layers.0.mixer.D"), HasSubstr("Mamba"));
  EXPECT_THAT(other("weight"), AllOf(HasSubstr("'weight'"), HasSubstr("RWKV-4, 5, 6")));
  EXPECT_THAT(error_of([] { official_of({}); }), HasSubstr("holds no tensors"));
}

TEST(Strangers, GoldenTransformersAndExperiments) {
  for (const char* path :
       {"models/llama", "models/gptneox", "golden/rwkv/loader/real_251016_rosa_1bit_run.pth",
        "golden/rwkv/loader/real_260123_reverse_L2_only_rwkv7.pth"}) {
    DECIBAN_NEEDS_SHARED(path);
    EXPECT_THAT(error_of([&] { official_rwkv(Checkpoint::open(shared(path))); }), HasSubstr("not RWKV"));
  }
}

}  // namespace
}  // namespace deciban

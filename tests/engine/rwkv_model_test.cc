// What loading a model refuses, and what a model says of itself.
#include "engine/rwkv_model.h"

#include <gtest/gtest.h>

#include <limits>

#include "engine/random_model.h"
#include "tests/engine/scoring.h"

namespace deciban {
namespace {

Checkpoint golden7() { return official_rwkv(Checkpoint::open(golden("rwkv/rwkv7-small/model.pth"))); }

std::unique_ptr<LanguageModel> load(const Checkpoint& checkpoint, const std::string& mode = "f32") {
  return load_rwkv(checkpoint, byte_tokenizer(), cpu_backend(), mode, {}, {});
}

std::string refusal(const Checkpoint& checkpoint, const std::string& mode = "f32") {
  try {
    load(checkpoint, mode);
  } catch (const std::runtime_error& e) {
    return e.what();
  }
  return {};
}

// One bad value among thousands, in a matrix and in a vector.
TEST(RwkvModel, ValuesThatAreNotFiniteAreRefusedByName) {
  for (const char* name :
       {"blocks.1.ffn.value.weight", "blocks.2.att.w1", "blocks.0.att.k_k", "ln_out.bias", "head.weight"}) {
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
      Checkpoint checkpoint = golden7();
      for (StoredTensor& tensor : checkpoint.tensors) {
        if (tensor.name != name) continue;
        std::vector<float> values = tensor.read_all();
        values[values.size() / 2] = bad;
        tensor = owned_tensor(tensor.name, tensor.shape, values);
      }
      for (const char* mode : {"f32", "bf16", "f16", "int8"}) {
        EXPECT_NE(refusal(checkpoint, mode).find(std::string("'") + name + "'"), std::string::npos)
            << mode << ": " << refusal(checkpoint, mode);
      }
    }
  }
}

// Weights that are packed as they are stored are looked at too.
TEST(RwkvModel, StoredBf16IsChecked) {
  for (const std::uint16_t bad : {0x7f80, 0xff80, 0x7fc0, 0x3f80}) {
    for (const std::size_t place : {std::size_t{0}, std::size_t{1001}, std::size_t{128 * 128 - 1}}) {
      Checkpoint checkpoint = golden7();
      for (StoredTensor& tensor : checkpoint.tensors) {
        if (tensor.name != "blocks.0.att.key.weight") continue;
        ASSERT_EQ(tensor.elements(), 128u * 128u);
        auto values = std::make_shared<std::vector<std::uint16_t>>(tensor.elements(), 0x3c00);
        (*values)[place] = bad;
        tensor = owned_tensor(tensor.name, tensor.shape, std::vector<float>(tensor.elements()));
        tensor.encoding = Encoding::bf16;
        tensor.data = reinterpret_cast<const std::byte*>(values->data());
        tensor.owner = values;
      }
      for (const std::string& isa : supported_isas()) {
        std::string why;
        try {
          load_rwkv(checkpoint, byte_tokenizer(), cpu_backend(isa), "bf16", {}, {});
        } catch (const std::runtime_error& e) {
          why = e.what();
        }
        EXPECT_EQ(why.find("'blocks.0.att.key.weight'") != std::string::npos, bad != 0x3f80)
            << isa << ": " << why;
      }
    }
  }
}

// The mode is fixed by what is stored and by the kernel table: it is part of every record's key.
TEST(RwkvModel, AutoTakesTheStoredWeightsAndTheFasterProducts) {
  const auto mode_of = [](const Checkpoint& checkpoint, const std::string& isa) {
    return load_rwkv(checkpoint, byte_tokenizer(), cpu_backend(isa), "auto", {}, {})->info().format;
  };
  const Checkpoint random = random_rwkv(random_spec("rwkv7-0.1b,layers=1,vocab=256,width=128"));
  for (const std::string& isa : supported_isas()) {
    EXPECT_EQ(mode_of(golden7(), isa), "f32") << isa;
    EXPECT_EQ(mode_of(random, isa), isa.ends_with("bf16") ? "bf16a" : "bf16") << isa;
  }
}

// 70,000 is a sound f32 and bf16 weight, but no f16 one.
TEST(RwkvModel, WeightsBeyondAFormatsRangeAreRefused) {
  Checkpoint checkpoint = golden7();
  for (StoredTensor& tensor : checkpoint.tensors) {
    if (tensor.name != "blocks.0.att.key.weight") continue;
    std::vector<float> values = tensor.read_all();
    values[7] = 70000.0f;
    tensor = owned_tensor(tensor.name, tensor.shape, values);
  }
  EXPECT_EQ(refusal(checkpoint, "f32"), "");
  EXPECT_EQ(refusal(checkpoint, "bf16"), "");
  EXPECT_NE(refusal(checkpoint, "f16").find("blocks.0.att.key.weight"), std::string::npos);
}

TEST(RwkvModel, MissingTensorsAreNamed) {
  Checkpoint checkpoint = golden7();
  std::erase_if(checkpoint.tensors, [](const StoredTensor& t) { return t.name == "blocks.1.att.g2"; });
  EXPECT_NE(refusal(checkpoint).find("blocks.1.att.g2"), std::string::npos) << refusal(checkpoint);
}

TEST(RwkvModel, UnknownModesAndTablesAreNamed) {
  EXPECT_THROW(load(golden7(), "fp8"), std::invalid_argument);
  EXPECT_THROW(cpu_backend("avx3"), std::invalid_argument);
  for (const std::string& isa : supported_isas()) EXPECT_EQ(cpu_backend(isa)->kernels(), isa);
}

TEST(RwkvModel, InfoSaysWhatItIs) {
  const auto model = load(golden7(), "auto");
  const ModelInfo& info = model->info();
  EXPECT_EQ(info.family, "rwkv7");
  EXPECT_EQ(info.format, "f32");
  EXPECT_EQ(info.vocabulary, 257u);
  EXPECT_EQ(info.layers, 3u);
  EXPECT_EQ(info.state_bytes, 3u * (2 * 128 + 128 * 64) * 4);
  EXPECT_EQ(info.start_token, 0);
  EXPECT_FALSE(info.context_limit.has_value());
  EXPECT_GT(model->memory().weights, 0u);
  EXPECT_EQ(model->memory().cache, 0u);
  const auto batch = model->start_batch(5);
  EXPECT_EQ(batch->state_bytes(), 5 * info.state_bytes);
  EXPECT_EQ(model->memory().cache, 5 * info.state_bytes);
  EXPECT_THROW(batch->step(std::vector<Token>{1, 2}), std::invalid_argument);
  EXPECT_THROW(batch->step(std::vector<Token>{1, 2, 3, 4, 257}), std::invalid_argument);
  EXPECT_THROW(model->start_batch(0), std::invalid_argument);
}

// Activations that overflow give no finite log-probability: the sequence fails, the others do not.
TEST(RwkvModel, OverflowFailsTheSequenceWithItsReason) {
  Checkpoint checkpoint = golden7();
  for (StoredTensor& tensor : checkpoint.tensors) {
    if (tensor.name == "ln_out.weight") {
      tensor = owned_tensor(tensor.name, tensor.shape, std::vector<float>(128, 3e38f));
    }
  }
  const auto model = load(checkpoint);
  const std::vector<Token> text = {1, 2, 3};
  const Collected got = score(*model, {{.tokens = text}, {.tokens = text, .first = 3}});
  EXPECT_NE(got.failures.at(0).find("not a finite number"), std::string::npos);
  EXPECT_TRUE(got.scores.at(1).empty());
}

}  // namespace
}  // namespace deciban

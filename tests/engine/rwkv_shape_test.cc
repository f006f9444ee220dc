#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/rwkv_names.h"
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

TEST(Shape, ShapesOfTinyModels) {
  const RwkvShape six = rwkv_shape(official_of(tiny_rwkv("6")));
  EXPECT_EQ(six.mix_rank, 1u);
  EXPECT_EQ(six.decay_rank, 3u);
  const RwkvShape seven = rwkv_shape(official_of(tiny_rwkv("7")));
  EXPECT_EQ(std::vector({seven.w_rank, seven.a_rank, seven.v_rank, seven.g_rank}),
            std::vector<std::size_t>({1, 2, 3, 5}));
  EXPECT_EQ(seven.vocabulary, 5u);
  EXPECT_EQ(seven.layers, 2u);
  EXPECT_EQ(seven.width, 4u);
  EXPECT_EQ(seven.ffn, 8u);
  EXPECT_EQ(name(seven.version), "rwkv7");
}

TEST(Shape, ParameterCountLeavesOutWhatIsUnused) {
  auto tensors = tiny_rwkv("7");
  const auto before = parameter_count(official_of(tensors));
  tensors.push_back(f32_tensor("blocks.0.att.v0", {1, 1, 4}, {1, 2, 3, 4}));
  tensors.push_back(f32_tensor("blocks.0.att.v1", {4, 3}, std::vector<float>(12)));
  tensors.push_back(f32_tensor("blocks.0.att.v2", {3, 4}, std::vector<float>(12)));
  EXPECT_EQ(parameter_count(official_of(tensors)), before);
  EXPECT_NO_THROW(rwkv_shape(official_of(tensors)));
  const auto meta = shared("models/rwkv7/meta.json");
  if (std::filesystem::exists(meta)) {
    EXPECT_EQ(parameter_count(official_rwkv(Checkpoint::open(shared("models/rwkv7/model.pth")))), 2'116'416u);
  }
}

// Every tensor in turn left out, given another shape, and made of integers.
TEST(Shape, NamesWhateverIsMissingOrWrong) {
  for (const char* version : {"4", "5.0", "5.1", "5.2", "6", "7"}) {
    const auto whole = tiny_rwkv(version);
    ASSERT_NO_THROW(rwkv_shape(official_of(whole)));
    for (std::size_t i = 0; i < whole.size(); ++i) {
      SCOPED_TRACE(std::string(version) + " " + whole[i].name);
      auto without = whole;
      without.erase(without.begin() + static_cast<std::ptrdiff_t>(i));
      EXPECT_THROW(rwkv_shape(official_of(without)), std::runtime_error);
      auto longer = whole;
      longer[i].shape[0] += 1;
      longer[i].data.resize(longer[i].data.size() / whole[i].shape[0] * longer[i].shape[0]);
      EXPECT_THROW(rwkv_shape(official_of(longer)), std::runtime_error);
      auto integers = whole;
      integers[i].encoding = Encoding::i32;
      EXPECT_THROW(rwkv_shape(official_of(integers)), std::runtime_error);
    }
    const auto error = [&](const std::string& name) {
      auto changed = whole;
      std::erase_if(changed, [&](const WrittenTensor& tensor) { return tensor.name == name; });
      return error_of([&] { rwkv_shape(official_of(changed)); });
    };
    EXPECT_THAT(
        error("blocks.1.ffn.value.weight"),
        AllOf(HasSubstr("file: "), HasSubstr("blocks.1.ffn.value.weight"), HasSubstr("[4, 8] is missing")));
    auto wrong = whole;
    for (auto& tensor : wrong) {
      if (tensor.name == "head.weight") tensor.shape = {4, 5};
    }
    EXPECT_THAT(error_of([&] { rwkv_shape(official_of(wrong)); }),
                AllOf(HasSubstr("'head.weight'"), HasSubstr("[4, 5]"), HasSubstr("[5, 4] is needed")));
  }
}

TEST(Shape, RefusesGapsBetweenBlocks) {
  auto tensors = tiny_rwkv("4");
  for (WrittenTensor& tensor : tensors) tensor.name = replaced(tensor.name, "blocks.1.", "blocks.9999.");
  EXPECT_THAT(error_of([&] { rwkv_shape(official_of(tensors)); }), HasSubstr("blocks.1."));
}

}  // namespace
}  // namespace deciban

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/checkpoint_files.h"
#include "tests/engine/damage.h"
#include "tests/engine/error_of.h"
#include "tests/engine/tiny_rwkv.h"

namespace deciban {
namespace {

using namespace testing_files;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(Safetensors, ReadsWhatItsWriterWrote) {
  const Checkpoint checkpoint =
      read_bytes(safetensors_file({f32_tensor("z", {2, 3}, {1, 2, 3, 4, 5, 6}),
                                   {"a", {2}, packed<std::uint16_t>({0x3f80, 0x4000}), Encoding::bf16},
                                   {"scalar", {}, packed<std::int64_t>({-7}), Encoding::i64},
                                   {"empty", {0, 3}, "", Encoding::f16}}));
  EXPECT_EQ(checkpoint.format, "safetensors");
  EXPECT_EQ(checkpoint.metadata, (std::map<std::string, std::string>{{"format", "pt"}}));
  ASSERT_EQ(checkpoint.tensors.size(), 4u);
  EXPECT_EQ(checkpoint.tensors[0].name, "z");  // the order of the data, not of the names
  EXPECT_EQ(checkpoint.at("z").transposed().read_all(), (std::vector<float>{1, 4, 2, 5, 3, 6}));
  EXPECT_EQ(checkpoint.at("a").read_all(), (std::vector<float>{1, 2}));
  EXPECT_EQ(checkpoint.at("scalar").read_all(), (std::vector<float>{-7}));
  EXPECT_TRUE(checkpoint.at("empty").read_all().empty());
}

TEST(Safetensors, MayBePaddedWithSpaces) {
  EXPECT_EQ(read_bytes(safetensors_raw(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}    )", "xy"))
                .tensors.size(),
            1u);
}

void refused(std::string_view header, std::string_view data, const char* reason) {
  SCOPED_TRACE(header);
  EXPECT_THAT(error_of([&] { read_bytes(safetensors_raw(header, data)); }),
              AllOf(HasSubstr("file: "), HasSubstr(reason)));
}

TEST(Safetensors, RefusesBrokenHeaders) {
  refused(R"({"a":)", "", "not a JSON object");
  refused(R"({]})", "", "not a JSON object");
  refused(R"({"a":1})", "", "tensor 'a' is not described");
  refused(R"({"a":{"shape":[],"data_offsets":[0,0]}})", "", "has no dtype");
  refused(R"({"a":{"dtype":7,"shape":[],"data_offsets":[0,0]}})", "", "has no dtype");
  refused(R"({"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}})", "x",
          "'F8_E4M3' are not supported");
  refused(R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", "x", "shape must be a list");
  refused(R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})", "x", "at most 8");
  refused(R"({"a":{"dtype":"U8","shape":[1]}})", "x", "data_offsets must be");
  refused(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}})", "x", "data_offsets must be");
  refused(R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", "x", "whole numbers");
  refused(R"({"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}})", "x", "whole numbers");
  refused(R"({"a":{"dtype":"U8","shape":[1e30],"data_offsets":[0,1]}})", "x", "whole numbers");
  refused(R"({"a":{"dtype":"U8","shape":[99999999999999999999],"data_offsets":[0,1]}})", "x",
          "whole numbers");
  refused(R"({"__metadata__":3})", "", "__metadata__");
  refused(R"({"__metadata__":{"a":3}})", "", "__metadata__ 'a'");
}

TEST(Safetensors, RefusesOffsetsThatDoNotTile) {
  refused(R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})", "xy", "outside of the 2 bytes");
  refused(R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[2,1]}})", "xy", "outside of the 2 bytes");
  refused(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,1]}})", "x", "needs 2 bytes, has 1");
  refused(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})", "",
          "impossibly large");
  refused(R"({"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}})", "",
          "impossibly large");
  refused(R"({"a":{"dtype":"F32","shape":[0,4611686018427387904,8],"data_offsets":[0,0]}})", "",
          "impossibly large");
  refused(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", "xy", "after a gap");
  refused(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "xy", "the file has 2");
  refused(
      R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
      "xyz", "inside another");
  refused(
      R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
      "xy", "gap");
}

TEST(Safetensors, RefusesHugeHeaders) {
  std::string huge;
  put<std::uint64_t>(huge, 100'000'001);
  EXPECT_THAT(error_of([&] { read_bytes(huge + "{}"); }), HasSubstr("more than 100000000"));
  std::string cut;
  put<std::uint64_t>(cut, 50);
  EXPECT_THAT(error_of([&] { read_bytes(cut + "{}"); }), HasSubstr("truncated"));
  refused("{\"a\":" + std::string(100'000, '[') + "}", "", "not a JSON object");
  const std::string nested = "{\"a\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  refused(nested, "", "not described");
}

TEST(Safetensors, SurvivesTruncationAndBitFlips) {
  const std::string whole = safetensors_file(tiny_rwkv("7", {.layers = 1}));
  expect_truncations_refused(whole);
  survive_bit_flips(whole);
}

}  // namespace
}  // namespace deciban

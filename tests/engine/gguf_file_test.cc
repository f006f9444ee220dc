#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/checkpoint_files.h"
#include "tests/engine/damage.h"
#include "tests/engine/error_of.h"
#include "tests/shared_data.h"

namespace deciban {
namespace {

using namespace testing_files;
using ::testing::AllOf;
using ::testing::HasSubstr;

const WrittenTensor kTensor = f32_tensor("a", {2, 3}, {1, 2, 3, 4, 5, 6});

TEST(GgufFile, ReadsWhatItsWriterWrote) {
  for (const std::uint32_t version : {2u, 3u}) {
    const Checkpoint checkpoint = read_bytes(gguf_file(
        {gguf_text("general.architecture", "rwkv7"), gguf_u32("n", 7), gguf_number<std::int8_t>("i8", 1, -3),
         gguf_number<std::uint8_t>("yes", 7, 1), gguf_number("pi", 6, 0.5f), gguf_number("e", 12, -2.5),
         gguf_number<std::int64_t>("i64", 11, -5),
         gguf_texts("tokenizer.ggml.tokens", {"<s>", "\\x00", "\xff"}), gguf_texts("others", {"x", "y"})},
        {kTensor, {"b", {1, 32}, std::string(34, '\0'), Encoding::q8_0}}, 32, version));
    EXPECT_EQ(checkpoint.format, "gguf");
    EXPECT_EQ(checkpoint.metadata, (std::map<std::string, std::string>{{"general.architecture", "rwkv7"},
                                                                       {"n", "7"},
                                                                       {"i8", "-3"},
                                                                       {"yes", "true"},
                                                                       {"pi", "0.5"},
                                                                       {"e", "-2.5"},
                                                                       {"i64", "-5"}}));
    EXPECT_EQ(checkpoint.vocabulary, (std::vector<std::string>{"<s>", "\\x00", "\xff"}));
    EXPECT_EQ(checkpoint.at("a").shape, (std::vector<std::size_t>{2, 3}));
    EXPECT_EQ(checkpoint.at("a").read_all(), (std::vector<float>{1, 2, 3, 4, 5, 6}));
    EXPECT_EQ(checkpoint.at("b").read_all(), std::vector<float>(32, 0.0f));
  }
}

TEST(GgufFile, HonoursItsAlignment) {
  for (const std::uint32_t alignment : {8u, 32u, 64u, 4096u}) {
    const auto checkpoint = read_bytes(gguf_file({gguf_u32("general.alignment", alignment)},
                                                 {kTensor, f32_tensor("b", {1}, {7})}, alignment));
    EXPECT_EQ(checkpoint.at("a").read_all(), (std::vector<float>{1, 2, 3, 4, 5, 6}));
    EXPECT_EQ(checkpoint.at("b").read_all(), (std::vector<float>{7}));
  }
}

TEST(GgufFile, ReadsTheVocabularyOfAModel) {
  DECIBAN_NEEDS_SHARED("golden/rwkv/formats/rwkv7/rwkv7-f32.gguf");
  const Checkpoint checkpoint = Checkpoint::open(shared("golden/rwkv/formats/rwkv7/rwkv7-f32.gguf"));
  ASSERT_EQ(checkpoint.vocabulary.size(), 257u);
  EXPECT_EQ(checkpoint.vocabulary[0], "<s>");
  EXPECT_EQ(checkpoint.vocabulary[1], "\\x00");
  EXPECT_EQ(checkpoint.vocabulary[256], "\\xff");
  EXPECT_EQ(checkpoint.metadata.at("rwkv7.block_count"), "3");
}

void refused(const std::string& bytes, const char* reason) {
  EXPECT_THAT(error_of([&] { read_bytes(bytes); }), AllOf(HasSubstr("file: "), HasSubstr(reason)));
}

TEST(GgufFile, RefusesOtherVersionsAndParts) {
  refused(gguf_file({}, {kTensor}, 32, 1), "version 1");
  refused(gguf_file({}, {kTensor}, 32, 4), "version 4");
  refused(gguf_file({}, {kTensor}, 32, 0x03000000), "big-endian");
  refused(gguf_file({gguf_number<std::uint16_t>("split.count", 2, 3)}, {kTensor}), "one of 3 parts");
}

TEST(GgufFile, RefusesBrokenMetadata) {
  refused(gguf_file({gguf_u32("a", 1), gguf_u32("a", 2)}, {}), "'a' is given twice");
  refused(gguf_file({gguf_number<std::uint32_t>("a", 13, 1)}, {}), "unknown type 13");
  refused(gguf_file({gguf_u32("", 1)}, {}), "key of 0 bytes");
  for (const std::uint32_t alignment : {0u, 3u, 1u << 30}) {
    refused(gguf_file({gguf_u32("general.alignment", alignment)}, {kTensor}), "general.alignment");
  }
  refused(gguf_file({gguf_text("general.alignment", "032")}, {kTensor}), "general.alignment");
  std::string array = gguf_texts("a", {});
  array.replace(array.size() - 8, 8, packed<std::uint64_t>({std::uint64_t{1} << 60}));
  refused(gguf_file({array}, {}), "truncated");
  std::string numbers = array;
  numbers.replace(numbers.size() - 12, 4, packed<std::uint32_t>({10}));
  refused(gguf_file({numbers}, {}), "does not fit");
  std::string tokens = gguf_texts("tokenizer.ggml.tokens", {});
  tokens.replace(tokens.size() - 8, 8, packed<std::uint64_t>({std::uint64_t{1} << 60}));
  refused(gguf_file({tokens}, {}), "no vocabulary");
  std::string deep = gguf_texts("a", {}).substr(0, 13);
  for (int i = 0; i < 100; ++i) deep += packed<std::uint32_t>({9}) + packed<std::uint64_t>({1});
  refused(gguf_file({deep}, {}), "nested too deeply");
}

TEST(GgufFile, RefusesHugeCounts) {
  std::string bytes =
      "GGUF" + packed<std::uint32_t>({3}) + packed<std::uint64_t>({std::uint64_t{1} << 62, 0});
  refused(bytes, "do not fit");
  bytes = "GGUF" + packed<std::uint32_t>({3}) + packed<std::uint64_t>({0, std::uint64_t{1} << 62});
  refused(bytes, "do not fit");
}

TEST(GgufFile, RefusesBrokenTensors) {
  WrittenTensor odd = kTensor;
  odd.encoding = Encoding::i8;  // written as type 99
  refused(gguf_file({}, {odd}), "type 99 (unknown)");
  std::string k_quant = gguf_file({}, {odd});
  k_quant.replace(k_quant.find(packed<std::uint32_t>({99})), 4, packed<std::uint32_t>({13}));
  refused(k_quant, "type 13 (Q5_K)");
  refused(gguf_file({}, {f32_tensor("a", {1, 1, 1, 1, 1}, {1})}), "5 dimensions");
  refused(gguf_file({}, {{"a", {33}, std::string(100, 'x'), Encoding::q4_0}}), "multiple of 32");
  refused(gguf_file({}, {{"a", {std::size_t{1} << 62, 4}, "", Encoding::f32}}), "impossibly large");
  refused(gguf_file({}, {{"a", {100}, "short", Encoding::f32}}), "truncated?");
  refused(gguf_file({}, {kTensor, kTensor}), "two tensors are named 'a'");
  // Two tensors at one place.
  std::string overlap = gguf_file({}, {kTensor, f32_tensor("b", {1}, {7})});
  const std::string second =
      "b" + packed<std::uint32_t>({1}) + packed<std::uint64_t>({1}) + packed<std::uint32_t>({0});
  overlap.replace(overlap.find(second) + second.size(), 8, packed<std::uint64_t>({8}));
  refused(overlap, "overlap");
}

TEST(GgufFile, SurvivesTruncationAndBitFlips) {
  const std::string whole =
      gguf_file({gguf_text("general.architecture", "rwkv7"), gguf_u32("general.alignment", 32),
                 gguf_texts("tokenizer.ggml.tokens", {"a", "b"})},
                {kTensor, {"b", {2, 32}, std::string(36, 'q'), Encoding::q4_0}});
  expect_truncations_refused(whole);
  survive_bit_flips(whole, 20'000);
}

}  // namespace
}  // namespace deciban

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

const std::string kHeader = rwkvcpp_header(101, 257, 64, 2, 0);

TEST(RwkvCppFile, ReadsWhatItsWriterWrote) {
  std::string q8;
  put<std::uint16_t>(q8, 0x4000);
  for (int i = 0; i < 32; ++i) put(q8, static_cast<std::int8_t>(i - 16));
  const Checkpoint checkpoint =
      read_bytes(kHeader + rwkvcpp_record(f32_tensor("a", {2, 3}, {1, 2, 3, 4, 5, 6})) +
                 rwkvcpp_record({"q", {1, 32}, q8, Encoding::q8_0}));
  EXPECT_EQ(checkpoint.format, "rwkv.cpp");
  EXPECT_EQ(checkpoint.metadata.at("n_vocab"), "257");
  EXPECT_EQ(checkpoint.at("a").shape, (std::vector<std::size_t>{2, 3}));
  EXPECT_EQ(checkpoint.at("a").read_all(), (std::vector<float>{1, 2, 3, 4, 5, 6}));
  for (std::size_t i = 0; i < 32; ++i)
    EXPECT_EQ(checkpoint.at("q").read_all()[i], 2 * (static_cast<float>(i) - 16));
}

void refused_as_rwkvcpp(const std::string& bytes, const char* reason) {
  EXPECT_THAT(error_of([&] { read_bytes(bytes); }), AllOf(HasSubstr("file: "), HasSubstr(reason)));
}

TEST(RwkvCppFile, RefusesHeadersItDoesNotKnow) {
  refused_as_rwkvcpp(rwkvcpp_header(99, 1, 1, 1, 0), "version 99");
  refused_as_rwkvcpp(rwkvcpp_header(102, 1, 1, 1, 0), "version 102");
  refused_as_rwkvcpp(rwkvcpp_header(101, 0, 1, 1, 0), "damaged header");
  refused_as_rwkvcpp(rwkvcpp_header(101, 1, -5, 1, 0), "damaged header");
  refused_as_rwkvcpp(kHeader.substr(0, 20), "truncated");
}

TEST(RwkvCppFile, RefusesBrokenRecords) {
  const auto record = [](std::int32_t rank, std::int32_t name, std::int32_t type,
                         std::vector<std::int32_t> extents, const std::string& rest) {
    return kHeader + packed<std::int32_t>({rank, name, type}) + packed(extents) + rest;
  };
  refused_as_rwkvcpp(record(0, 1, 0, {}, "a"), "0 dimensions");
  refused_as_rwkvcpp(record(5, 1, 0, {1, 1, 1, 1, 1}, "axxxx"), "5 dimensions");
  refused_as_rwkvcpp(record(1, 0, 0, {1}, "xxxx"), "name of 0 bytes");
  refused_as_rwkvcpp(record(1, 1'000'000, 0, {1}, "xxxx"), "name of 1000000 bytes");
  refused_as_rwkvcpp(record(1, -1, 0, {1}, "xxxx"), "name of -1 bytes");
  refused_as_rwkvcpp(record(1, 1, 0, {-1}, "axxxx"), "dimension of -1");
  refused_as_rwkvcpp(record(1, 1, 5, {1}, "axxxx"), "type 5");
  refused_as_rwkvcpp(record(1, 1, 2, {33}, "axxxx"), "multiple of 32");
  refused_as_rwkvcpp(record(1, 1, 0, {1000}, "axxxx"), "data of tensor 'a'");
  refused_as_rwkvcpp(record(4, 1, 0, {0x7fffffff, 0x7fffffff, 0x7fffffff, 0x7fffffff}, "axxxx"),
                     "impossibly large");
  refused_as_rwkvcpp(record(1, 1, 0, {1}, "axxxx") + packed<std::int32_t>({1, 1, 0, 1}) + "axxxx",
                     "two tensors are named 'a'");
}

TEST(RwkvCppFile, RefusesTheObsoleteQuantisedLayout) {
  const std::string record = rwkvcpp_record({"q", {32}, std::string(18, 'x'), Encoding::q4_0});
  refused_as_rwkvcpp(rwkvcpp_header(100, 1, 1, 1, 2) + record, "obsolete");
  EXPECT_EQ(read_bytes(rwkvcpp_header(101, 1, 1, 1, 2) + record).tensors.size(), 1u);
  EXPECT_EQ(
      read_bytes(rwkvcpp_header(100, 1, 1, 1, 0) + rwkvcpp_record(f32_tensor("a", {1}, {1}))).tensors.size(),
      1u);
}

TEST(RwkvCppFile, RefusesMoreTensorsThanAnyModelHas) {
  std::string bytes = kHeader;
  const std::string record = packed<std::int32_t>({1, 1, 0, 0}) + "a";  // empty, but costs memory
  for (int i = 0; i < (1 << 20) + 1; ++i) bytes += record;
  refused_as_rwkvcpp(bytes, "more than 1048576 tensors");
}

TEST(RwkvCppFile, SurvivesTruncationAndBitFlips) {
  const std::string whole = rwkvcpp_file(tiny_rwkv("6", {.layers = 1}));
  ASSERT_TRUE(accepted(whole));
  // The format has no end mark: a cut between two records is not seen here, but by rwkv_shape.
  for (std::size_t length = 1; length < whole.size(); ++length) accepted(whole.substr(0, length));
  EXPECT_FALSE(accepted(whole.substr(0, whole.size() - 1)));
  survive_bit_flips(whole);
}

}  // namespace
}  // namespace deciban

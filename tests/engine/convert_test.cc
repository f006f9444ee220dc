// Converted models: the same log-probabilities, bit by bit, as quantising at loading; and files that are not
// what they say.
#include "engine/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "tests/engine/error_of.h"
#include "tests/engine/scoring.h"
#include "tests/scratch_directory.h"

namespace deciban {
namespace {

using ::testing::HasSubstr;

std::string bytes_of_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::filesystem::path demo(const char* version) {
  return std::filesystem::path(DECIBAN_SOURCE_DIR) / "datasets/demo" / version / "model.pth";
}

std::vector<float> logprobs(const std::filesystem::path& file, const Opening& how) {
  std::vector<Token> text;
  for (int i = 0; i < 300; ++i) text.push_back(static_cast<Token>((i * i + 7 * i) % 96 + 32));
  const auto model = open_golden(file, how);
  const Collected got = score(*model, {{.tokens = text}});
  EXPECT_TRUE(got.failures.empty());
  std::vector<float> values;
  for (const TokenScore& s : got.scores.at(0)) values.push_back(s.logprob);
  return values;
}

class Converted : public testing::TestWithParam<const char*> {};

TEST_P(Converted, GivesTheSameBitsAsQuantisingAtLoading) {
  const ScratchDirectory folder;
  for (const char* format : {"bf16", "f16", "int8", "int4", "int4g64"}) {
    const auto file = folder / (std::string(format) + ".safetensors");
    const Conversion done = convert_rwkv(demo(GetParam()), format, file);
    EXPECT_EQ(done.bytes_after, std::filesystem::file_size(file));
    EXPECT_EQ(done.family, GetParam());
    for (const std::string& isa : supported_isas()) {
      const Opening how{.isa = isa, .mode = format};
      EXPECT_EQ(logprobs(file, how), logprobs(demo(GetParam()), how)) << format << " on " << isa;
    }
    // What "auto" makes of it is its own format.
    const auto model = open_golden(file, {.mode = "auto"});
    if (std::string(format).starts_with("int")) {
      EXPECT_EQ(model->info().format, format);
    }
    // A converted file converts again without another loss.
    convert_rwkv(file, format, folder / "again");
    EXPECT_EQ(bytes_of_file(folder / "again"), bytes_of_file(file)) << format;
  }
}
INSTANTIATE_TEST_SUITE_P(All, Converted, testing::Values("rwkv4", "rwkv7"));

// The quantised values themselves, read as numbers: no element is further off than half a step of its group.
TEST(ConvertedValues, AreWithinHalfAStep) {
  const ScratchDirectory folder;
  const Checkpoint before = official_rwkv(Checkpoint::open(demo("rwkv7")));
  for (const auto& [format, group, steps] :
       {std::tuple{"int8", std::size_t{32}, 254.0}, {"int4", 32, 15.0}, {"int4g64", 64, 15.0}}) {
    convert_rwkv(demo("rwkv7"), format, folder / "m");
    const Checkpoint after = official_rwkv(Checkpoint::open(folder / "m"));
    const std::vector<float> was = before.at("blocks.1.ffn.key.weight").read_all(),
                             is = after.at("blocks.1.ffn.key.weight").read_all();
    ASSERT_EQ(was.size(), is.size());
    double off = 0, plain = 0;
    for (std::size_t i = 0; i < was.size(); i += group) {
      const auto [low, high] = std::minmax_element(was.begin() + i, was.begin() + i + group);
      const double top = std::max(std::abs(*low), std::abs(*high));
      const double range = std::string(format) == "int8" ? 2 * top : static_cast<double>(*high) - *low;
      plain += range * range / (steps * steps) / 12 * static_cast<double>(group);
      for (std::size_t k = i; k < i + group; ++k) off += (was[k] - is[k]) * (was[k] - is[k]);
    }
    EXPECT_LT(off, 1.05 * plain) << format;  // a plain rounding of the whole range has about this error
    EXPECT_GT(off, 0.3 * plain) << format;
    // LoRA matrices keep their shape, and their inputs lie along the other dimension.
    EXPECT_EQ(after.at("blocks.1.att.w1").shape, before.at("blocks.1.att.w1").shape);
    const std::vector<float> lora_was = before.at("blocks.1.att.w1").read_all(),
                             lora_is = after.at("blocks.1.att.w1").read_all();
    double error = 0, size = 0;
    for (std::size_t i = 0; i < lora_was.size(); ++i) {
      error += (lora_was[i] - lora_is[i]) * (lora_was[i] - lora_is[i]);
      size += lora_was[i] * lora_was[i];
    }
    EXPECT_LT(error, 1e-4 * size) << format;
  }
}

TEST(ConvertedFiles, AreRefusedWhenDamaged) {
  const ScratchDirectory folder;
  convert_rwkv(demo("rwkv7"), "int4", folder / "m");
  const std::string good = bytes_of_file(folder / "m");
  const auto refused = [&](const std::string& bytes) {
    const auto path = folder.write("bad.safetensors", bytes);
    return error_of([&] { logprobs(path, {.mode = "int4"}); });
  };
  EXPECT_THAT(refused(good.substr(0, good.size() - 1000)), HasSubstr("truncated"));
  EXPECT_THAT(refused(good.substr(0, 1000)), HasSubstr("safetensors header"));
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string bytes = good;
    const std::size_t at = bytes.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    EXPECT_EQ(from.size(), to.size());
    bytes.replace(at, from.size(), to);
    return refused(bytes);
  };
  EXPECT_THAT(changed(R"(\"encoding\":\"i4g32\")", R"(\"encoding\":\"i9g32\")"),
              HasSubstr("'i9g32' are not known"));
  EXPECT_THAT(changed(R"(\"encoding\":\"i4g32\")", R"(\"encoding\":\"i4g64\")"),
              HasSubstr("do not hold shape"));
  EXPECT_THAT(changed(R"(\"encoding\":\"i4g32\")", R"(\"encodinx\":\"i4g32\")"),
              HasSubstr("has no encoding"));
  EXPECT_THAT(changed(R"(blocks.1.ffn.key.weight\":{)", R"(blocks.7.ffn.key.weight\":{)"),
              HasSubstr("is not in the file"));
  EXPECT_THAT(changed("deciban.quantised\":\"{", "deciban.quantised\":\"["), HasSubstr("not a JSON object"));
  // Without the description bytes are no weights.
  EXPECT_THAT(changed("deciban.quantised", "deciban.quantisex"), HasSubstr("shape"));
  // A scale that is no number.
  std::string bytes = good;
  const Checkpoint checkpoint = Checkpoint::open(folder / "m");
  const StoredTensor& tensor = checkpoint.at("blocks.1.ffn.key.weight");
  const auto* base = reinterpret_cast<const char*>(checkpoint.tensors.front().data);
  const std::size_t data = 8 + static_cast<std::size_t>(static_cast<unsigned char>(good[0])) +
                           (static_cast<std::size_t>(static_cast<unsigned char>(good[1])) << 8) +
                           (static_cast<std::size_t>(static_cast<unsigned char>(good[2])) << 16);
  const std::size_t place =
      data + static_cast<std::size_t>(reinterpret_cast<const char*>(tensor.data) - base);
  bytes[place] = static_cast<char>(0x80);
  bytes[place + 1] = 0x7f;
  EXPECT_THAT(refused(bytes), HasSubstr("'blocks.1.ffn.key.weight' holds a value that is not finite"));
}

TEST(ConvertedFiles, NeedAKnownFormat) {
  const ScratchDirectory folder;
  EXPECT_THROW(convert_rwkv(demo("rwkv7"), "int3", folder / "m"), std::invalid_argument);
  EXPECT_FALSE(std::filesystem::exists(folder / "m"));
  EXPECT_THAT(error_of([&] { convert_rwkv(demo("rwkv7"), "int4", folder / "no/m"); }),
              HasSubstr("cannot write"));
}

}  // namespace
}  // namespace deciban

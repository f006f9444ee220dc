#include "evals/compressor.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/scratch_directory.h"
#include "tests/shared_data.h"

namespace deciban {
namespace {

// Inputs small and big, dull and random, and a real text.
std::vector<std::string> inputs() {
  std::vector<std::string> inputs{"",
                                  "a",
                                  "hello, hello, hello, hello",
                                  std::string(255, 'x'),
                                  std::string(256, 'y'),
                                  std::string(100000, 'z')};
  std::uint32_t state = 1;
  const auto random = [&state] { return (state = state * 1664525 + 1013904223) >> 24; };
  for (const std::size_t size : {1000, 70000, 1500000}) {
    std::string noise, words;
    while (noise.size() < size) noise += static_cast<char>(random());
    while (words.size() < size)
      words += "the word " + std::to_string(random() % 50 * (random() % 7)) + " of ";
    inputs.push_back(noise);
    inputs.push_back(words);
  }
  for (const char* file : {"engine/lm.h", "tests/golden/tokenizers/world.jsonl"})
    inputs.push_back(read_all(source_dir() / file));
  return inputs;
}

// brotli's best quality takes seconds a megabyte.
constexpr std::size_t kSlowFrom = 200000;

bool has_program(const char* name) {
  return std::system((std::string("command -v ") + name + " >/dev/null").c_str()) == 0;
}

// Bytes that the command-line program writes for the file.
std::uint64_t written(const ScratchDirectory& scratch, const std::string& command,
                      const std::string& ending) {
  const std::string file = (scratch / "input").string();
  const std::string line = command + " --quiet --keep --force '" + file + "'";
  EXPECT_EQ(std::system(line.c_str()), 0) << line;
  return std::filesystem::file_size(file + ending);
}

TEST(Compressor, BrotliSizesAreThoseOfTheProgram) {
  if (!has_program("brotli")) GTEST_SKIP() << "no brotli here";
  ScratchDirectory scratch;
  for (const std::string& input : inputs()) {
    if (input.size() > kSlowFrom) continue;
    const std::string file = scratch.write("input", input);
    ASSERT_EQ(std::system(("brotli --keep --force '" + file + "'").c_str()), 0);
    EXPECT_EQ(brotli_size(input).bytes, std::filesystem::file_size(file + ".br")) << input.size();
  }
}

TEST(Compressor, Bzip2SizesAreThoseOfTheProgram) {
  if (!has_program("bzip2")) GTEST_SKIP() << "no bzip2 here";
  ScratchDirectory scratch;
  for (const std::string& input : inputs()) {
    scratch.write("input", input);
    EXPECT_EQ(bzip2_size(input).bytes, written(scratch, "BZIP= BZIP2= bzip2 -9", ".bz2")) << input.size();
  }
}

TEST(Compressor, BrotliAndBzip2TakeInputInParts) {
  std::vector<std::string> all = inputs();
  std::erase_if(all, [](const std::string& input) { return input.size() > kSlowFrom; });
  std::vector<std::string_view> parts(all.begin(), all.end());
  std::string whole;
  for (const std::string& part : all) whole += part;
  EXPECT_EQ(brotli_size(parts).bytes, brotli_size(whole).bytes);
  EXPECT_EQ(bzip2_size(parts).bytes, bzip2_size(whole).bytes);
  EXPECT_EQ(bzip2_size("").bytes, bzip2_size("").header_bytes);
}

TEST(Compressor, XzSizesAreThoseOfTheProgram) {
  if (!has_program("xz")) GTEST_SKIP() << "no xz here";
  ScratchDirectory scratch;
  for (const std::string& input : inputs()) {
    scratch.write("input", input);
    EXPECT_EQ(xz_size(input).bytes, written(scratch, "XZ_DEFAULTS= XZ_OPT= xz -9e", ".xz")) << input.size();
  }
}

TEST(Compressor, ZstdSizesAreThoseOfTheProgram) {
  if (!has_program("zstd")) GTEST_SKIP() << "no zstd here";
  ScratchDirectory scratch;
  for (const std::string& input : inputs()) {
    scratch.write("input", input);
    EXPECT_EQ(zstd_size(input).bytes,
              written(scratch, "env -u ZSTD_CLEVEL -u ZSTD_NBTHREADS zstd -19 --ultra", ".zst"))
        << input.size();
  }
}

TEST(Compressor, ContainersCostWhatTheirFormatsSay) {
  // Nothing to compress: an .xz file of header, empty index and footer; a zstd frame with one empty block of
  // 3 bytes.
  EXPECT_EQ(xz_size("").bytes, 32u);
  EXPECT_EQ(xz_size("").header_bytes, 32u);
  EXPECT_EQ(zstd_size("").bytes, 13u);
  EXPECT_EQ(zstd_size("").header_bytes, 10u);
  // LZMA2 data of incompressible bytes: 3 of chunk header and 1 of end beside the bytes.
  const std::string noise = "\x93\x1f\xa7\x05\xee";
  EXPECT_EQ(xz_size(noise).bytes - xz_size(noise).header_bytes, noise.size() + 4);
  EXPECT_EQ(zstd_size(noise).bytes - zstd_size(noise).header_bytes, noise.size() + 3);
  for (const std::string& input : inputs()) {
    if (input.size() > 100000) continue;
    const CompressedSize xz = xz_size(input), zstd = zstd_size(input);
    EXPECT_GE(xz.header_bytes, input.empty() ? 32u : 52u);
    EXPECT_LE(xz.header_bytes, 68u);
    EXPECT_GE(zstd.header_bytes, 10u);
    EXPECT_LE(zstd.header_bytes, 14u);
    EXPECT_LE(zstd.header_bytes, zstd.bytes);
  }
}

TEST(Compressor, PartsAreOneInput) {
  const std::string text = inputs().back();
  std::vector<std::string_view> parts;
  for (std::size_t at = 0, size = 0; at < text.size(); at += size++)
    parts.push_back(std::string_view(text).substr(at, size));
  EXPECT_EQ(xz_size(parts).bytes, xz_size(text).bytes);
  EXPECT_EQ(zstd_size(parts).bytes, zstd_size(text).bytes);
  EXPECT_EQ(xz_size(std::vector<std::string_view>{}).bytes, 32u);
  // Solid beats apart.
  std::uint64_t apart = 0;
  const std::vector<std::string_view> twice{text, text};
  for (const std::string_view part : twice) apart += zstd_size(part).bytes;
  EXPECT_LT(zstd_size(twice).bytes, apart);
}

}  // namespace
}  // namespace deciban

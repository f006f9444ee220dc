#include <gtest/gtest.h>

#include "engine/tokenizer.h"

namespace deciban {
namespace {

TEST(ByteTokenizer, IdsAreByteValues) {
  const auto tokenizer = byte_tokenizer();
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  const std::vector<Token> tokens = tokenizer->encode(all);
  ASSERT_EQ(tokens.size(), 256u);
  for (int byte = 0; byte < 256; ++byte) EXPECT_EQ(tokens[byte], byte);
  EXPECT_EQ(tokenizer->decode(tokens), all);
  EXPECT_EQ(tokenizer->normalise(all), all);
  EXPECT_TRUE(tokenizer->encode("").empty());
}

TEST(ByteTokenizer, IdsBeyondBytesDecodeToNothing) {
  EXPECT_EQ(byte_tokenizer()->decode(std::vector<Token>{'a', 256, -1, 'b', 1 << 30}), "ab");
}

TEST(ByteTokenizer, SaysWhatItIs) {
  const auto tokenizer = byte_tokenizer();
  EXPECT_EQ(tokenizer->name(), "bytes");
  // printf bytes | sha256sum
  EXPECT_EQ(tokenizer->digest(), "277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9");
  EXPECT_EQ(tokenizer->size(), 256u);
  EXPECT_EQ(tokenizer->start_token(), 0);
}

TEST(ByteTokenizer, FitsRowsWithAndWithoutASeparator) {
  const auto tokenizer = byte_tokenizer();
  for (const std::size_t rows : {256, 257}) EXPECT_TRUE(tokenizer->fits(rows)) << rows;
  for (const std::size_t rows : {0, 255, 258, 65536}) EXPECT_FALSE(tokenizer->fits(rows)) << rows;
}

}  // namespace
}  // namespace deciban

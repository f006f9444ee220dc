#include "evals/token_scores.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>

namespace deciban {
namespace {

class TokenScores : public testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::temp_directory_path() /
            fmt::format("deciban-scores-{}-{}.bin", ::getpid(),
                        testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove(path_);
  }
  void TearDown() override { std::filesystem::remove(path_); }

  static DocumentTokens document(int i) {
    DocumentTokens result{fmt::format("key{}", i), {}};
    for (int q = 0; q < 1 + i % 2; ++q) {
      TokenColumns columns;
      for (int k = 0; k < i * 3; ++k) {
        columns.tokens.push_back(k * 1000);
        columns.bytes.push_back(static_cast<std::uint32_t>(k % 5));
        columns.logprob.push_back(-0.25f * static_cast<float>(k));
        columns.best_logprob.push_back(-0.125f);
        columns.best.push_back(k == 0 ? -1 : k);
      }
      result.queries.push_back(columns);
    }
    return result;
  }
  static void expect_equal(const DocumentTokens& a, const DocumentTokens& b) {
    EXPECT_EQ(a.key, b.key);
    ASSERT_EQ(a.queries.size(), b.queries.size());
    for (std::size_t q = 0; q < a.queries.size(); ++q) {
      EXPECT_EQ(a.queries[q].tokens, b.queries[q].tokens);
      EXPECT_EQ(a.queries[q].bytes, b.queries[q].bytes);
      EXPECT_EQ(a.queries[q].logprob, b.queries[q].logprob);
      EXPECT_EQ(a.queries[q].best_logprob, b.queries[q].best_logprob);
      EXPECT_EQ(a.queries[q].best, b.queries[q].best);
    }
  }
  void write(int from, int to) {
    TokenScoreWriter writer(path_);
    for (int i = from; i < to; ++i) writer.append(document(i));
  }
  int count() {
    TokenScoreReader reader(path_);
    int n = 0;
    while (const auto read = reader.next()) expect_equal(*read, document(n++));
    return n;
  }
  std::string bytes() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void put(const std::string& text) const { std::ofstream(path_, std::ios::binary) << text; }

  std::filesystem::path path_;
};

TEST_F(TokenScores, WrittenIsRead) {
  write(0, 5);
  EXPECT_EQ(count(), 5);
  EXPECT_TRUE(TokenScoreReader::recognises(path_));
}

TEST_F(TokenScores, AppendsAcrossWritersAndKnowsItsKeys) {
  write(0, 3);
  {
    TokenScoreWriter writer(path_);
    EXPECT_TRUE(writer.has("key2"));
    EXPECT_FALSE(writer.has("key3"));
  }
  write(3, 6);
  EXPECT_EQ(count(), 6);
}

TEST_F(TokenScores, EveryTornTailIsCutOff) {
  write(0, 3);
  const std::string two = [&] {
    const std::string all = bytes();
    std::filesystem::remove(path_);
    write(0, 2);
    const std::string result = bytes();
    put(all);
    return result;
  }();
  const std::string all = bytes();
  for (std::size_t n = two.size(); n < all.size(); ++n) {
    put(all.substr(0, n));
    TokenScoreReader reader(path_);
    int read = 0;
    while (reader.next()) ++read;
    ASSERT_EQ(read, 2) << n;
    EXPECT_EQ(reader.torn(), n > two.size());
    EXPECT_EQ(reader.valid_bytes(), two.size());
  }
  write(2, 4);
  EXPECT_EQ(count(), 4);
}

TEST_F(TokenScores, DamageInTheMiddleIsAnError) {
  write(0, 3);
  std::string text = bytes();
  text[text.size() / 3] = static_cast<char>(text[text.size() / 3] ^ 1);
  put(text);
  TokenScoreReader reader(path_);
  EXPECT_THROW(
      {
        while (reader.next()) {
        }
      },
      std::runtime_error);
  EXPECT_THROW(TokenScoreWriter writer(path_), std::runtime_error);
}

TEST_F(TokenScores, OtherFilesAreNotTakenForOne) {
  put("{\"key\": 1}\n");
  EXPECT_FALSE(TokenScoreReader::recognises(path_));
  TokenScoreReader reader(path_);
  EXPECT_THROW(reader.next(), std::runtime_error);
  EXPECT_THROW(TokenScoreReader("/no/such/file"), std::runtime_error);
}

TEST_F(TokenScores, ImpossibleLengthsAreRefused) {
  write(1, 2);
  std::string text = bytes();
  text[8 + 6] = '\x7f';  // the payload's length becomes about 2^55
  put(text);
  TokenScoreReader reader(path_);
  EXPECT_THROW(reader.next(), std::runtime_error);
}

}  // namespace
}  // namespace deciban

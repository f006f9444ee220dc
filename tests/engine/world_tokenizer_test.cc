#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <unordered_map>

#include "engine/tokenizer.h"
#include "engine/vocabulary_file.h"
#include "engine/world_vocabulary.h"
#include "tests/shared_data.h"

namespace deciban {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* kSmallVocabulary = "data/tokenizers/rwkv_vocab_v20230424.txt";

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The bytes as Python prints them: b'...'.
std::string bytes_literal(const std::string& bytes) {
  std::string literal = "b'";
  for (const char c : bytes) {
    if (c == '\'' || c == '\\') {
      literal += {'\\', c};
    } else if (c >= ' ' && c < 127) {
      literal += c;
    } else {
      literal += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return literal + "'";
}

// A complete small vocabulary: all bytes, and a few longer tokens.
std::string small_vocabulary(const std::string& line_end = "\n") {
  std::string text;
  for (int byte = 0; byte < 256; ++byte) {
    text += std::to_string(byte + 1) + " " + bytes_literal(std::string(1, static_cast<char>(byte))) + " 1" +
            line_end;
  }
  for (const char* line : {"257 'ab' 2", "258 'abcd' 4", "259 '\\u00e4' 2", "260 \"it's\" 4", "261 '  ' 2"}) {
    text += std::string(line) + line_end;
  }
  return text;
}

std::string vocabulary_error(const std::string& text) {
  try {
    parse_world_vocabulary(text, "v.txt");
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

class WorldTokenizerTest : public testing::Test {
 protected:
  void SetUp() override {
    DECIBAN_NEEDS_SHARED(kSmallVocabulary);
    static const std::shared_ptr<Tokenizer> opened = world_tokenizer(shared(kSmallVocabulary));
    tokenizer_ = opened;
  }
  std::shared_ptr<Tokenizer> tokenizer_;
};

TEST_F(WorldTokenizerTest, SaysWhatItIs) {
  EXPECT_EQ(tokenizer_->name(), "world");
  EXPECT_EQ(tokenizer_->digest(), text_digest(bytes_of(shared(kSmallVocabulary))));
  EXPECT_EQ(tokenizer_->size(), 65530u);
  EXPECT_EQ(tokenizer_->start_token(), 0);
  for (const std::size_t rows : {65530, 65535, 65536}) EXPECT_TRUE(tokenizer_->fits(rows)) << rows;
  for (const std::size_t rows : {256, 50277, 65529, 65537, 131072})
    EXPECT_FALSE(tokenizer_->fits(rows)) << rows;
}

TEST_F(WorldTokenizerTest, MeetsUpstreamsVectors) {
  std::ifstream in(golden("tokenizers/world.jsonl"));
  std::string line;
  int vectors = 0;
  for (; std::getline(in, line); ++vectors) {
    const auto vector = nlohmann::json::parse(line);
    std::string text;
    const std::string hex = vector["bytes_hex"];
    for (std::size_t i = 0; i < hex.size(); i += 2)
      text += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    EXPECT_EQ(tokenizer_->encode(text), vector["ids"].get<std::vector<Token>>()) << vector["note"];
    EXPECT_EQ(tokenizer_->decode(tokenizer_->encode(text)), text) << vector["note"];
  }
  EXPECT_EQ(vectors, 378);
}

// The text is upstream's own README.md at the time, which is not part of the project.
TEST_F(WorldTokenizerTest, MeetsUpstreamsIdsOfALongDocument) {
  constexpr const char* kDocument = "data/tokenizers/RWKV-LM-README.md";
  DECIBAN_NEEDS_SHARED(kDocument);
  const auto expected = nlohmann::json::parse(bytes_of(golden("tokenizers/world-digest.json")));
  const std::string text = bytes_of(shared(kDocument));
  ASSERT_EQ(text_digest(text), expected["sha256_of_input"]);
  const std::vector<Token> tokens = tokenizer_->encode(text);
  EXPECT_EQ(tokens.size(), expected["n_tokens"].get<std::size_t>());
  std::string little_endian;
  for (const Token token : tokens) little_endian += {static_cast<char>(token), static_cast<char>(token >> 8)};
  EXPECT_EQ(text_digest(little_endian), expected["sha256_of_ids_u16le"]);
}

TEST_F(WorldTokenizerTest, TakesTheLongestTokenAtEveryPosition) {
  const WorldVocabulary vocabulary = parse_world_vocabulary(bytes_of(shared(kSmallVocabulary)), "vocabulary");
  std::unordered_map<std::string_view, Token> ids;
  std::size_t longest = 0;
  for (std::size_t id = 1; id < vocabulary.size(); ++id) {
    ids.emplace(vocabulary[id], static_cast<Token>(id));
    longest = std::max(longest, vocabulary[id].size());
  }
  EXPECT_EQ(longest, 128u);
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    // Tokens, prefixes of tokens and single bytes, so that near misses are common.
    std::string text;
    while (text.size() < 200) {
      const std::string& token = vocabulary[1 + random() % (vocabulary.size() - 1)];
      text += random() % 3 ? token : token.substr(0, random() % (token.size() + 1));
      if (random() % 8 == 0) text += static_cast<char>(random());
    }
    std::vector<Token> expected;
    for (std::size_t at = 0; at < text.size();) {
      std::size_t length = std::min(longest, text.size() - at);
      while (!ids.contains(std::string_view(text).substr(at, length))) --length;
      expected.push_back(ids[std::string_view(text).substr(at, length)]);
      at += length;
    }
    ASSERT_EQ(tokenizer_->encode(text), expected);
    ASSERT_EQ(tokenizer_->decode(expected), text);
  }
}

TEST_F(WorldTokenizerTest, RandomBytesRoundTrip) {
  std::mt19937 random(2);
  for (int round = 0; round < 200; ++round) {
    std::string text(random() % 500, '\0');
    for (char& c : text) c = static_cast<char>(random());
    ASSERT_EQ(tokenizer_->decode(tokenizer_->encode(text)), text);
  }
}

TEST_F(WorldTokenizerTest, SpecialTextIsOrdinaryAndSeparatorsHaveNoBytes) {
  const std::string text = "<|endoftext|><s>[PAD65530]";
  EXPECT_EQ(tokenizer_->decode(tokenizer_->encode(text)), text);
  EXPECT_EQ(std::ranges::count(tokenizer_->encode(text), 0), 0);
  EXPECT_EQ(tokenizer_->decode(std::vector<Token>{0, 98, 65530, 65535, -5, 1 << 20, 0}), "a");
}

// A GGUF brings the same vocabulary in another spelling; records must know it as the same.
TEST_F(WorldTokenizerTest, AGgufsTokensAreTheSameVocabulary) {
  const WorldVocabulary vocabulary = parse_world_vocabulary(bytes_of(shared(kSmallVocabulary)), "vocabulary");
  std::vector<std::string> tokens{"<s>"};
  for (std::size_t id = 1; id < vocabulary.size(); ++id) {
    const std::string literal = bytes_literal(vocabulary[id]);
    tokens.push_back(literal.substr(2, literal.size() - 3));
  }
  for (int id = 65530; id < 65536; ++id) tokens.push_back("[PAD" + std::to_string(id) + "]");
  const auto from_tokens = world_tokenizer_from_tokens(tokens);
  EXPECT_EQ(from_tokens->digest(), tokenizer_->digest());
  EXPECT_EQ(from_tokens->size(), tokenizer_->size());
  const std::string text = "<s>It's [PAD65530] ünïcödé \xff\x00\\ 世界";
  EXPECT_EQ(from_tokens->encode(text), tokenizer_->encode(text));
  tokens[1000] = "a token of no other id";
  EXPECT_NE(world_tokenizer_from_tokens(tokens)->digest(), tokenizer_->digest());
}

TEST(WorldVocabulary, ReadsEveryKindOfLiteral) {
  const WorldVocabulary vocabulary = parse_world_vocabulary(small_vocabulary(), "v.txt");
  ASSERT_EQ(vocabulary.size(), 262u);
  EXPECT_EQ(vocabulary[0], "");
  EXPECT_EQ(vocabulary[11], "\n");
  EXPECT_EQ(vocabulary[256], "\xff");
  EXPECT_EQ(vocabulary[259], "ä");
  EXPECT_EQ(vocabulary[260], "it's");
  EXPECT_EQ(vocabulary[261], "  ");
}

TEST(WorldVocabulary, CarriageReturnsAndAMissingLastLineEndChangeNothing) {
  const std::string unix_text = small_vocabulary(), dos_text = small_vocabulary("\r\n");
  EXPECT_EQ(parse_world_vocabulary(dos_text, "v.txt"), parse_world_vocabulary(unix_text, "v.txt"));
  EXPECT_EQ(world_file_digest(dos_text), world_file_digest(unix_text));
  EXPECT_EQ(parse_world_vocabulary(unix_text.substr(0, unix_text.size() - 1), "v.txt").size(), 262u);
}

TEST(WorldVocabulary, SaysWhereItIsWrong) {
  const std::string good = small_vocabulary();
  EXPECT_EQ(vocabulary_error(replaced(good, "'abcd' 4", "'abcd' 5")),
            "v.txt:258: token 258 has 4 bytes, but the line says 5");
  EXPECT_EQ(vocabulary_error(replaced(good, "258 'abcd'", "257 'abcd'")), "v.txt:258: id 257 is given twice");
  EXPECT_EQ(vocabulary_error(replaced(good, "258 'abcd'", "12 'abcd'")),
            "v.txt:258: id 12 comes after id 257: given twice, or out of order");
  EXPECT_EQ(vocabulary_error(replaced(good, "258 'abcd'", "0 'abcd'")),
            "v.txt:258: id 0 is reserved for the document separator");
  EXPECT_EQ(vocabulary_error(replaced(good, "258 'abcd'", "65536 'abcd'")),
            "v.txt:258: id 65536 exceeds 65535");
  EXPECT_EQ(vocabulary_error(replaced(good, "258 'abcd'", "x 'abcd'")),
            "v.txt:258: the id 'x' is not a number");
  EXPECT_EQ(vocabulary_error(replaced(good, "'abcd' 4", "'abcd' four")),
            "v.txt:258: the length 'four' is not a number");
  EXPECT_EQ(vocabulary_error(replaced(good, "'abcd' 4", "abcd 4")),
            "v.txt:258: the token is not a Python literal ('...', \"...\" or b'...')");
  EXPECT_EQ(vocabulary_error(replaced(good, "'abcd' 4", "'abcd 4")),
            "v.txt:258: the literal's closing quote is missing");
  EXPECT_EQ(vocabulary_error(replaced(good, "'abcd' 4", "'ab'cd' 5")),
            "v.txt:258: the literal ends before its last quote");
  EXPECT_EQ(vocabulary_error(replaced(good, "'abcd' 4", "'ab\\qcd' 4")), "v.txt:258: unknown escape \\q");
  EXPECT_EQ(vocabulary_error(replaced(good, "'abcd' 4", "'ab\\x4' 4")),
            "v.txt:258: the escape \\x4 is cut short");
  EXPECT_EQ(vocabulary_error(replaced(good, "'abcd' 4", "'\\uD800' 3")), "v.txt:258: U+D800 is no character");
  EXPECT_EQ(vocabulary_error(replaced(good, "'abcd' 4", "b'\\u0041' 1")), "v.txt:258: unknown escape \\u");
  EXPECT_EQ(vocabulary_error(replaced(good, "'abcd' 4", "'' 0")),
            "v.txt:258: token 258 has 0 bytes; 1 to 1024 are allowed");
  EXPECT_EQ(vocabulary_error(replaced(good, "'abcd' 4", "'ab' 2")),
            "v.txt:261: ids 257 and 258 have the same bytes; the file may be truncated: its last id is 261");
  EXPECT_EQ(vocabulary_error(replaced(good, "\n258 'abcd' 4\n", "\n\n")),
            "v.txt:258: the line is not of the form: ID 'TOKEN' BYTELEN");
}

TEST(WorldVocabulary, RecognisesTruncation) {
  const std::string good = small_vocabulary();
  EXPECT_THAT(
      vocabulary_error(good.substr(0, good.find("200 "))),
      StartsWith("v.txt:199: the single byte 0xC7 has no token, so not every text could be encoded; the file "
                 "may be truncated: its last id is 199"));
  EXPECT_THAT(vocabulary_error(good.substr(0, good.find("'abcd'") + 3)),
              StartsWith("v.txt:258: the line is not of the form"));
  EXPECT_EQ(vocabulary_error(""), "v.txt:1: the vocabulary is empty");
}

TEST(WorldVocabulary, RecognisesOtherFiles) {
  for (const std::string text : {"{\"version\": \"1.0\"}", "# A title\n\nText.\n",
                                 "\x7f"
                                 "ELF\x02\x01"}) {
    EXPECT_THAT(vocabulary_error(text), HasSubstr("this is not a World vocabulary")) << text;
  }
}

TEST(WorldVocabulary, RefusesForeignGgufVocabularies) {
  EXPECT_THROW(unescape_world_tokens({"<unk>", "<s>", "</s>"}), std::runtime_error);
  EXPECT_THROW(unescape_world_tokens(std::vector<std::string>(65537, "a")), std::runtime_error);
  std::vector<std::string> tokens{"<s>"};
  for (int byte = 0; byte < 256; ++byte) {
    const std::string literal = bytes_literal(std::string(1, static_cast<char>(byte)));
    tokens.push_back(literal.substr(2, literal.size() - 3));
  }
  EXPECT_EQ(unescape_world_tokens(tokens).size(), 257u);
  tokens.push_back("broken\\x");
  try {
    unescape_world_tokens(tokens);
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(),
                 "the GGUF's vocabulary is no World vocabulary: token 257: the escape \\x is cut short");
  }
}

TEST(WorldTokenizer, MissingFilesAndFoldersAreNamed) {
  try {
    world_tokenizer("no/such/file.txt");
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "no/such/file.txt: there is no such tokenizer file");
  }
  EXPECT_THROW(world_tokenizer(golden("tokenizers")), std::runtime_error);
}

}  // namespace
}  // namespace deciban

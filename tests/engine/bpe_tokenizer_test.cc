#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <thread>

#include "engine/tokenizer.h"
#include "engine/utf8.h"
#include "engine/vocabulary_file.h"
#include "tests/shared_data.h"

namespace deciban {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr const char* kNeox = "data/tokenizers/20B_tokenizer.json";

std::string read_all(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// A byte-level vocabulary of the 256 bytes (id = place in the alphabet's order of bytes) and what `more`
// adds.
json byte_level_json() {
  json model = {{"type", "BPE"}, {"vocab", json::object()}, {"merges", json::array()}};
  char32_t next = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool own = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    std::string letter;
    append_utf8(letter, own ? byte : next++);
    model["vocab"][letter] = static_cast<int>(byte);
  }
  return {{"added_tokens", json::array()},
          {"normalizer", nullptr},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}}},
          {"post_processor", nullptr},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model", model}};
}

// Letters, words, white space, marks, added tokens and broken UTF-8.
std::string random_text(std::mt19937& random, bool broken) {
  static const std::vector<std::string> parts{
      " ",     "  ",       "\n",          "\r\n", "\t", "a",   "The",       " of",  "ing",
      "'s",    "'LL",      "12",          "3456", "½",  "é",   "e\xCC\x81", "世界", "한",
      "😀",     "▁",        "▁▁",          ".",    "!!", "...", "<0x41>",    "<s>",  "<|endoftext|>",
      "<unk>", "\xC2\xA0", "\xE2\x80\x83"};
  std::string text;
  for (int count = static_cast<int>(random() % 40); count > 0; --count) {
    if (random() % 3) {
      text += parts[random() % parts.size()];
    } else if (broken && random() % 4 == 0) {
      text += static_cast<char>(random());
    } else {
      const char32_t limit = random() % 2 ? 0x3000 : 0x110000;
      char32_t c = random() % limit;
      if (c >= 0xD800 && c < 0xE000) c = U'x';
      append_utf8(text, c);
    }
  }
  return text;
}

class NeoxTest : public testing::Test {
 protected:
  void SetUp() override {
    DECIBAN_NEEDS_SHARED(kNeox);
    static const std::shared_ptr<Tokenizer> opened = bpe_tokenizer(shared(kNeox));
    tokenizer_ = opened;
  }
  std::shared_ptr<Tokenizer> tokenizer_;
};

TEST_F(NeoxTest, SaysWhatItIs) {
  EXPECT_EQ(tokenizer_->name(), "bpe:20B_tokenizer.json");
  EXPECT_EQ(tokenizer_->digest(), text_digest(read_all(shared(kNeox))));
  EXPECT_EQ(tokenizer_->size(), 50277u);
  EXPECT_EQ(tokenizer_->start_token(), 0);
  for (const std::size_t rows : {50277, 50304, 50432}) EXPECT_TRUE(tokenizer_->fits(rows)) << rows;
  for (const std::size_t rows : {256, 50254, 50276, 65536}) EXPECT_FALSE(tokenizer_->fits(rows)) << rows;
}

TEST_F(NeoxTest, MeetsTheReferenceVectors) {
  std::ifstream in(golden("tokenizers/neox20b.jsonl"));
  std::string line;
  int vectors = 0;
  for (; std::getline(in, line); ++vectors) {
    const json vector = json::parse(line);
    const auto text = vector["text"].get<std::string>();
    const auto ids = vector["ids"].get<std::vector<Token>>();
    EXPECT_EQ(tokenizer_->encode(text), ids) << vector["note"] << " " << text;
    EXPECT_EQ(tokenizer_->decode(ids), vector["decoded"].get<std::string>()) << vector["note"] << " " << text;
    EXPECT_EQ(tokenizer_->normalise(text), vector["decoded"].get<std::string>())
        << vector["note"] << " " << text;
  }
  EXPECT_EQ(vectors, 711);
}

TEST_F(NeoxTest, DecodesToTheNormalisedText) {
  std::mt19937 random(5);
  for (int round = 0; round < 2000; ++round) {
    const std::string text = random_text(random, true);
    ASSERT_EQ(tokenizer_->decode(tokenizer_->encode(text)), tokenizer_->normalise(text));
    // The normalised text needs no more normalising.
    ASSERT_EQ(tokenizer_->normalise(tokenizer_->normalise(text)), tokenizer_->normalise(text));
  }
}

TEST_F(NeoxTest, InvalidUtf8IsReplacedFirst) {
  EXPECT_EQ(tokenizer_->normalise("a\xFFz\xE4\xB8"), "a\uFFFDz\uFFFD");
  EXPECT_EQ(tokenizer_->encode("a\xFFz\xE4\xB8"), tokenizer_->encode("a\uFFFDz\uFFFD"));
}

TEST_F(NeoxTest, IdsWithoutTokensDecodeToNothing) {
  EXPECT_EQ(tokenizer_->decode(std::vector<Token>{50277, 66, -1, 50303, 1 << 30}), "a");
}

TEST_F(NeoxTest, AnyThreadMayEncode) {
  std::mt19937 random(6);
  std::vector<std::string> texts(50);
  for (std::string& text : texts) {
    for (int i = 0; i < 20; ++i) text += random_text(random, false);
  }
  std::vector<std::vector<Token>> expected;
  for (const std::string& text : texts) expected.push_back(tokenizer_->encode(text));
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (std::size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(tokenizer_->encode(texts[i]), expected[i]);
    });
  }
}

// Whatever the place of a piece in the cache: a text's tokens don't depend on what came before, but for the
// pieces.
TEST_F(NeoxTest, ParagraphsEncodeAloneAsTogether) {
  std::mt19937 random(7);
  std::string all;
  std::vector<Token> expected;
  for (int i = 0; i < 3000; ++i) {
    std::string paragraph = "\n";
    for (int k = static_cast<int>(random() % 8); k >= 0; --k) {
      paragraph += ' ';
      paragraph.append(1 + random() % 30, static_cast<char>('a' + random() % 26));
      paragraph += std::to_string(random());
    }
    const std::vector<Token> tokens = tokenizer_->encode(paragraph);
    expected.insert(expected.end(), tokens.begin(), tokens.end());
    all += paragraph;
  }
  EXPECT_EQ(tokenizer_->encode(all), expected);
}

// Every family's small tokenizer and what the reference library makes of texts; scripts/tokenizer_oracle.py
// makes more of the same for $DECIBAN_ORACLE.
TEST(BpeFamilies, MeetTheReferenceVectors) {
  std::vector<fs::path> folders{golden("tokenizers/families")};
  if (const char* more = std::getenv("DECIBAN_ORACLE")) folders.emplace_back(more);
  for (const fs::path& folder : folders) {
    std::set<std::string> families;
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (entry.path().extension() != ".json") continue;
      families.insert(entry.path().stem());
      const auto tokenizer = bpe_tokenizer(entry.path());
      const bool lossless = !entry.path().stem().string().starts_with("unknown");
      std::ifstream in(fs::path(entry.path()).replace_extension(".jsonl"));
      std::string line;
      int vectors = 0;
      for (; std::getline(in, line); ++vectors) {
        const json vector = json::parse(line);
        const auto text = vector["text"].get<std::string>();
        const auto ids = vector["ids"].get<std::vector<Token>>();
        EXPECT_EQ(tokenizer->encode(text), ids) << entry.path().stem() << " " << vector["text"];
        EXPECT_EQ(tokenizer->decode(ids), vector["decoded"].get<std::string>())
            << entry.path().stem() << " " << vector["text"];
        if (lossless) {
          EXPECT_EQ(tokenizer->normalise(text), tokenizer->decode(ids)) << vector["text"];
        }
      }
      EXPECT_GE(vectors, 100) << entry.path();
    }
    EXPECT_THAT(families,
                testing::ElementsAre("gpt2", "gpt2-prefix-space", "gpt4o", "llama2", "llama3",
                                     "metaspace-always", "metaspace-first", "metaspace-never", "neox",
                                     "qwen2", "smollm", "splits", "unknown", "unknown-fused"));
  }
}

TEST(BpeFamilies, DecodeToTheNormalisedText) {
  std::mt19937 random(8);
  for (const auto& entry : fs::directory_iterator(golden("tokenizers/families"))) {
    if (entry.path().extension() != ".json" || entry.path().stem().string().starts_with("unknown")) continue;
    const auto tokenizer = bpe_tokenizer(entry.path());
    for (int round = 0; round < 500; ++round) {
      const std::string text = random_text(random, true);
      ASSERT_EQ(tokenizer->decode(tokenizer->encode(text)), tokenizer->normalise(text))
          << entry.path().stem();
    }
  }
}

TEST(BpeFamilies, StartTokens) {
  const auto start = [](const char* family) {
    return bpe_tokenizer(golden(std::string("tokenizers/families/") + family + ".json"))->start_token();
  };
  EXPECT_EQ(start("gpt2"), 0);    // <|endoftext|>
  EXPECT_EQ(start("llama3"), 0);  // what its template puts first
  EXPECT_EQ(start("llama2"), 1);  // <s>
  EXPECT_EQ(start("qwen2"), 0);
}

TEST(BpeTokenizer, AbsentBytesAreDropped) {
  json file = byte_level_json();
  file["model"]["vocab"].erase("b");
  const auto tokenizer = parse_bpe_tokenizer(file.dump(), "tokenizer.json");
  EXPECT_EQ(tokenizer->encode("abc"), (std::vector<Token>{'a', 'c'}));
}

TEST(BpeTokenizer, WholePiecesGoBeforeMergesIfTheFileSaysSo) {
  json file = byte_level_json();
  for (const char* text : {"ab", "bc", "abc"}) file["model"]["vocab"][text] = file["model"]["vocab"].size();
  file["model"]["merges"] = {"b c", json::array({"a", "b"})};
  EXPECT_EQ(parse_bpe_tokenizer(file.dump(), "t.json")->encode("abc"), (std::vector<Token>{'a', 257}));
  file["model"]["ignore_merges"] = true;
  EXPECT_EQ(parse_bpe_tokenizer(file.dump(), "t.json")->encode("abc"), (std::vector<Token>{258}));
}

TEST(BpeTokenizer, RefusesWhatDoesNotFitTogether) {
  const auto error_of = [](const json& file) -> std::string {
    try {
      parse_bpe_tokenizer(file.dump(), "t.json");
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  };
  json file = byte_level_json();
  EXPECT_EQ(error_of(file), "");
  file["model"]["merges"] = {"a b", "b z"};
  EXPECT_EQ(error_of(file), "t.json: model.merges[0]: 'a' + 'b': 'ab' is not in the vocabulary");
  file["model"]["merges"] = {"xy b"};
  EXPECT_EQ(error_of(file), "t.json: model.merges[0]: 'xy' + 'b': 'xy' is not in the vocabulary");
  file = byte_level_json();
  file["model"]["unk_token"] = "<unk>";
  EXPECT_EQ(error_of(file), "t.json: model.unk_token: '<unk>' is not in the vocabulary");
  file = byte_level_json();
  file["decoder"] = {{"type", "Fuse"}};
  EXPECT_EQ(error_of(file), "t.json: decoder: the pre_tokenizer is ByteLevel, but the decoder is not");
  file["decoder"] = {{"type", "ByteLevel"}};
  file["pre_tokenizer"] = nullptr;
  EXPECT_EQ(error_of(file), "t.json: decoder: ByteLevel, but the pre_tokenizer is not");
  file = byte_level_json();
  file["pre_tokenizer"] = {
      {"type", "Split"}, {"pattern", {{"Regex", "(a"}}}, {"behavior", "Isolated"}, {"invert", false}};
  file["decoder"] = nullptr;
  EXPECT_THAT(error_of(file),
              testing::HasSubstr("the regular expression '(a' is not valid: missing closing parenthesis"));
  file["pre_tokenizer"]["pattern"]["Regex"] = "[a-z&&[^b]]";
  EXPECT_THAT(error_of(file),
              testing::HasSubstr("nested character classes and intersections (&&) are not supported"));
}

TEST(BpeTokenizer, ExpressionsThatExplodeAreAnErrorNotAHang) {
  json file = byte_level_json();
  file["pre_tokenizer"] = {{"type", "Sequence"},
                           {"pretokenizers",
                            {{{"type", "Split"},
                              {"pattern", {{"Regex", "(a|aa)+$"}}},
                              {"behavior", "Isolated"},
                              {"invert", false}},
                             {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
  const auto tokenizer = parse_bpe_tokenizer(file.dump(), "t.json");
  EXPECT_EQ(tokenizer->encode("aaa").size(), 3u);
  EXPECT_THROW(tokenizer->encode(std::string(100, 'a') + "b"), std::runtime_error);
}

}  // namespace
}  // namespace deciban

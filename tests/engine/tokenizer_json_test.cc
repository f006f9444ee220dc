#include "engine/tokenizer_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace deciban {
namespace {

using nlohmann::json;

json minimal() {
  return {{"model", {{"type", "BPE"}, {"vocab", {{"a", 0}, {"b", 1}, {"ab", 2}}}, {"merges", {"a b"}}}}};
}

json with(const char* pointer, const json& value) {
  json file = minimal();
  file[json::json_pointer(pointer)] = value;
  return file;
}

TokenizerJson parse(const json& file) { return parse_tokenizer_json(file.dump(), "t.json"); }

std::string refusal_of(const std::string& text) {
  try {
    parse_tokenizer_json(text, "t.json");
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

std::string refusal_of(const json& file) { return refusal_of(file.dump()); }

json added(int id, const char* content) { return {{"id", id}, {"content", content}, {"special", true}}; }

TEST(TokenizerJson, ReadsAMinimalFile) {
  const TokenizerJson parsed = parse(minimal());
  EXPECT_EQ(parsed.vocabulary, (std::vector<std::pair<std::string, Token>>{{"a", 0}, {"b", 1}, {"ab", 2}}));
  EXPECT_EQ(parsed.merges, (std::vector<std::pair<std::string, std::string>>{{"a", "b"}}));
  EXPECT_TRUE(parsed.normalizer.empty());
  EXPECT_TRUE(parsed.pretokenizer.empty());
  EXPECT_TRUE(parsed.added_tokens.empty());
  EXPECT_FALSE(parsed.decoder);
  EXPECT_FALSE(parsed.start_token);
  EXPECT_FALSE(parsed.unknown_token);
}

TEST(TokenizerJson, ReadsBothSpellingsOfMerges) {
  const std::vector<std::pair<std::string, std::string>> expected{{"a", "b"}};
  EXPECT_EQ(parse(with("/model/merges", {"a b"})).merges, expected);
  EXPECT_EQ(parse(with("/model/merges", {"#version: 0.2", "a b"})).merges, expected);
  EXPECT_EQ(parse(with("/model/merges", json::array({json::array({"a", "b"})}))).merges, expected);
  EXPECT_EQ(parse(with("/model/merges", json::array({json::array({"a ", " b"})}))).merges[0].second, " b");
}

TEST(TokenizerJson, ReadsPretokenizersOfAllKinds) {
  const auto steps = parse(with("/pre_tokenizer", json::parse(R"({"type": "Sequence", "pretokenizers": [
      {"type": "Split", "pattern": {"Regex": "\\s"}, "behavior": "MergedWithNext", "invert": true},
      {"type": "Split", "pattern": {"String": "x"}, "behavior": "Removed", "invert": false},
      {"type": "Digits", "individual_digits": true},
      {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false},
      {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]})")))
                         .pretokenizer;
  ASSERT_EQ(steps.size(), 5u);
  EXPECT_FALSE(steps[0].literal);
  EXPECT_TRUE(steps[0].invert);
  EXPECT_EQ(steps[0].behaviour, SplitBehaviour::merged_with_next);
  EXPECT_TRUE(steps[1].literal);
  EXPECT_EQ(steps[1].pattern, "x");
  EXPECT_TRUE(steps[2].individual_digits);
  EXPECT_EQ(steps[3].prepend, PrependScheme::first);
  EXPECT_FALSE(steps[3].split);
  EXPECT_FALSE(steps[4].use_regex);
}

TEST(TokenizerJson, ReadsMetaspaceOfOldFiles) {
  const auto scheme = [](const char* text) {
    return parse(with("/pre_tokenizer", json::parse(text))).pretokenizer[0].prepend;
  };
  EXPECT_EQ(scheme(R"({"type": "Metaspace", "replacement": "▁", "add_prefix_space": true})"),
            PrependScheme::always);
  EXPECT_EQ(scheme(R"({"type": "Metaspace", "replacement": "▁", "add_prefix_space": false})"),
            PrependScheme::never);
  EXPECT_EQ(
      scheme(
          R"({"type": "Metaspace", "replacement": "▁", "add_prefix_space": true, "prepend_scheme": "first"})"),
      PrependScheme::first);
}

TEST(TokenizerJson, FindsTheStartToken) {
  json file = with("/added_tokens", {added(7, "<s>"), added(8, "<|endoftext|>")});
  EXPECT_EQ(parse(file).start_token, 7);
  file["added_tokens"] = json::array({added(8, "<|endoftext|>")});
  EXPECT_EQ(parse(file).start_token, 8);
  file["added_tokens"].push_back(added(9, "<cls>"));
  file["post_processor"] = json::parse(R"({"type": "Sequence", "processors": [{"type": "ByteLevel"},
      {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<cls>", "type_id": 0}},
      {"Sequence": {"id": "A", "type_id": 0}}]}]})");
  EXPECT_EQ(parse(file).start_token, 9);
  // A template that only adds something at the end names no start.
  file["post_processor"] =
      json::parse(R"({"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}},
      {"SpecialToken": {"id": "<cls>", "type_id": 0}}]})");
  EXPECT_EQ(parse(file).start_token, 8);
  file["post_processor"] = {{"type", "RobertaProcessing"}, {"cls", {"<cls>", 9}}, {"sep", {"</s>", 3}}};
  EXPECT_EQ(parse(file).start_token, 9);
  file["post_processor"]["cls"][0] = "<none>";
  EXPECT_EQ(refusal_of(file), "t.json: post_processor: the token '<none>' has no id");
}

TEST(TokenizerJson, RefusesOtherModelsByName) {
  for (const std::string kind : {"Unigram", "WordPiece", "WordLevel"}) {
    EXPECT_EQ(refusal_of(with("/model/type", kind)),
              "t.json: model: the model type '" + kind + "' is not supported, only BPE is");
  }
  json file = minimal();
  file["model"].erase("type");
  EXPECT_EQ(refusal_of(file), "");  // old files have no type
  file["model"].erase("merges");
  EXPECT_EQ(refusal_of(file), "t.json: model: the model type '(none given)' is not supported, only BPE is");
}

TEST(TokenizerJson, RefusesUnknownPartsByName) {
  EXPECT_THAT(refusal_of(with("/pre_tokenizer", {{"type", "BertPreTokenizer"}})),
              testing::StartsWith(
                  "t.json: pre_tokenizer: the pre_tokenizer 'BertPreTokenizer' is not supported (known: "));
  EXPECT_THAT(
      refusal_of(
          with("/pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {{{"type", "Punctuation"}}}}})),
      testing::StartsWith("t.json: pre_tokenizer.pretokenizers[0]: the pre_tokenizer 'Punctuation' is not"));
  EXPECT_THAT(
      refusal_of(with("/normalizer", {{"type", "Lowercase"}})),
      testing::StartsWith("t.json: normalizer: the normalizer 'Lowercase' is not supported (known: "));
  EXPECT_THAT(refusal_of(with("/decoder", {{"type", "WordPiece"}})),
              testing::StartsWith("t.json: decoder: the decoder 'WordPiece' is not supported (known: "));
  EXPECT_EQ(refusal_of(with("/model/dropout", 0.1)),
            "t.json: model.dropout: is not 0: encoding would be random");
  EXPECT_EQ(refusal_of(with("/model/end_of_word_suffix", "</w>")),
            "t.json: model.end_of_word_suffix: '</w>' is not supported");
  EXPECT_EQ(refusal_of(
                with("/normalizer", {{"type", "Replace"}, {"pattern", {{"Regex", " +"}}}, {"content", " "}})),
            "t.json: normalizer.pattern: only patterns of the kind String are supported here");
  EXPECT_EQ(
      refusal_of(with("/pre_tokenizer", json::parse(R"({"type": "Sequence", "pretokenizers":
                [{"type": "ByteLevel"}, {"type": "Digits"}]})"))),
      "t.json: pre_tokenizer.pretokenizers[1]: a pre_tokenizer ('Digits') after ByteLevel is not supported");
  EXPECT_EQ(refusal_of(with("/pre_tokenizer", json::parse(R"({"type": "Split", "pattern": {"Regex": "a"},
                "behavior": "Shuffled"})"))),
            "t.json: pre_tokenizer.behavior: the behavior 'Shuffled' is not supported");
  EXPECT_EQ(refusal_of(with("/decoder", {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}})),
            "t.json: decoder: Strip is supported after Fuse only");
}

TEST(TokenizerJson, RefusesBrokenFilesSayingWhere) {
  EXPECT_THAT(refusal_of(std::string("{\"model\": ")),
              testing::StartsWith("t.json: not valid JSON at byte "));
  EXPECT_THAT(refusal_of(std::string("{\"model\": 1e999}")), testing::StartsWith("t.json: not valid JSON: "));
  EXPECT_EQ(refusal_of(std::string("[1, 2]")), "t.json: this is not a tokenizer.json: it has no \"model\"");
  EXPECT_EQ(refusal_of(std::string("{\"vocab\": {}}")),
            "t.json: this is not a tokenizer.json: it has no \"model\"");
  EXPECT_EQ(refusal_of(with("/model", nullptr)), "t.json: model: is missing");
  EXPECT_EQ(refusal_of(with("/model/vocab", {"a", "b"})),
            "t.json: model.vocab: is not an object of texts and ids");
  EXPECT_EQ(refusal_of(with("/model/vocab/ab", "two")),
            "t.json: model.vocab: the id of 'ab' is not a whole number");
  EXPECT_EQ(refusal_of(with("/model/vocab/ab", -2)),
            "t.json: model.vocab: the id of 'ab' is -2, outside 0 to 2097151");
  EXPECT_EQ(refusal_of(with("/model/vocab/ab", 18446744073709551615u)),
            "t.json: model.vocab: the id of 'ab' is 18446744073709551615, outside 0 to 2097151");
  EXPECT_EQ(refusal_of(with("/model/vocab/ab", 1)), "t.json: model.vocab: 'ab' and 'b' have the same id 1");
  EXPECT_EQ(refusal_of(with("/model/merges", {"a b c"})),
            "t.json: model.merges[0]: is neither \"LEFT RIGHT\" nor [LEFT, RIGHT]");
  EXPECT_EQ(refusal_of(with("/model/merges", {"a b", {"a"}})),
            "t.json: model.merges[1]: is neither \"LEFT RIGHT\" nor [LEFT, RIGHT]");
  EXPECT_EQ(refusal_of(with("/model/byte_fallback", "yes")),
            "t.json: model.byte_fallback: is neither true nor false");
  EXPECT_EQ(refusal_of(with("/added_tokens", json::array({added(5, "a")}))),
            "t.json: added_tokens[0]: 'a' has id 5, but elsewhere 0");
  EXPECT_EQ(refusal_of(with("/added_tokens", json::array({added(1, "<s>")}))),
            "t.json: added_tokens[0]: id 1 is '<s>', but elsewhere 'b'");
  EXPECT_EQ(refusal_of(with("/added_tokens", json::array({added(5, "")}))),
            "t.json: added_tokens[0]: the content is empty");
  EXPECT_EQ(refusal_of(with("/added_tokens", {added(5, "x"), added(5, "x")})),
            "t.json: added_tokens: id 5 is given twice");
}

TEST(TokenizerJson, RefusesDeepNesting) {
  json nested = {{"type", "NFC"}};
  for (int i = 0; i < 50; ++i) nested = {{"type", "Sequence"}, {"normalizers", {nested}}};
  EXPECT_THAT(refusal_of(with("/normalizer", nested)), testing::HasSubstr("sequences are nested too deeply"));
  std::string deep;
  for (int i = 0; i < 200000; ++i) deep += '[';
  EXPECT_THAT(refusal_of(deep), testing::StartsWith("t.json: not valid JSON"));
}

}  // namespace
}  // namespace deciban

#include "plugins/transformer/gguf_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

namespace deciban::transformer {
namespace {

using nlohmann::json;

// token_type of llama.cpp.
constexpr int kControl = 3, kUserDefined = 4;

constexpr const char* kLlama3Pattern =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"
    "\\s+(?!\\S)|\\s+";
constexpr const char* kQwen2Pattern =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"
    "\\s+(?!\\S)|\\s+";

constexpr const char* kBloomPattern = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+";

json byte_level(bool regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", regex}};
}
json split_by(const char* pattern) {
  const json split{
      {"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  return {{"type", "Sequence"}, {"pretokenizers", {split, byte_level(false)}}};
}

struct Pre {
  const char* name;
  json (*steps)();
  bool whole_words = false;  // a piece that is a token is taken as it is
};
const Pre kPres[] = {
    {"default", [] { return byte_level(true); }},
    {"gpt-2", [] { return byte_level(true); }},
    {"gpt2", [] { return byte_level(true); }},
    {"olmo", [] { return byte_level(true); }},  // what llama.cpp calls GPT-NeoX's
    {"smollm",
     [] {
       const json digits{{"type", "Digits"}, {"individual_digits", true}};
       return json{{"type", "Sequence"}, {"pretokenizers", {digits, byte_level(true)}}};
     }},
    {"llama-bpe", [] { return split_by(kLlama3Pattern); }, true},
    {"llama3", [] { return split_by(kLlama3Pattern); }, true},
    {"qwen2", [] { return split_by(kQwen2Pattern); }},
    {"bloom", [] { return split_by(kBloomPattern); }},
};

std::string metadata(const Checkpoint& c, const char* key, const std::string& otherwise = {}) {
  const auto found = c.metadata.find(key);
  return found == c.metadata.end() ? otherwise : found->second;
}

// Merges in the order of SentencePiece's scores: every way to cut a token into two tokens, the best token
// first.
json merges_of_scores(const Checkpoint& c) {
  std::unordered_map<std::string_view, std::size_t> ids;
  for (std::size_t i = 0; i < c.vocabulary.size(); ++i) ids.emplace(c.vocabulary[i], i);
  std::vector<std::tuple<float, std::size_t, std::size_t>> found;  // -score, left, right
  for (std::size_t i = 0; i < c.vocabulary.size(); ++i) {
    const std::string_view text = c.vocabulary[i];
    constexpr std::size_t kLongest = 256;
    if (text.size() > kLongest || (!c.token_types.empty() && c.token_types[i] != 1)) continue;
    for (std::size_t cut = 1; cut < text.size(); ++cut) {
      const auto left = ids.find(text.substr(0, cut)), right = ids.find(text.substr(cut));
      if (left != ids.end() && right != ids.end()) {
        found.emplace_back(-c.token_scores[i], left->second, right->second);
      }
    }
  }
  std::sort(found.begin(), found.end());
  json merges = json::array();
  for (const auto& [score, left, right] : found) merges.push_back({c.vocabulary[left], c.vocabulary[right]});
  return merges;
}

json sentencepiece(const Checkpoint& c, json root, const std::string& where) {
  if (c.token_scores.size() != c.vocabulary.size()) {
    throw std::runtime_error(
        fmt::format("{}: {} scores for {} tokens", where, c.token_scores.size(), c.vocabulary.size()));
  }
  json steps = json::array();
  if (metadata(c, "tokenizer.ggml.add_space_prefix", "true") == "true") {
    steps.push_back({{"type", "Prepend"}, {"prepend", "\u2581"}});
  }
  steps.push_back({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}});
  root["normalizer"] = {{"type", "Sequence"}, {"normalizers", steps}};
  json decoders = {{{"type", "Replace"}, {"pattern", {{"String", "\u2581"}}}, {"content", " "}},
                   {{"type", "ByteFallback"}},
                   {{"type", "Fuse"}}};
  if (steps.size() == 2) decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  root["decoder"] = {{"type", "Sequence"}, {"decoders", decoders}};
  json& model = root["model"];
  model["byte_fallback"] = true;
  model["fuse_unk"] = true;
  model["merges"] = merges_of_scores(c);
  const std::string unknown = metadata(c, "tokenizer.ggml.unknown_token_id", "0");
  const json id = json::parse(unknown, nullptr, false);
  if (id.is_number_unsigned() && id.get<std::size_t>() < c.vocabulary.size()) {
    model["unk_token"] = c.vocabulary[id.get<std::size_t>()];
  }
  return root;
}

json byte_bpe(const Checkpoint& c, json root, const std::string& where) {
  const std::string pre = metadata(c, "tokenizer.ggml.pre", "default");
  const auto* known =
      std::find_if(std::begin(kPres), std::end(kPres), [&](const Pre& p) { return pre == p.name; });
  if (known == std::end(kPres)) {
    std::string names;
    for (const Pre& p : kPres) names += (names.empty() ? "" : ", ") + std::string(p.name);
    throw std::runtime_error(fmt::format(
        "{}: tokenizer.ggml.pre is '{}'; known: {}; name the model's tokenizer.json by --tokenizer", where,
        pre, names));
  }
  root["pre_tokenizer"] = known->steps();
  root["decoder"] = {{"type", "ByteLevel"}};
  root["model"]["ignore_merges"] = known->whole_words;
  root["model"]["merges"] = c.merges;
  return root;
}

}  // namespace

std::string gguf_tokenizer_json(const Checkpoint& c, const std::string& where) {
  if (!c.token_types.empty() && c.token_types.size() != c.vocabulary.size()) {
    throw std::runtime_error(
        fmt::format("{}: {} token types for {} tokens", where, c.token_types.size(), c.vocabulary.size()));
  }
  json vocabulary = json::object(), added = json::array();
  for (std::size_t i = 0; i < c.vocabulary.size(); ++i) {
    const int type = c.token_types.empty() ? 1 : c.token_types[i];
    if (type == kControl || type == kUserDefined) {
      added.push_back(
          {{"id", i}, {"content", c.vocabulary[i]}, {"special", type == kControl}, {"normalized", false}});
    }
    vocabulary[c.vocabulary[i]] = i;
  }
  json root{{"added_tokens", added}, {"model", {{"type", "BPE"}, {"vocab", vocabulary}}}};
  const std::string kind = metadata(c, "tokenizer.ggml.model");
  const json start = json::parse(metadata(c, "tokenizer.ggml.bos_token_id"), nullptr, false);
  // Without the flag SentencePiece models have a start token and byte-level ones do not.
  const bool starts =
      metadata(c, "tokenizer.ggml.add_bos_token", kind == "llama" ? "true" : "false") == "true";
  if (starts && start.is_number_unsigned() && start.get<std::size_t>() < c.vocabulary.size()) {
    const json token{{"SpecialToken", {{"id", c.vocabulary[start.get<std::size_t>()]}, {"type_id", 0}}}};
    root["post_processor"] = {{"type", "TemplateProcessing"},
                              {"single", {token, {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}}};
  }
  if (kind == "llama") {
    root = sentencepiece(c, std::move(root), where);
  } else if (kind == "gpt2") {
    root = byte_bpe(c, std::move(root), where);
  } else {
    throw std::runtime_error(
        fmt::format("{}: tokenizer.ggml.model is '{}'; known: gpt2, llama; name the model's tokenizer.json "
                    "by --tokenizer",
                    where, kind));
  }
  try {
    return root.dump();
  } catch (const json::exception&) {
    throw std::runtime_error(fmt::format("{}: a token or a merge is not valid UTF-8", where));
  }
}

std::unique_ptr<Tokenizer> gguf_tokenizer(const Checkpoint& checkpoint, const std::string& where) {
  return parse_bpe_tokenizer(gguf_tokenizer_json(checkpoint, where), where);
}

}  // namespace deciban::transformer

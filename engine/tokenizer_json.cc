#include "engine/tokenizer_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <unordered_map>

#include "engine/utf8.h"

namespace deciban {

namespace {

using nlohmann::json;

// Ids index tables, so a file must not be able to ask for huge ones.  The largest vocabularies have 262,144
// entries.
constexpr std::int64_t kMaximumId = (1 << 21) - 1;
constexpr int kMaximumNesting = 16;

// A place in the document: the value and its path, for messages.
class Field {
 public:
  Field(const json& value, std::string path) : value_(value), path_(std::move(path)) {}

  const json& value() const { return value_; }
  const std::string& path() const { return path_; }
  bool is_null() const { return value_.is_null(); }

  [[noreturn]] void fail(const std::string& what) const {
    throw std::invalid_argument(path_.empty() ? what : path_ + ": " + what);
  }
  bool has(const char* name) const {
    return value_.is_object() && value_.contains(name) && !value_[name].is_null();
  }
  // A null field if there is none.
  Field operator[](const char* name) const {
    static const json kNull;
    if (!value_.is_object()) fail("is not an object");
    const auto found = value_.find(name);
    return {found == value_.end() ? kNull : *found, path_.empty() ? name : path_ + "." + name};
  }
  std::vector<Field> items() const {
    if (!value_.is_array()) fail("is not a list");
    std::vector<Field> fields;
    for (std::size_t i = 0; i < value_.size(); ++i)
      fields.emplace_back(value_[i], fmt::format("{}[{}]", path_, i));
    return fields;
  }
  std::string text() const {
    if (!value_.is_string()) fail("is not a string");
    return value_.get<std::string>();
  }
  bool flag(std::optional<bool> otherwise = {}) const {
    if (is_null() && otherwise) return *otherwise;
    if (!value_.is_boolean()) fail("is neither true nor false");
    return value_.get<bool>();
  }
  std::int64_t number(std::int64_t highest) const {
    if (!value_.is_number_integer()) fail("is not a whole number");
    const bool too_large =
        value_.is_number_unsigned() && value_.get<std::uint64_t>() > std::uint64_t(highest);
    const auto number = too_large ? highest : value_.get<std::int64_t>();
    if (too_large || number < 0) fail(fmt::format("is {}, outside 0 to {}", value_.dump(), highest));
    return number;
  }
  std::string kind() const {
    if (!value_.is_object()) fail("is not an object");
    return (*this)["type"].text();
  }

 private:
  const json& value_;
  std::string path_;
};

void check_nesting(const Field& field, int depth) {
  if (depth > kMaximumNesting) field.fail("sequences are nested too deeply");
}

// The literal text of {"String": …}; regular expressions are another matter.
std::string literal_pattern(const Field& pattern) {
  if (!pattern.has("String")) pattern.fail("only patterns of the kind String are supported here");
  std::string text = pattern["String"].text();
  if (text.empty()) pattern.fail("is empty");
  return text;
}

std::string one_character(const Field& field) {
  std::string text = field.text();
  if (text.empty() || code_point_at(text, 0).length != text.size()) field.fail("must be one character");
  return text;
}

void parse_normalizer(const Field& field, std::vector<NormalizerStep>& steps, int depth = 0) {
  if (field.is_null()) return;
  check_nesting(field, depth);
  const std::string kind = field.kind();
  NormalizerStep step;
  if (kind == "Sequence") {
    for (const Field& item : field["normalizers"].items()) parse_normalizer(item, steps, depth + 1);
    return;
  } else if (kind == "NFC") {
    step.form = NormalForm::nfc;
  } else if (kind == "NFD") {
    step.form = NormalForm::nfd;
  } else if (kind == "NFKC") {
    step.form = NormalForm::nfkc;
  } else if (kind == "NFKD") {
    step.form = NormalForm::nfkd;
  } else if (kind == "Prepend") {
    step.kind = NormalizerStep::Kind::prepend;
    step.content = field["prepend"].text();
  } else if (kind == "Replace") {
    step.kind = NormalizerStep::Kind::replace;
    step.pattern = literal_pattern(field["pattern"]);
    step.content = field["content"].text();
  } else {
    field.fail(
        fmt::format("the normalizer '{}' is not supported (known: Sequence, NFC, NFD, NFKC, NFKD, Prepend, "
                    "Replace)",
                    kind));
  }
  steps.push_back(std::move(step));
}

SplitBehaviour parse_behaviour(const Field& field) {
  const std::string name = field.text();
  if (name == "Removed") return SplitBehaviour::removed;
  if (name == "Isolated") return SplitBehaviour::isolated;
  if (name == "MergedWithPrevious") return SplitBehaviour::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehaviour::merged_with_next;
  if (name == "Contiguous") return SplitBehaviour::contiguous;
  field.fail(fmt::format("the behavior '{}' is not supported", name));
}

// Files from before 2024 have add_prefix_space in place of prepend_scheme.
PrependScheme parse_prepend_scheme(const Field& metaspace) {
  if (!metaspace.has("prepend_scheme")) {
    return metaspace["add_prefix_space"].flag(true) ? PrependScheme::always : PrependScheme::never;
  }
  const Field scheme = metaspace["prepend_scheme"];
  const std::string name = scheme.text();
  if (name == "first") return PrependScheme::first;
  if (name == "always") return PrependScheme::always;
  if (name == "never") return PrependScheme::never;
  scheme.fail(fmt::format("the prepend_scheme '{}' is not supported (known: first, always, never)", name));
}

void parse_pretokenizer(const Field& field, std::vector<PretokenizerStep>& steps, int depth = 0) {
  if (field.is_null()) return;
  check_nesting(field, depth);
  const std::string kind = field.kind();
  PretokenizerStep step;
  if (kind == "Sequence") {
    for (const Field& item : field["pretokenizers"].items()) parse_pretokenizer(item, steps, depth + 1);
    return;
  }
  // What follows would see the characters that stand for bytes instead of the text.
  if (!steps.empty() && steps.back().kind == PretokenizerStep::Kind::byte_level) {
    field.fail(fmt::format("a pre_tokenizer ('{}') after ByteLevel is not supported", kind));
  }
  if (kind == "ByteLevel") {
    step.add_prefix_space = field["add_prefix_space"].flag(true);
    step.use_regex = field["use_regex"].flag(true);
  } else if (kind == "Split") {
    step.kind = PretokenizerStep::Kind::split;
    const Field pattern = field["pattern"];
    step.literal = !pattern.has("Regex");
    step.pattern = step.literal ? literal_pattern(pattern) : pattern["Regex"].text();
    step.behaviour = parse_behaviour(field["behavior"]);
    step.invert = field["invert"].flag(false);
  } else if (kind == "Digits") {
    step.kind = PretokenizerStep::Kind::digits;
    step.individual_digits = field["individual_digits"].flag(false);
  } else if (kind == "Metaspace") {
    step.kind = PretokenizerStep::Kind::metaspace;
    step.replacement = one_character(field["replacement"]);
    step.prepend = parse_prepend_scheme(field);
    step.split = field["split"].flag(true);
  } else {
    field.fail(
        fmt::format("the pre_tokenizer '{}' is not supported (known: Sequence, ByteLevel, Split, Digits, "
                    "Metaspace)",
                    kind));
  }
  steps.push_back(std::move(step));
}

void parse_decoder(const Field& field, DecoderRules& rules, bool& fused, int depth = 0) {
  check_nesting(field, depth);
  const std::string kind = field.kind();
  if (kind == "Sequence") {
    for (const Field& item : field["decoders"].items()) parse_decoder(item, rules, fused, depth + 1);
  } else if (kind == "ByteLevel") {
    rules.byte_level = true;
  } else if (kind == "ByteFallback") {
    rules.byte_fallback = true;
  } else if (kind == "Fuse") {
    fused = true;
  } else if (kind == "Replace") {
    if (fused) field.fail("Replace after Fuse is not supported");
    rules.replace.emplace_back(literal_pattern(field["pattern"]), field["content"].text());
  } else if (kind == "Metaspace") {
    rules.replace.emplace_back(one_character(field["replacement"]), " ");
    if (parse_prepend_scheme(field) != PrependScheme::never) {
      rules.strip = " ";
      rules.strip_left = 1;
    }
  } else if (kind == "Strip") {
    if (!fused) field.fail("Strip is supported after Fuse only");
    if (!rules.strip.empty()) field.fail("two Strip steps are not supported");
    rules.strip = one_character(field["content"]);
    rules.strip_left = static_cast<std::size_t>(field["start"].number(1000));
    rules.strip_right = static_cast<std::size_t>(field["stop"].number(1000));
  } else {
    field.fail(
        fmt::format("the decoder '{}' is not supported (known: Sequence, ByteLevel, ByteFallback, Fuse, "
                    "Metaspace, Replace, Strip)",
                    kind));
  }
}

void refuse_text(const Field& field) {
  if (!field.is_null() && !field.text().empty())
    field.fail(fmt::format("'{}' is not supported", field.text()));
}

void parse_merges(const Field& field, std::vector<std::pair<std::string, std::string>>& merges) {
  if (!field.value().is_array()) field.fail("is not a list");
  merges.reserve(field.value().size());
  std::size_t index = 0;
  for (const json& merge : field.value()) {
    const auto fail = [&] {
      Field(merge, fmt::format("{}[{}]", field.path(), index))
          .fail("is neither \"LEFT RIGHT\" nor [LEFT, RIGHT]");
    };
    if (merge.is_string()) {
      const auto& text = merge.get_ref<const std::string&>();
      const std::size_t space = text.find(' ');
      if (!text.starts_with("#version")) {  // a comment that some old files carry along
        if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) fail();
        merges.emplace_back(text.substr(0, space), text.substr(space + 1));
      }
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
    } else {
      fail();
    }
    ++index;
  }
}

void parse_model(const Field& field, TokenizerJson& out) {
  if (!field.value().is_object()) field.fail("is missing");
  // Files from before 2020 have no type.
  const std::string kind = field.has("type") ? field.kind() : field.has("merges") ? "BPE" : "(none given)";
  if (kind != "BPE") field.fail(fmt::format("the model type '{}' is not supported, only BPE is", kind));
  if (const Field dropout = field["dropout"]; !dropout.is_null()) {
    if (!dropout.value().is_number()) dropout.fail("is not a number");
    if (dropout.value().get<double>() != 0) dropout.fail("is not 0: encoding would be random");
  }
  refuse_text(field["continuing_subword_prefix"]);
  refuse_text(field["end_of_word_suffix"]);
  out.byte_fallback = field["byte_fallback"].flag(false);
  out.fuse_unknown = field["fuse_unk"].flag(false);
  out.ignore_merges = field["ignore_merges"].flag(false);
  if (field.has("unk_token")) out.unknown_token = field["unk_token"].text();

  const Field vocabulary = field["vocab"];
  if (!vocabulary.value().is_object()) vocabulary.fail("is not an object of texts and ids");
  out.vocabulary.reserve(vocabulary.value().size());
  for (const auto& item : vocabulary.value().items()) {
    const std::string& text = item.key();
    const Field id(item.value(), "");
    try {
      out.vocabulary.emplace_back(text, static_cast<Token>(id.number(kMaximumId)));
    } catch (const std::invalid_argument& error) {
      vocabulary.fail(fmt::format("the id of '{}' {}", text, error.what()));
    }
  }
  std::sort(out.vocabulary.begin(), out.vocabulary.end(),
            [](const auto& a, const auto& b) { return a.second < b.second; });
  for (std::size_t i = 1; i < out.vocabulary.size(); ++i) {
    if (out.vocabulary[i].second == out.vocabulary[i - 1].second) {
      vocabulary.fail(fmt::format("'{}' and '{}' have the same id {}", out.vocabulary[i - 1].first,
                                  out.vocabulary[i].first, out.vocabulary[i].second));
    }
  }
  parse_merges(field["merges"], out.merges);
}

void parse_added_tokens(const Field& field, TokenizerJson& out) {
  if (field.is_null()) return;
  std::unordered_map<std::string, Token> ids(out.vocabulary.begin(), out.vocabulary.end());
  std::unordered_map<Token, std::string> texts;
  for (const auto& [text, id] : out.vocabulary) texts.emplace(id, text);
  for (const Field& item : field.items()) {
    AddedToken token{static_cast<Token>(item["id"].number(kMaximumId)), item["content"].text()};
    token.special = item["special"].flag(false);
    token.normalized = item["normalized"].flag(!token.special);
    token.lstrip = item["lstrip"].flag(false);
    token.rstrip = item["rstrip"].flag(false);
    token.single_word = item["single_word"].flag(false);
    if (token.content.empty()) item.fail("the content is empty");
    if (const auto known = ids.emplace(token.content, token.id).first; known->second != token.id) {
      item.fail(fmt::format("'{}' has id {}, but elsewhere {}", token.content, token.id, known->second));
    }
    if (const auto known = texts.emplace(token.id, token.content).first; known->second != token.content) {
      item.fail(fmt::format("id {} is '{}', but elsewhere '{}'", token.id, token.content, known->second));
    }
    out.added_tokens.push_back(std::move(token));
  }
  std::sort(out.added_tokens.begin(), out.added_tokens.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  const auto repeated =
      std::adjacent_find(out.added_tokens.begin(), out.added_tokens.end(),
                         [](const AddedToken& a, const AddedToken& b) { return a.id == b.id; });
  if (repeated != out.added_tokens.end()) field.fail(fmt::format("id {} is given twice", repeated->id));
}

// The text of the special token that a post-processor puts before a single text, if it does.
std::optional<std::string> leading_token(const Field& field, int depth = 0) {
  if (field.is_null()) return {};
  check_nesting(field, depth);
  const std::string kind = field.kind();
  if (kind == "Sequence") {
    for (const Field& item : field["processors"].items()) {
      if (auto token = leading_token(item, depth + 1)) return token;
    }
  } else if (kind == "TemplateProcessing") {
    const std::vector<Field> items = field["single"].items();
    if (!items.empty() && items[0].has("SpecialToken")) return items[0]["SpecialToken"]["id"].text();
  } else if (kind == "RobertaProcessing" || kind == "BertProcessing") {
    const std::vector<Field> pair = field["cls"].items();
    if (!pair.empty()) return pair[0].text();
  }
  return {};
}

std::optional<Token> find_start_token(const Field& root, const TokenizerJson& parsed) {
  const auto id_of = [&](std::string_view text) -> std::optional<Token> {
    for (const AddedToken& token : parsed.added_tokens) {
      if (token.content == text) return token.id;
    }
    for (const auto& [known, id] : parsed.vocabulary) {
      if (known == text) return id;
    }
    return {};
  };
  if (const auto text = leading_token(root["post_processor"])) {
    const auto id = id_of(*text);
    if (!id) root["post_processor"].fail(fmt::format("the token '{}' has no id", *text));
    return id;
  }
  for (const char* text : {"<|begin_of_text|>", "<s>", "<bos>", "<|endoftext|>"}) {
    for (const AddedToken& token : parsed.added_tokens) {
      if (token.special && token.content == text) return token.id;
    }
  }
  return {};
}

}  // namespace

TokenizerJson parse_tokenizer_json(std::string_view text, const std::string& path) {
  try {
    const json document = json::parse(text);
    const Field root(document, "");
    if (!document.is_object() || !document.contains("model")) {
      root.fail("this is not a tokenizer.json: it has no \"model\"");
    }
    TokenizerJson parsed;
    parse_model(root["model"], parsed);
    parse_added_tokens(root["added_tokens"], parsed);
    parse_normalizer(root["normalizer"], parsed.normalizer);
    parse_pretokenizer(root["pre_tokenizer"], parsed.pretokenizer);
    if (const Field decoder = root["decoder"]; !decoder.is_null()) {
      bool fused = false;
      parse_decoder(decoder, parsed.decoder.emplace(), fused);
    }
    parsed.start_token = find_start_token(root, parsed);
    return parsed;
  } catch (const json::parse_error& error) {
    throw std::runtime_error(
        fmt::format("{}: not valid JSON at byte {}: {}", path, error.byte, error.what()));
  } catch (const json::exception& error) {  // a number beyond any range
    throw std::runtime_error(fmt::format("{}: not valid JSON: {}", path, error.what()));
  } catch (const std::invalid_argument& error) {
    throw std::runtime_error(fmt::format("{}: {}", path, error.what()));
  }
}

}  // namespace deciban

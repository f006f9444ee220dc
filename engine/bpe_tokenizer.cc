#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <unordered_map>

#include "engine/bpe_added_tokens.h"
#include "engine/bpe_byte_alphabet.h"
#include "engine/bpe_merge.h"
#include "engine/bpe_piece_cache.h"
#include "engine/bpe_pretokenize.h"
#include "engine/tokenizer.h"
#include "engine/tokenizer_json.h"
#include "engine/utf8.h"
#include "engine/vocabulary_file.h"

namespace deciban {

namespace {

constexpr Token kNone = -1;
// SentencePiece's stand-in for the space.
constexpr std::string_view kSpaceMark = "\xE2\x96\x81";
// Embeddings are padded to some multiple for speed; the most seen in published models is 905 rows.
constexpr std::size_t kMostPadding = 1023;

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  if (text.find(from) == std::string::npos) return;
  std::string replaced;
  replaced.reserve(text.size() + text.size() / 2);
  std::size_t done = 0;
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, done)) {
    replaced.append(text, done, at - done).append(to);
    done = at + from.size();
  }
  text = replaced.append(text, done);
}

std::string apply_normalizer(const std::vector<NormalizerStep>& steps, std::string text) {
  for (const NormalizerStep& step : steps) {
    switch (step.kind) {
      case NormalizerStep::Kind::unicode:
        text = normalize(text, step.form);
        break;
      case NormalizerStep::Kind::prepend:
        if (!text.empty()) text.insert(0, step.content);
        break;
      case NormalizerStep::Kind::replace:
        replace_all(text, step.pattern, step.content);
        break;
    }
  }
  return text;
}

AddedTokens select_added_tokens(const TokenizerJson& json, bool normalized) {
  std::vector<AddedToken> tokens;
  std::vector<std::string> texts;
  for (const AddedToken& token : json.added_tokens) {
    if (token.normalized != normalized) continue;
    tokens.push_back(token);
    // Those looked for in normalised text are normalised themselves.
    texts.push_back(normalized ? apply_normalizer(json.normalizer, token.content) : token.content);
  }
  return AddedTokens(std::move(tokens), texts);
}

// <0xNN>, the token of a byte in vocabularies with byte fallback.
std::optional<unsigned char> fallback_byte(std::string_view token) {
  static constexpr std::string_view kDigits = "0123456789ABCDEF";
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return {};
  const std::size_t high = kDigits.find(token[3]), low = kDigits.find(token[4]);
  if (high == std::string_view::npos || low == std::string_view::npos) return {};
  return static_cast<unsigned char>(high << 4 | low);
}

class BpeTokenizer final : public Tokenizer {
 public:
  BpeTokenizer(const TokenizerJson& json, std::string name, std::string digest);

  std::string name() const override { return name_; }
  std::string digest() const override { return digest_; }
  std::size_t size() const override { return bytes_.size(); }
  bool fits(std::size_t rows) const override { return rows >= size() && rows - size() <= kMostPadding; }
  std::optional<Token> start_token() const override { return start_token_; }

  std::vector<Token> encode(std::string_view text) const override;
  std::string decode(std::span<const Token> tokens) const override;
  // What decode(encode(text)) gives, but for tokens that stand for unknown characters.
  std::string normalise(std::string_view text) const override;

 private:
  struct Encoding {
    std::vector<Token> tokens;
    PieceCache cache;
    std::vector<Token> symbols;  // scratch
  };

  void fill_vocabulary(const TokenizerJson& json);
  void fill_merges(const TokenizerJson& json);
  void fill_bytes(const TokenizerJson& json);

  // Calls added(id) and piece(TextPiece) in order of the text.
  template <class Added, class OnPiece>
  void walk(std::string_view text, const Added& added, const OnPiece& piece) const;
  void encode_piece(std::string_view piece, Encoding& encoding) const;
  void encode_part(std::string_view part, Encoding& encoding) const;
  void start_symbols(std::string_view part, std::vector<Token>& symbols) const;
  Token token_of(char32_t character) const;
  std::string strip(std::string text) const;

  std::string name_, digest_;
  std::vector<NormalizerStep> normalizer_;
  AddedTokens raw_added_, normalized_added_;
  Pretokenizer pretokenizer_;
  bool byte_level_ = false, fuse_unknown_ = false, ignore_merges_ = false;
  // Whether pieces may be cut before every space mark that follows something else: no token goes across.
  bool cut_at_space_marks_ = false;
  Token unknown_ = kNone;
  std::array<Token, 256> byte_tokens_;   // byte-level: each byte's token; else byte fallback's
  std::array<Token, 128> ascii_tokens_;  // not byte-level
  std::unordered_map<char32_t, Token> character_tokens_;  // not byte-level, beyond ASCII
  std::unordered_map<std::string, Token> whole_pieces_;   // if ignore_merges_
  MergeTable merges_;
  std::vector<std::string> bytes_;  // by id, what it decodes to
  DecoderRules decoder_;
  std::optional<Token> start_token_;
};

BpeTokenizer::BpeTokenizer(const TokenizerJson& json, std::string name, std::string digest)
    : name_(std::move(name)),
      digest_(std::move(digest)),
      normalizer_(json.normalizer),
      raw_added_(select_added_tokens(json, false)),
      normalized_added_(select_added_tokens(json, true)),
      pretokenizer_(json.pretokenizer),
      fuse_unknown_(json.fuse_unknown),
      ignore_merges_(json.ignore_merges),
      merges_(json.merges.size()),
      start_token_(json.start_token) {
  byte_level_ = std::any_of(
      json.pretokenizer.begin(), json.pretokenizer.end(),
      [](const PretokenizerStep& step) { return step.kind == PretokenizerStep::Kind::byte_level; });
  if (json.decoder) {
    decoder_ = *json.decoder;
    if (decoder_.byte_level != byte_level_) {
      throw std::invalid_argument(byte_level_
                                      ? "decoder: the pre_tokenizer is ByteLevel, but the decoder is not"
                                      : "decoder: ByteLevel, but the pre_tokenizer is not");
    }
    if (byte_level_ && (decoder_.byte_fallback || !decoder_.replace.empty() || !decoder_.strip.empty())) {
      throw std::invalid_argument("decoder: ByteLevel together with other steps is not supported");
    }
  }
  fill_vocabulary(json);
  fill_merges(json);
  fill_bytes(json);
}

void BpeTokenizer::fill_vocabulary(const TokenizerJson& json) {
  byte_tokens_.fill(kNone);
  ascii_tokens_.fill(kNone);
  for (const auto& [text, id] : json.vocabulary) {
    if (text == json.unknown_token) unknown_ = id;
    if (text.empty()) continue;
    if (byte_level_) {
      const std::optional<std::string> bytes = from_byte_alphabet(text);
      if (!bytes) continue;  // no text leads to it
      if (bytes->size() == 1) byte_tokens_[static_cast<unsigned char>((*bytes)[0])] = id;
      if (ignore_merges_) whole_pieces_.emplace(*bytes, id);
    } else {
      const CodePoint c = code_point_at(text, 0);
      if (c.length == text.size()) {
        if (c.value < 128) {
          ascii_tokens_[c.value] = id;
        } else {
          character_tokens_.emplace(c.value, id);
        }
      }
      if (const auto byte = fallback_byte(text); byte && json.byte_fallback) byte_tokens_[*byte] = id;
      if (ignore_merges_) whole_pieces_.emplace(text, id);
    }
  }
  if (json.unknown_token && unknown_ == kNone) {
    for (const AddedToken& token : json.added_tokens) {
      if (token.content == *json.unknown_token) unknown_ = token.id;
    }
    if (unknown_ == kNone) {
      throw std::invalid_argument(
          fmt::format("model.unk_token: '{}' is not in the vocabulary", *json.unknown_token));
    }
  }
  if (byte_level_ && json.byte_fallback) {
    const auto missing = std::find(byte_tokens_.begin(), byte_tokens_.end(), kNone);
    if (missing != byte_tokens_.end()) {
      throw std::invalid_argument(fmt::format(
          "model.byte_fallback: not supported with ByteLevel where a byte (0x{:02X}) has no token",
          missing - byte_tokens_.begin()));
    }
  }
}

void BpeTokenizer::fill_merges(const TokenizerJson& json) {
  std::unordered_map<std::string_view, Token> ids(json.vocabulary.begin(), json.vocabulary.end());
  cut_at_space_marks_ = !byte_level_ && !ignore_merges_ && ids.contains(kSpaceMark);
  for (std::size_t rank = 0; rank < json.merges.size(); ++rank) {
    const std::string &left = json.merges[rank].first, &right = json.merges[rank].second;
    const std::string merged = left + right;
    const auto id_of = [&](const std::string& text) {
      const auto found = ids.find(text);
      if (found == ids.end()) {
        throw std::invalid_argument(fmt::format(
            "model.merges[{}]: '{}' + '{}': '{}' is not in the vocabulary", rank, left, right, text));
      }
      return found->second;
    };
    const Token left_id = id_of(left), right_id = id_of(right);
    merges_.add(left_id, right_id, static_cast<std::uint32_t>(rank), id_of(merged));
    for (std::size_t at = merged.find(kSpaceMark); cut_at_space_marks_ && at != std::string::npos;
         at = merged.find(kSpaceMark, at + 1)) {
      if (at > 0 && !std::string_view(merged).substr(0, at).ends_with(kSpaceMark))
        cut_at_space_marks_ = false;
    }
  }
}

void BpeTokenizer::fill_bytes(const TokenizerJson& json) {
  Token highest = kNone;
  for (const auto& [text, id] : json.vocabulary) highest = std::max(highest, id);
  for (const AddedToken& token : json.added_tokens) highest = std::max(highest, token.id);
  bytes_.resize(static_cast<std::size_t>(highest + 1));
  const auto decoded = [&](std::string text) {
    for (const auto& [from, to] : decoder_.replace) replace_all(text, from, to);
    return text;
  };
  for (const auto& [text, id] : json.vocabulary) {
    if (byte_level_) {
      bytes_[id] = from_byte_alphabet(text).value_or(text);
    } else if (const auto byte = fallback_byte(text); byte && decoder_.byte_fallback) {
      bytes_[id] = std::string(1, static_cast<char>(*byte));
    } else {
      bytes_[id] = decoded(text);
    }
  }
  // A token that is looked for in normalised text decodes to what was found there.
  for (const AddedToken& token : json.added_tokens) {
    bytes_[token.id] =
        decoded(token.normalized ? apply_normalizer(normalizer_, token.content) : token.content);
  }
}

template <class Added, class OnPiece>
void BpeTokenizer::walk(std::string_view text, const Added& added, const OnPiece& piece) const {
  std::string repaired;
  if (first_invalid_utf8(text) != text.size()) {
    repaired = repair_utf8(text);
    text = repaired;
  }
  for (const AddedTokens::Segment& segment : raw_added_.split(text)) {
    if (segment.id != kNone) {
      added(segment.id);
      continue;
    }
    const std::string normalized =
        apply_normalizer(normalizer_, std::string(text.substr(segment.begin, segment.end - segment.begin)));
    for (const AddedTokens::Segment& part : normalized_added_.split(normalized)) {
      if (part.id != kNone) {
        added(part.id);
      } else {
        const std::string_view rest = std::string_view(normalized).substr(part.begin, part.end - part.begin);
        pretokenizer_.split({rest, segment.begin == 0 && part.begin == 0}, piece);
      }
    }
  }
}

std::vector<Token> BpeTokenizer::encode(std::string_view text) const {
  Encoding encoding{{}, PieceCache(text.size()), {}};
  encoding.tokens.reserve(text.size() / 3 + 1);
  walk(
      text, [&](Token id) { encoding.tokens.push_back(id); },
      [&](TextPiece piece) { encode_piece(piece.text, encoding); });
  return std::move(encoding.tokens);
}

void BpeTokenizer::encode_piece(std::string_view piece, Encoding& encoding) const {
  if (!cut_at_space_marks_) return encode_part(piece, encoding);
  std::size_t begin = 0;
  for (std::size_t at = piece.find(kSpaceMark, 1); at != std::string_view::npos;
       at = piece.find(kSpaceMark, at + 1)) {
    if (piece.substr(0, at).ends_with(kSpaceMark)) continue;
    encode_part(piece.substr(begin, at - begin), encoding);
    begin = at;
  }
  encode_part(piece.substr(begin), encoding);
}

void BpeTokenizer::encode_part(std::string_view part, Encoding& encoding) const {
  std::vector<Token>& tokens = encoding.tokens;
  PieceCache::Entry* entry = encoding.cache.entry(part);
  if (entry && encoding.cache.holds(*entry)) {
    for (std::size_t i = entry->first; i < entry->first + entry->count; ++i) {
      const Token token = tokens[i];
      tokens.push_back(token);
    }
    return;
  }
  const std::size_t first = tokens.size();
  const auto whole = ignore_merges_ ? whole_pieces_.find(std::string(part)) : whole_pieces_.end();
  if (whole != whole_pieces_.end()) {
    tokens.push_back(whole->second);
  } else {
    start_symbols(part, encoding.symbols);
    merges_.merge(encoding.symbols);
    tokens.insert(tokens.end(), encoding.symbols.begin(), encoding.symbols.end());
  }
  if (entry) encoding.cache.put(*entry, first, tokens.size() - first);
}

Token BpeTokenizer::token_of(char32_t character) const {
  if (character < 128) return ascii_tokens_[character];
  const auto found = character_tokens_.find(character);
  return found == character_tokens_.end() ? kNone : found->second;
}

void BpeTokenizer::start_symbols(std::string_view part, std::vector<Token>& symbols) const {
  symbols.clear();
  bool pending_unknown = false;  // an unknown token is owed; it comes before the next known one
  const auto add_known = [&](Token token) {
    if (pending_unknown) symbols.push_back(unknown_);
    pending_unknown = false;
    symbols.push_back(token);
  };
  const auto add_unknown = [&] {
    if (unknown_ == kNone) return;
    if (pending_unknown && !fuse_unknown_) symbols.push_back(unknown_);
    pending_unknown = true;
  };
  for (std::size_t at = 0; at < part.size();) {
    if (byte_level_) {
      const Token token = byte_tokens_[static_cast<unsigned char>(part[at++])];
      token != kNone ? add_known(token) : add_unknown();
      continue;
    }
    const CodePoint c = code_point_at(part, at);
    const std::string_view bytes = part.substr(at, c.length);
    at += c.length;
    if (const Token token = token_of(c.value); token != kNone) {
      add_known(token);
      continue;
    }
    const auto fallback = [&](char byte) { return byte_tokens_[static_cast<unsigned char>(byte)]; };
    if (std::all_of(bytes.begin(), bytes.end(), [&](char byte) { return fallback(byte) != kNone; })) {
      // As in the reference library, an unknown token still owed stays owed.
      for (const char byte : bytes) symbols.push_back(fallback(byte));
    } else {
      add_unknown();
    }
  }
  if (pending_unknown) symbols.push_back(unknown_);
}

std::string BpeTokenizer::strip(std::string text) const {
  if (decoder_.strip.empty()) return text;
  std::string_view rest = text;
  for (std::size_t i = 0; i < decoder_.strip_left && rest.starts_with(decoder_.strip); ++i) {
    rest.remove_prefix(decoder_.strip.size());
  }
  for (std::size_t i = 0; i < decoder_.strip_right && rest.ends_with(decoder_.strip); ++i) {
    rest.remove_suffix(decoder_.strip.size());
  }
  return std::string(rest);
}

std::string BpeTokenizer::decode(std::span<const Token> tokens) const {
  std::string text;
  for (const Token token : tokens) {
    if (token >= 0 && static_cast<std::size_t>(token) < bytes_.size()) text += bytes_[token];
  }
  return strip(std::move(text));
}

std::string BpeTokenizer::normalise(std::string_view text) const {
  std::string normalised;
  normalised.reserve(text.size());
  walk(
      text, [&](Token id) { normalised += bytes_[id]; },
      [&](TextPiece piece) {
        if (decoder_.replace.empty()) {
          normalised += piece.text;
          return;
        }
        std::string decoded(piece.text);
        for (const auto& [from, to] : decoder_.replace) replace_all(decoded, from, to);
        normalised += decoded;
      });
  return strip(std::move(normalised));
}

}  // namespace

std::unique_ptr<Tokenizer> bpe_tokenizer(const std::filesystem::path& tokenizer_json) {
  const VocabularyFile file = read_vocabulary_file(tokenizer_json);
  return parse_bpe_tokenizer(file.text, file.path);
}

std::unique_ptr<Tokenizer> parse_bpe_tokenizer(std::string_view json, const std::string& path) {
  const TokenizerJson parsed = parse_tokenizer_json(json, path);
  try {
    return std::make_unique<BpeTokenizer>(parsed, "bpe:" + std::filesystem::path(path).filename().string(),
                                          text_digest(json));
  } catch (const std::invalid_argument& error) {
    throw std::runtime_error(fmt::format("{}: {}", path, error.what()));
  }
}

}  // namespace deciban

#include "engine/bpe_added_tokens.h"

#include <algorithm>

#include "engine/unicode_classes.h"
#include "engine/utf8.h"

namespace deciban {

namespace {

// The character that ends at `end` > 0 of valid UTF-8.
CodePoint code_point_before(std::string_view text, std::size_t end) {
  std::size_t begin = end - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
  return code_point_at(text, begin);
}

bool is_space(char32_t c) { return CharacterClasses::get()[c] == CharacterClass::space; }

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, const std::vector<std::string>& texts)
    : tokens_(std::move(tokens)) {
  std::vector<std::pair<std::string, std::int32_t>> entries;
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    if (texts[i].empty()) continue;
    entries.emplace_back(texts[i], static_cast<std::int32_t>(i));
    begins_[static_cast<unsigned char>(texts[i][0])] = true;
  }
  // Normalisation can make two texts equal; the first one is found then.
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  entries.erase(std::unique(entries.begin(), entries.end(),
                            [](const auto& a, const auto& b) { return a.first == b.first; }),
                entries.end());
  trie_ = ByteTrie(std::move(entries));
}

std::vector<AddedTokens::Segment> AddedTokens::split(std::string_view text) const {
  std::vector<Segment> segments;
  std::size_t done = 0;  // text before this is in segments
  for (std::size_t at = trie_.empty() ? text.size() : 0; at < text.size();) {
    if (!begins_[static_cast<unsigned char>(text[at])]) {
      ++at;
      continue;
    }
    const ByteTrie::Match match = trie_.longest_prefix(text.substr(at));
    if (match.value < 0) {
      ++at;
      continue;
    }
    std::size_t begin = at, end = at + match.length;
    at = end;
    const AddedToken& token = tokens_[match.value];
    if (token.single_word && ((begin > 0 && is_word_character(code_point_before(text, begin).value)) ||
                              (end < text.size() && is_word_character(code_point_at(text, end).value)))) {
      continue;
    }
    if (token.lstrip) {
      while (begin > done) {
        const CodePoint c = code_point_before(text, begin);
        if (!is_space(c.value)) break;
        begin -= c.length;
      }
    }
    if (token.rstrip) {
      while (end < text.size() && is_space(code_point_at(text, end).value))
        end += code_point_at(text, end).length;
    }
    if (done < begin) segments.push_back({done, begin, -1});
    segments.push_back({begin, end, token.id});
    done = end;
  }
  if (done < text.size()) segments.push_back({done, text.size(), -1});
  return segments;
}

}  // namespace deciban

#include "reports/surprise.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <functional>
#include <numbers>

#include "reports/page.h"

namespace deciban {
namespace {

constexpr std::size_t kMostBytes = 1100;
constexpr double kWordBytes = 1.5;  // shorter tokens on average: bytes, shown as words

// Where each token ends, and the bits up to there (NaN from an unscored token on is local: sums are
// differences).
struct Ends {
  std::vector<std::size_t> place;
  std::vector<double> bits;  // of the token that ends there
};

Ends ends_of(const TokenScores& scores) {
  Ends ends;
  std::size_t place = 0;
  for (std::size_t i = 0; i < scores.bytes.size(); ++i) {
    place += scores.bytes[i];
    ends.place.push_back(place);
    ends.bits.push_back(-static_cast<double>(scores.logprob[i]) / std::numbers::ln2);
  }
  return ends;
}

bool continues_character(std::string_view text, std::size_t at) {
  return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
}

bool word_starts(std::string_view text, std::size_t at) {
  if (at == 0 || at >= text.size()) return true;
  const auto space = [](char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; };
  if (space(text[at])) return true;  // blanks go with the word that follows them
  const auto word = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x80 || std::isalnum(byte);
  };
  return !space(text[at - 1]) && word(text[at]) != word(text[at - 1]);
}

double sum_between(const Ends& ends, std::size_t& next, std::size_t to) {
  double bits = 0;
  while (next < ends.place.size() && ends.place[next] <= to) bits += ends.bits[next++];
  return bits;
}

// 0 … 5 by bits per byte.
int heat(const SurprisePiece& piece, double bits) {
  if (std::isnan(bits)) return 0;
  const double rate = bits / static_cast<double>(piece.end - piece.begin);
  constexpr double kLimits[] = {0.5, 1.2, 2.2, 3.5, 5.5};
  return static_cast<int>(std::upper_bound(std::begin(kLimits), std::end(kLimits), rate) -
                          std::begin(kLimits));
}

void draw(Node parent, std::string_view text, const std::vector<SurprisePiece>& pieces,
          const std::function<std::string(const SurprisePiece&)>& kind_of,
          const std::function<std::string(const SurprisePiece&)>& title_of) {
  Node pre = add(parent, "pre", "tokens");
  put(pre, "tabindex", "0");
  put(pre, "dir", "auto");
  for (const SurprisePiece& piece : pieces) {
    const std::string_view part = text.substr(piece.begin, piece.end - piece.begin);
    Node span = add(pre, "span", kind_of(piece));
    put(span, "title", title_of(piece));
    put_lines(span, part);
  }
  if (!pieces.empty() && pieces.back().end < text.size()) put_text(pre, " …");
}

void key(Node parent, std::initializer_list<std::pair<const char*, const char*>> entries) {
  Node line = add(parent, "p", "key");
  for (const auto& [kind, words] : entries) add_text(line, "span", words, kind);
}

}  // namespace

std::vector<SurprisePiece> surprise_pieces(std::string_view text, const TokenScores& first,
                                           const TokenScores* second, std::size_t most) {
  std::vector<SurprisePiece> pieces;
  const Ends a = ends_of(first), b = second ? ends_of(*second) : Ends{};
  if (a.place.empty() || a.place.back() != text.size()) return pieces;
  if (second && (b.place.empty() || b.place.back() != text.size())) return pieces;
  const bool words = static_cast<double>(text.size()) < kWordBytes * static_cast<double>(a.place.size());
  std::size_t begin = 0, next_a = 0, next_b = 0, at_b = 0;
  for (std::size_t i = 0; i < a.place.size(); ++i) {
    const std::size_t end = a.place[i];
    if (end == begin) continue;
    if (second) {
      while (at_b < b.place.size() && b.place[at_b] < end) ++at_b;
      if (at_b == b.place.size() || b.place[at_b] != end) continue;
    }
    if (continues_character(text, end) || (words && !word_starts(text, end))) continue;
    if (end > most && !pieces.empty()) break;
    const double bits = sum_between(a, next_a, end);
    pieces.push_back({begin, end, bits, second ? sum_between(b, next_b, end) : 0});
    begin = end;
  }
  return pieces;
}

void draw_surprise(Node parent, std::string_view text, const TokenScores& first, const TokenScores* second,
                   const std::string& first_name, const std::string& second_name) {
  const std::vector<SurprisePiece> pieces = surprise_pieces(text, first, second, kMostBytes);
  if (pieces.empty()) {
    paragraph(parent, "The tokens kept do not add up to this text: it is another edition.", "soft");
    return;
  }
  Node about = add(parent, "p");
  put_text(about, "Bits of ");
  add_name(about, first_name);
  put_text(about, ":");
  key(parent, {{"", "below 0.5 bits/byte"},
               {"h1", "1.2"},
               {"h2", "2.2"},
               {"h3", "3.5"},
               {"h4", "5.5"},
               {"h5", "more"}});
  draw(
      parent, text, pieces,
      [](const SurprisePiece& piece) {
        const int level = heat(piece, piece.first);
        return level == 0 ? std::string() : fmt::format("h{}", level);
      },
      [](const SurprisePiece& piece) {
        return std::isnan(piece.first) ? "not scored" : fmt::format("{:.1f} bits", piece.first);
      });
  if (!second) return;
  Node compared = add(parent, "p");
  put_text(compared, "Where ");
  add_name(compared, first_name);
  put_text(compared, " (blue) and ");
  add_name(compared, second_name);
  put_text(compared, " (orange) need fewer bits:");
  key(parent, {{"d3", "4 bits fewer"},
               {"d2", "2"},
               {"d1", "0.7"},
               {"", "alike"},
               {"h1", "0.7"},
               {"h2", "2"},
               {"h3", "4 bits fewer"}});
  draw(
      parent, text, pieces,
      [](const SurprisePiece& piece) {
        const double difference = piece.second - piece.first, size = std::abs(difference);
        if (!(size >= 0.7)) return std::string();
        return fmt::format("{}{}", difference > 0 ? "d" : "h", size >= 4 ? 3 : size >= 2 ? 2 : 1);
      },
      [](const SurprisePiece& piece) {
        return fmt::format("{:.1f} and {:.1f} bits", piece.first, piece.second);
      });
}

}  // namespace deciban

#include "evals/window.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <stdexcept>
#include <utility>

#include "evals/request_window.h"
#include "evals/round_trip.h"

namespace deciban {
namespace {

constexpr std::string_view kForms =
    "whole, tokens:N[:OVERLAP], bytes:N[:OVERLAP], uncheatable:N, uncheatable2:N, lm-eval:N, paper or rnn";
constexpr std::size_t kLongestCharacter = 4;  // bytes of a UTF-8 character
constexpr std::size_t kLargestSize = std::size_t{1} << 40;

[[noreturn]] void bad_policy(std::string_view word, std::string_view why) {
  throw std::invalid_argument(fmt::format("window '{}': {}; a window is {}", word, why, kForms));
}

std::size_t parse_count(std::string_view word, std::string_view digits, std::string_view what) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size() ||
      value > kLargestSize) {
    bad_policy(word, fmt::format("{} '{}' is not a count", what, digits));
  }
  return value;
}

bool inside_character(std::string_view text, std::size_t i) {
  return i > 0 && i < text.size() && (static_cast<unsigned char>(text[i]) & 0xC0) == 0x80;
}

// The nearest place at or before (after) i where no UTF-8 character is split; i itself in text that is not
// UTF-8.
std::size_t boundary_before(std::string_view text, std::size_t i) {
  for (std::size_t back = 0; back < kLongestCharacter && back <= i; ++back) {
    if (!inside_character(text, i - back)) return i - back;
  }
  return i;
}
std::size_t boundary_after(std::string_view text, std::size_t i, std::size_t most) {
  for (std::size_t on = 0; on < kLongestCharacter && i + on <= most; ++on) {
    if (!inside_character(text, i + on)) return i + on;
  }
  return i;
}

// Collects windows; knows what all policies share: start token, context limit, and what stays unscored.
class Cutter {
 public:
  Cutter(const LanguageModel& model, const Windowing& policy, std::optional<Token> start)
      : model_(model), policy_(policy), start_(start) {}

  // Tokens that are there before a window's own: the start token.
  std::size_t start_tokens() const { return start_ ? 1 : 0; }

  // One window that reads the start token and `before`, and scores `piece`.
  void add(std::span<const Token> before, std::span<const Token> piece) {
    if (piece.empty()) return;
    Window window;
    window.tokens.reserve(start_tokens() + before.size() + piece.size());
    if (start_) window.tokens.push_back(*start_);
    window.tokens.insert(window.tokens.end(), before.begin(), before.end());
    const std::size_t known = window.tokens.size();
    window.tokens.insert(window.tokens.end(), piece.begin(), piece.end());
    window.first = std::max<std::size_t>(known, 1);
    check_limit(window.tokens.size());
    out_.text_tokens.insert(out_.text_tokens.end(), piece.begin(), piece.end());
    out_.scored.insert(out_.scored.end(), piece.size(), true);
    if (known == 0) {  // nothing stands before the piece: its first token has no probability
      out_.scored[out_.scored.size() - piece.size()] = false;
      out_.unscored_bytes += model_.decode(piece.first(1)).size();
    }
    if (window.tokens.size() > window.first) out_.windows.push_back(std::move(window));
  }

  // Windows of at most `size` tokens beside the start token over context and text, `overlap` of them read
  // again.
  void add_tokens(std::size_t size, std::size_t overlap, std::span<const Token> context,
                  std::span<const Token> text) {
    if (text.empty()) return;
    std::vector<Token> stream(context.begin(), context.end());
    stream.insert(stream.end(), text.begin(), text.end());
    const std::span<const Token> all(stream);
    std::size_t position = context.size(), known = context.size();
    while (position < all.size()) {
      if (size <= known) {
        throw std::invalid_argument(fmt::format(
            "window {}: {} tokens of context leave no room for a token to score; use a larger window",
            policy_.name(), known));
      }
      const std::size_t count = std::min(size - known, all.size() - position);
      add(all.subspan(position - known, known), all.subspan(position, count));
      position += count;
      known = std::min(overlap, position);
    }
  }

  Windows take() {
    out_.tokens = out_.text_tokens.size();
    return std::move(out_);
  }

  // Encodes a stretch of the text and checks that the tokens stand for it.
  std::vector<Token> encode_checked(std::string_view text, std::size_t offset) {
    return deciban::encode_checked(model_, text, offset, out_.lossy_bytes);
  }

 private:
  void check_limit(std::size_t tokens) const {
    const auto limit = model_.info().context_limit;
    if (!limit || tokens <= *limit) return;
    throw std::invalid_argument(fmt::format(
        "window {}: {} tokens in one sequence exceed the limit of {} of {}; use --window tokens:{}:{}",
        policy_.name(), tokens, *limit, model_.info().name, *limit, *limit / 2));
  }

  const LanguageModel& model_;
  const Windowing& policy_;
  const std::optional<Token> start_;
  Windows out_;
};

// The start token under a policy, and how many text tokens a window of a token policy has room for.
std::optional<Token> effective_start(const Windowing& policy, std::optional<Token> start) {
  if (policy.kind == Windowing::Kind::uncheatable) return std::nullopt;
  if (policy.kind == Windowing::Kind::uncheatable2 && !start) {
    throw std::invalid_argument(
        fmt::format("window {}: needs a start token, and there is none", policy.name()));
  }
  return start;
}

std::size_t token_room(const Windowing& policy, std::size_t start_tokens) {
  if (policy.kind != Windowing::Kind::tokens) return policy.size;
  if (policy.size < policy.overlap + start_tokens + 1) {
    throw std::invalid_argument(fmt::format(
        "window {}: no room for a token to score beside the start token and the overlap", policy.name()));
  }
  return policy.size - start_tokens;
}

void cut_bytes(Cutter& cutter, const LanguageModel& model, const Windowing& policy, std::string_view context,
               std::string_view text) {
  std::string joined;
  if (!context.empty()) joined.append(context).append(text);
  const std::string_view stream = context.empty() ? text : std::string_view(joined);
  std::size_t position = context.size(), known = context.size();
  while (position < stream.size()) {
    if (policy.size < known + kLongestCharacter) {
      throw std::invalid_argument(fmt::format(
          "window {}: {} bytes of context leave no room for a character to score; use a larger window",
          policy.name(), known));
    }
    std::size_t end = std::min(position + policy.size - known, stream.size());
    end = boundary_before(stream, end);
    const std::vector<Token> piece =
        cutter.encode_checked(stream.substr(position, end - position), position - context.size());
    const std::vector<Token> before = model.encode(stream.substr(position - known, known));
    cutter.add(before, piece);
    position = end;
    const std::size_t from = position - std::min(policy.overlap, position);
    known = position - boundary_after(stream, from, position);
  }
}

// Pieces of given tokens by the bytes they stand for; a token is never split, so one that is longer than a
// window has a window of its own.
void cut_tokens_by_bytes(Cutter& cutter, const LanguageModel& model, const Windowing& policy,
                         std::span<const Token> tokens) {
  std::vector<std::size_t> bytes;
  for (std::size_t i = 0; i < tokens.size(); ++i) bytes.push_back(model.decode(tokens.subspan(i, 1)).size());
  std::size_t position = 0;
  while (position < tokens.size()) {
    std::size_t from = position, known = 0;
    while (from > 0 && known + bytes[from - 1] <= policy.overlap) known += bytes[--from];
    std::size_t end = position + 1, held = known + bytes[position];
    while (end < tokens.size() && held + bytes[end] <= policy.size) held += bytes[end++];
    cutter.add(tokens.subspan(from, position - from), tokens.subspan(position, end - position));
    position = end;
  }
}

}  // namespace

std::string Windowing::name() const {
  const std::string tail = overlap > 0 ? fmt::format(":{}", overlap) : "";
  switch (kind) {
    case Kind::whole:
      return "whole";
    case Kind::tokens:
      return fmt::format("tokens:{}{}", size, tail);
    case Kind::bytes:
      return fmt::format("bytes:{}{}", size, tail);
    case Kind::uncheatable:
      return fmt::format("uncheatable:{}", size);
    case Kind::uncheatable2:
      return fmt::format("uncheatable2:{}", size);
    case Kind::lm_eval:
      return fmt::format("lm-eval:{}", size);
    case Kind::paper:
      return "paper";
    case Kind::rnn:
      return "rnn";
  }
  throw std::logic_error("Windowing: unknown kind");
}

Windowing Windowing::parse(std::string_view word) {
  std::vector<std::string_view> parts;
  for (std::string_view rest = word;;) {
    const std::size_t colon = rest.find(':');
    parts.push_back(rest.substr(0, colon));
    if (colon == std::string_view::npos) break;
    rest.remove_prefix(colon + 1);
  }
  for (const auto& [name, kind] :
       {std::pair("whole", Kind::whole), {"paper", Kind::paper}, {"rnn", Kind::rnn}}) {
    if (parts[0] != name) continue;
    if (parts.size() > 1) bad_policy(word, fmt::format("'{}' takes no size", name));
    return {kind, 0, 0};
  }
  constexpr std::pair<std::string_view, Kind> kKinds[] = {{"tokens", Kind::tokens},
                                                          {"bytes", Kind::bytes},
                                                          {"uncheatable", Kind::uncheatable},
                                                          {"uncheatable2", Kind::uncheatable2},
                                                          {"lm-eval", Kind::lm_eval}};
  const auto* known =
      std::find_if(std::begin(kKinds), std::end(kKinds), [&](auto& k) { return k.first == parts[0]; });
  if (known == std::end(kKinds)) bad_policy(word, "unknown policy");
  const bool overlaps = known->second == Kind::tokens || known->second == Kind::bytes;
  if (parts.size() < 2) bad_policy(word, "the size is missing");
  if (parts.size() > (overlaps ? 3u : 2u)) bad_policy(word, "too many parts");
  Windowing result{known->second, parse_count(word, parts[1], "size"), 0};
  if (parts.size() == 3) result.overlap = parse_count(word, parts[2], "overlap");
  const std::size_t least = result.kind == Kind::bytes ? kLongestCharacter
                            : result.kind == Kind::uncheatable2 || result.kind == Kind::lm_eval ? 1
                                                                                                : 2;
  if (result.size < least) bad_policy(word, fmt::format("the size must be at least {}", least));
  const std::size_t new_ones = result.kind == Kind::bytes ? kLongestCharacter : 1;
  if (result.overlap > result.size - new_ones) {
    bad_policy(word, fmt::format("the overlap must leave room for at least {} new {}", new_ones,
                                 result.kind == Kind::bytes ? "bytes" : "token"));
  }
  return result;
}

Windows cut(const LanguageModel& model, const Windowing& policy, std::optional<Token> start,
            std::string_view context, std::string_view text) {
  if (policy.is_request()) {
    return RequestCutter(model, policy, start)
        .cut({std::string(context), std::string(text), {}, context.empty()});
  }
  Cutter cutter(model, policy, effective_start(policy, start));
  if (policy.kind == Windowing::Kind::bytes) {
    cut_bytes(cutter, model, policy, context, text);
    return cutter.take();
  }
  const std::vector<Token> before = model.encode(context);
  const std::vector<Token> tokens = cutter.encode_checked(text, 0);
  if (policy.kind == Windowing::Kind::whole) {
    cutter.add(before, tokens);
  } else {
    cutter.add_tokens(token_room(policy, cutter.start_tokens()), policy.overlap, before, tokens);
  }
  return cutter.take();
}

Windows cut_tokens(const LanguageModel& model, const Windowing& policy, std::optional<Token> start,
                   std::span<const Token> tokens) {
  if (policy.is_request()) return RequestCutter(model, policy, start).cut_tokens(tokens);
  Cutter cutter(model, policy, effective_start(policy, start));
  switch (policy.kind) {
    case Windowing::Kind::whole:
      cutter.add({}, tokens);
      break;
    case Windowing::Kind::bytes:
      cut_tokens_by_bytes(cutter, model, policy, tokens);
      break;
    default:
      cutter.add_tokens(token_room(policy, cutter.start_tokens()), policy.overlap, {}, tokens);
  }
  return cutter.take();
}

}  // namespace deciban

#include "evals/request_window.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "evals/python_text.h"
#include "evals/round_trip.h"

namespace deciban {
namespace {

// The model length of version 0.3 and of the RWKV authors' script, for whole texts.
constexpr std::size_t kPaperLength = 2048;
// What their script puts before every request.
constexpr std::string_view kPaperStart = "\n";

void append(std::vector<Token>& all, std::span<const Token> more) {
  all.insert(all.end(), more.begin(), more.end());
}

Windows one_window(std::vector<Token> tokens, std::span<const Token> continuation) {
  Windows result;
  result.tokens = continuation.size();
  result.text_tokens.assign(continuation.begin(), continuation.end());
  result.scored.assign(continuation.size(), true);
  Window window;
  window.first = tokens.size() - continuation.size();
  window.tokens = std::move(tokens);
  result.windows.push_back(std::move(window));
  return result;
}

}  // namespace

TokenPair encode_pair(const Encode& encode, std::optional<Token> prefix, std::string_view context,
                      std::string_view continuation) {
  TokenPair pair;
  if (context.empty()) {
    pair.continuation = encode(continuation);
    if (prefix) pair.context = {*prefix};
    if (prefix && !pair.continuation.empty() && pair.continuation.front() == *prefix)
      pair.continuation.erase(pair.continuation.begin());
    return pair;
  }
  const std::size_t kept = context.size() - python::trailing_space(context);
  const std::string whole = std::string(context) + std::string(continuation);
  pair.context = encode(context.substr(0, kept));
  std::vector<Token> all = encode(whole);
  if (all.size() > pair.context.size())
    pair.continuation.assign(all.begin() + static_cast<std::ptrdiff_t>(pair.context.size()), all.end());
  return pair;
}

std::vector<Window> rolling_windows(std::span<const Token> tokens, Token prefix, std::size_t length) {
  std::vector<Window> windows;
  for (std::size_t done = 0; done < tokens.size();) {
    const std::size_t count = std::min(length, tokens.size() - done), end = done + count;
    Window window;
    if (done == 0) {
      window.tokens = {prefix};
    } else {
      // As many tokens as may be read before the last scored one.
      const std::span<const Token> before = tokens.subspan(end - length - 1, length + 1 - count);
      window.tokens.assign(before.begin(), before.end());
    }
    window.first = window.tokens.size();
    append(window.tokens, tokens.subspan(done, count));
    windows.push_back(std::move(window));
    done = end;
  }
  return windows;
}

RequestCutter::RequestCutter(const LanguageModel& model, const Windowing& policy, std::optional<Token> start)
    : model_(model), policy_(policy), start_(start) {}

std::vector<Token> RequestCutter::encode(std::string_view text) {
  if (text != known_text_) {
    known_tokens_ = model_.encode(text);
    known_text_ = text;
  }
  return known_tokens_;
}

void RequestCutter::check_limit(std::size_t tokens) const {
  // The last token is scored and not read.
  const auto limit = model_.info().context_limit;
  if (!limit || tokens <= *limit + 1) return;
  throw std::runtime_error(
      fmt::format("{} tokens exceed the limit of {} of {}; --task-mode lm-eval cuts off what is too long",
                  tokens - 1, *limit, model_.info().name));
}

Windows RequestCutter::cut(const Query& query) {
  if (query.whole_text) return whole_text(query.continuation);
  const auto need_start = [&]() -> Token {
    if (start_) return *start_;
    throw std::runtime_error("the context is empty, and there is no start token to stand for it");
  };
  std::vector<Token> tokens, continuation;
  std::string_view last_of_context;
  if (policy_.kind == Windowing::Kind::paper) {
    tokens = model_.encode(kPaperStart);
    if (query.context.empty()) {
      tokens.push_back(need_start());
    } else {
      append(tokens, encode(query.context));
    }
    continuation = model_.encode(query.continuation);
  } else {
    // Both texts of a pair are encoded by turns: only the context's tokens are worth remembering.
    const std::size_t kept = query.context.size() - python::trailing_space(query.context);
    const std::string_view bare = std::string_view(query.context).substr(0, kept);
    TokenPair pair =
        encode_pair([&](std::string_view text) { return text == bare ? encode(text) : model_.encode(text); },
                    start_, query.context, query.continuation);
    tokens = std::move(pair.context);
    continuation = std::move(pair.continuation);
    if (tokens.empty()) tokens.push_back(need_start());
  }
  if (continuation.empty()) {
    throw std::runtime_error(
        "the tokenizer leaves nothing of the continuation: it becomes one token with the context's end");
  }
  append(tokens, continuation);
  if (policy_.kind == Windowing::Kind::lm_eval) {
    if (continuation.size() > policy_.size) {
      throw std::runtime_error(
          fmt::format("a continuation of {} tokens is longer than the {} of the window {}",
                      continuation.size(), policy_.size, policy_.name()));
    }
    if (tokens.size() > policy_.size + 1)
      tokens.erase(tokens.begin(), tokens.end() - static_cast<std::ptrdiff_t>(policy_.size + 1));
  }
  check_limit(tokens.size());
  Windows result = one_window(std::move(tokens), continuation);
  const std::string copy = model_.decode(continuation);
  // White space that moved here from the context belongs to the request.
  if (!copy.ends_with(query.continuation) && !query.continuation.ends_with(copy))
    result.lossy_bytes = differing_bytes(query.continuation, copy);
  return result;
}

Windows RequestCutter::whole_text(std::string_view text) {
  std::size_t lossy = 0;
  Windows result = cut_tokens(encode_checked(model_, text, 0, lossy));
  result.lossy_bytes = lossy;
  return result;
}

Windows RequestCutter::cut_tokens(std::span<const Token> tokens) {
  Windows result;
  result.tokens = tokens.size();
  result.text_tokens.assign(tokens.begin(), tokens.end());
  result.scored.assign(tokens.size(), true);
  if (tokens.empty()) return result;
  if (policy_.kind == Windowing::Kind::rnn) {
    Window window;
    if (start_) {
      window.tokens = {*start_};
    } else {
      result.scored.front() = false;
      result.unscored_bytes = model_.decode(tokens.first(1)).size();
    }
    window.first = 1;
    append(window.tokens, tokens);
    if (window.tokens.size() > 1) result.windows.push_back(std::move(window));
  } else {
    if (!start_)
      throw std::runtime_error(
          fmt::format("window {} needs a start token, and there is none", policy_.name()));
    result.windows = rolling_windows(tokens, *start_,
                                     policy_.kind == Windowing::Kind::paper ? kPaperLength : policy_.size);
  }
  for (const Window& window : result.windows) check_limit(window.tokens.size());
  return result;
}

}  // namespace deciban

// The body of /v1/completions: from the request's JSON to prompts, and from completions to the reply's JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "cli/serve/scheduler.h"
#include "engine/lm.h"

namespace deciban {

// A request that cannot be served as it is; the text says what is wrong with which field.
struct BadRequest : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

// The text that stands for the end of texts where the tokenizer has none to show (token 0 of World and
// bytes).
inline constexpr std::string_view kEndOfText = "<|endoftext|>";

// Tokens and text as a server gives and takes them.
class ServedText {
 public:
  explicit ServedText(const LanguageModel& model);
  // The text of the model's start token, or kEndOfText; nothing for models without one.
  const std::optional<std::string>& end_of_text() const { return end_of_text_; }
  // As the model encodes it; exactly the text of the start token becomes that token.
  std::vector<Token> encode(const std::string& text) const;
  // Bytes that are no UTF-8 become U+FFFD.
  std::string decode(std::span<const Token> tokens) const;
  // One token for people and for keys: its text, or "bytes:\xf0\x9f" where it is no UTF-8.
  std::string name(Token token) const;
  const LanguageModel& model() const { return model_; }

 private:
  const LanguageModel& model_;
  std::optional<std::string> end_of_text_;
};

struct CompletionRequest {
  std::vector<std::vector<Token>> prompts;
  std::size_t max_tokens = 16;
  std::optional<std::size_t> logprobs;  // how many of the most probable tokens at each place
  bool echo = false;
  std::vector<std::string> stop;
};

// Throws BadRequest: not an object, a missing prompt, a field of the wrong type, what is not offered
// (sampling, streaming, several choices).
CompletionRequest parse_completion_request(const std::string& body, const ServedText& text);

std::vector<Prompt> prompts_of(const CompletionRequest& request, const ServedText& text);

// "choices" and "usage" of the reply.  Throws std::runtime_error with the first prompt's error.
nlohmann::ordered_json completion_reply(const CompletionRequest& request,
                                        std::span<const Completion> completions, const ServedText& text);

}  // namespace deciban

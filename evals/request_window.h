// How requests of the standard tasks become token sequences: the rules of lm-evaluation-harness, of its
// version 0.3 as the RWKV authors used it, and ours for models that carry a state.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/lm.h"
#include "evals/task.h"
#include "evals/window.h"

namespace deciban {

using Encode = std::function<std::vector<Token>(std::string_view text)>;

struct TokenPair {
  std::vector<Token> context, continuation;
};

// Joint tokenisation: white space at the context's end moves to the continuation, and the continuation's
// tokens are what the joint text has beyond as many tokens as the context alone.  Where a token spans the
// border tokens are lost or repeated, as in the harness.  An empty context becomes the prefix (which then
// must be there: else the context stays empty).
TokenPair encode_pair(const Encode& encode, std::optional<Token> prefix, std::string_view context,
                      std::string_view continuation);

// Windows over a text of `tokens`, each of which is scored once: the first after the prefix, all with at most
// `length` tokens read; the last one slides back, so that it too reads as many as it can.
std::vector<Window> rolling_windows(std::span<const Token> tokens, Token prefix, std::size_t length);

// Cuts requests by a policy for which Windowing::is_request() is true.  Remembers the last context's tokens,
// which the choices of a question share.  Not for several threads.
class RequestCutter {
 public:
  // `start`: what stands for an empty context, and before whole texts.
  RequestCutter(const LanguageModel& model, const Windowing& policy, std::optional<Token> start);

  // Throws std::runtime_error for a request that cannot be scored under the policy, saying why.
  Windows cut(const Query& query);
  // A text that comes as tokens.
  Windows cut_tokens(std::span<const Token> tokens);

 private:
  Windows whole_text(std::string_view text);
  std::vector<Token> encode(std::string_view text);
  void check_limit(std::size_t tokens) const;

  const LanguageModel& model_;
  const Windowing& policy_;
  const std::optional<Token> start_;
  std::string known_text_;  // the last context
  std::vector<Token> known_tokens_;
};

}  // namespace deciban

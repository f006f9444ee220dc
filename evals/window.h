// How a long text is cut into sequences: a named policy that is part of every record.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/lm.h"

namespace deciban {

// Named policies:
//   whole               the whole document in one sequence, state or context carried through
//   tokens:N[:OVERLAP]  windows of at most N tokens (start token included); each scores what the one before
//   did not,
//                       with OVERLAP tokens of context from it
//   bytes:N[:OVERLAP]   the same in bytes of raw text, cut at UTF-8 boundaries and tokenised piece by piece,
//   so that
//                       models with different tokenizers get exactly the same context
//   uncheatable:N       uncheatable_eval before 2026: fresh state every N tokens, no start token, so the
//   first token
//                       of every chunk is not scored
//   uncheatable2:N      its 2026 code: the start token before every chunk of N tokens, every token scored
// and three for requests with a context (evals/request_window.h), under which whole texts can be scored too:
//   lm-eval:N           lm-evaluation-harness: joint tokenisation, the last N tokens are read; of whole texts
//                       disjoint windows of N tokens
//   paper               its version 0.3 with "\n" before every request, as the RWKV authors have it
//   rnn                 joint tokenisation, nothing cut off: the state is carried through
struct Windowing {
  enum class Kind { whole, tokens, bytes, uncheatable, uncheatable2, lm_eval, paper, rnn };
  Kind kind = Kind::whole;
  std::size_t size = 0, overlap = 0;
  std::string name() const;
  // Made for requests: contexts are tokenised, and cut off, in a way of its own.
  bool is_request() const { return kind == Kind::lm_eval || kind == Kind::paper || kind == Kind::rnn; }
  // Throws std::invalid_argument naming the word, what is wrong with it and the known forms.
  static Windowing parse(std::string_view word);
  friend bool operator==(const Windowing&, const Windowing&) = default;
};

// One window of a document: `tokens` are read, those from `first` on are scored.
struct Window {
  std::vector<Token> tokens;
  std::size_t first = 1;
};

// A tokenised text cut by a policy.  The scored suffixes, in order, are the text's tokens except those
// unscored.
struct Windows {
  std::vector<Window> windows;
  std::size_t tokens = 0;          // of the text, as tokenised under this policy, scored or not
  std::size_t unscored_bytes = 0;  // bytes of the text's tokens that no window scores
  std::vector<Token> text_tokens;  // all of them, in order
  std::vector<bool> scored;        // per text token
  std::size_t lossy_bytes = 0;     // by how many bytes decode(encode(text)) differs: normalising tokenizers
};

// `start`: the start token or none; it begins every window (uncheatable:N ignores it, uncheatable2:N needs
// it). `context` is read before the text in the first window, takes up room there, and is never scored.
// A policy of requests takes the text for a whole one; requests go to a RequestCutter.
// Throws std::invalid_argument if the policy cannot hold one scored token beside its start token, context and
// overlap, or if a window would exceed the model's context limit (naming a policy that fits);
// std::runtime_error if the tokenizer gives back something else than the (normalised) text.
Windows cut(const LanguageModel& model, const Windowing& policy, std::optional<Token> start,
            std::string_view context, std::string_view text);
// The same for a text that comes as tokens (bytes policies: by the bytes of its decoded tokens).
Windows cut_tokens(const LanguageModel& model, const Windowing& policy, std::optional<Token> start,
                   std::span<const Token> tokens);

}  // namespace deciban

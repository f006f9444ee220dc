// What stands between a model that is not ours (a plugin, a program, a server) and the caller of score(): it
// hands out good sequences only, and lets only good results through.
#pragma once

#include <cstddef>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "engine/lm.h"

namespace deciban {

// A log-softmax in f32 may come out this much (nats) above zero, or the best a little below another.
inline constexpr float kScoreSlack = 1e-3f;

// Any thread may call any function.
class DECIBAN_API CheckedDelivery {
 public:
  // `who` begins messages: "plugin 'x'".  A server does not say which token was the best, so that `best` may
  // be -1, "another one"; and a sequence's last token, after which nothing is scored, counts towards its
  // limit, while others need not read it.
  CheckedDelivery(std::string who, const ModelInfo& info, SequenceSource& source, ScoreSink& sink,
                  bool is_server = false);

  // The next sequence and its index among those handed out by the source, or false at the end.  Sequences
  // that no model could score (tokens outside the vocabulary, more than the context holds) are failed here
  // and never seen outside.
  bool next(Sequence& out, std::size_t& index);

  bool wants_rows() const { return sink_.wants_rows(); }

  // Results.  A result with a wrong value (too many or too few scores, not a number, a probability above 1, a
  // best token outside the vocabulary or less probable than the token itself) fails its sequence.  Throws
  // std::runtime_error for an index that is not in flight: who mixes up indices cannot be believed in the
  // rest.
  void scored(std::size_t index, std::span<const TokenScore> scores);
  void failed(std::size_t index, std::string_view reason);
  void rows(std::size_t index, std::size_t position, const LogitRows& logits);

  // After the model said it was done: what it did not deliver has failed.  Throws std::runtime_error if it
  // did not ask for all sequences.
  void finish();

 private:
  struct Flight {
    std::size_t count = 0, first = 0;
    std::size_t row = 0;     // rows of all before this position were given
    Sequence sequence = {};  // its tokens live until it is delivered
    std::string complaint;   // of its rows
  };

  std::string objection(const Sequence& sequence) const;
  std::string objection(const Flight& flight, std::span<const TokenScore> scores) const;
  Flight take(std::size_t index);

  const std::string who_;
  const std::size_t vocabulary_;
  const std::optional<std::size_t> context_limit_;
  const bool is_server_;
  SequenceSource& source_;
  ScoreSink& sink_;
  std::mutex source_mutex_, sink_mutex_;  // never both but in this order
  std::size_t next_index_ = 0;
  bool ended_ = false;
  bool skipped_ = false;  // the sequence before was not handed out: nothing can be shared with it
  std::unordered_map<std::size_t, Flight> flights_;
};

}  // namespace deciban

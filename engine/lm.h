// The seam between evaluations and models: token sequences in, log-probabilities out.
//
// Every model (the RWKV engine, a plugin, a server) is a LanguageModel; every evaluation is written against
// this header alone.  Errors are thrown as std::runtime_error (or std::invalid_argument for a caller's
// mistake) whose text names what is wrong, where, with which value, and what to do.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/export.h"

namespace deciban {

using Token = std::int32_t;

// A sequence to score.  The model reads all `tokens`; tokens[first], tokens[first + 1], … are scored, each
// given all before it.  `first` >= 1: the token at 0 has no context and is never scored (put a start token
// there to score all of a text).  `shared` is a hint: so many leading tokens equal those of the sequence that
// the source gave just before; a model may reuse its work for them and must give the same log-probabilities
// as without the hint.
struct Sequence {
  std::span<const Token> tokens;  // owned by the source, valid until this sequence's result was delivered
  std::size_t first = 1;
  std::size_t shared = 0;
};

// The score of one token, in nats.  `best` is the most probable token at that position (the lowest id among
// equals), so a continuation is what greedy decoding would give exactly when best == token throughout.
struct TokenScore {
  float logprob;
  float best_logprob;
  Token best;
};

// Rows of logits (not normalised), row-major, `columns` = vocabulary size.  Valid during the call that hands
// it out.
struct LogitRows {
  const float* data = nullptr;
  std::size_t rows = 0;
  std::size_t columns = 0;
  std::span<const float> row(std::size_t i) const { return {data + i * columns, columns}; }
};

// The most probable token of a row of logits and its log-probability, in both fields.
inline TokenScore best_of(std::span<const float> logits) {
  const auto best = std::max_element(logits.begin(), logits.end());  // the first of equals
  double total = 0;
  for (const float value : logits) total += std::exp(static_cast<double>(value) - *best);
  const auto logprob = static_cast<float>(-std::log(total));
  return {logprob, logprob, static_cast<Token>(best - logits.begin())};
}

// Where score() gets its sequences.  Called from one thread at a time, not always the same.
class SequenceSource {
 public:
  virtual ~SequenceSource() = default;
  // Puts the next sequence into `out` and returns true, or returns false at the end (and ever after).
  virtual bool next(Sequence& out) = 0;
};

// Where score() delivers.  Called from one thread at a time, not always the same, in any order of `index`
// (the place in the source's order, from 0).  Each index gets exactly one scored() or failed().
class ScoreSink {
 public:
  virtual ~ScoreSink() = default;
  // scores[i] belongs to tokens[first + i]; as many as tokens.size() - first.  Valid during the call.
  virtual void scored(std::size_t index, std::span<const TokenScore> scores) = 0;
  virtual void failed(std::size_t index, const std::string& reason) = 0;
  // True to also get every scored position's row of logits, tile by tile, before scored(): rows() is then
  // called with ascending `position`s for each index; row i predicts the token at position + i.  Costs time;
  // never T x V memory.
  virtual bool wants_rows() const { return false; }
  virtual void rows(std::size_t /*index*/, std::size_t /*position*/, const LogitRows& /*logits*/) {}
};

// Bytes held by a model, by purpose.  0 where the model cannot say.
struct MemoryUse {
  std::uint64_t weights =
      0;  // parameters in the format they are computed in, and mapped pages that were touched
  std::uint64_t cache = 0;      // recurrent states or KV caches now allocated
  std::uint64_t workspace = 0;  // activations and scratch now allocated
  std::uint64_t device = 0;     // of all the above, how much lies on an accelerator
};

struct ModelInfo {
  std::string name;               // for people: file stem, "rwkv7-0.1b (random)"
  std::string family;             // "rwkv4", "rwkv5.2", "rwkv7", "gpt-neox", …
  std::string spec;               // what was given to open_model
  std::string digest;             // SHA-256 of the weights, lower-case hex (of the recipe, for random models)
  std::string tokenizer;          // "bytes", "world", "bpe:20B_tokenizer.json"
  std::string tokenizer_digest;   // SHA-256 of the vocabulary's file, or of the name where there is none
  std::string format;             // numeric mode as asked for: "f32", "bf16", "bf16a", "f16", …
  std::string weight_format;      // what the products' weights are stored as
  std::string activation_format;  // what the products' inputs are rounded to
  std::string device;             // "cpu", "cuda:0", "cuda:0,1"
  std::string kernels;  // ISA table or GPU architecture: "avx512bf16", "sm_90", "sm_90 deterministic"
  int threads = 1;
  int numerics_version = 0;  // raised whenever any log-probability may change
  std::uint64_t parameters = 0;
  std::size_t layers = 0, width = 0, vocabulary = 0;
  std::uint64_t state_bytes = 0;  // of one sequence's state; grows with length for caches (then: per token)
  bool constant_state = true;     // false: a cache that grows with every token
  std::optional<std::size_t> training_length;  // tokens; informational
  std::optional<std::size_t> context_limit;    // most tokens one sequence may have; none for RNNs
  std::optional<Token> start_token;            // the model's own document separator
  double batch_bound = 0;  // nats by which a log-probability may depend on what is computed beside it
};

// n sequences in lockstep, for generation, cost against length, and the arithmetic coder.  Bound to its
// model, which must outlive it; one thread at a time.
class Batch {
 public:
  virtual ~Batch() = default;
  // Feeds tokens[i] to sequence i and returns n rows of logits for what follows; valid until the next call.
  virtual LogitRows step(std::span<const Token> tokens) = 0;
  // The same for whoever only wants the most probable next token of each sequence and its log-probability
  // (logprob = best_logprob): the logits need not leave an accelerator.
  virtual void step_best(std::span<const Token> tokens, std::span<TokenScore> best) {
    const LogitRows logits = step(tokens);
    for (std::size_t i = 0; i < best.size() && i < logits.rows; ++i) best[i] = best_of(logits.row(i));
  }
  // Sequence i reads many tokens at once, as score() would, without logits.  False: this batch can only step,
  // and nothing was read.
  virtual bool read(std::size_t /*i*/, std::span<const Token> /*tokens*/) { return false; }
  virtual void reset(std::size_t i) = 0;                    // sequence i starts anew, with nothing read
  virtual void copy(std::size_t from, std::size_t to) = 0;  // sequence `to` continues where `from` is
  virtual std::size_t state_bytes() const = 0;              // of all n sequences now
};

class LanguageModel {
 public:
  virtual ~LanguageModel() = default;
  virtual const ModelInfo& info() const = 0;
  // No start token is added and no special-token text is interpreted unless the tokenizer's own file says so.
  virtual std::vector<Token> encode(std::string_view text) const = 0;
  virtual std::string decode(std::span<const Token> tokens) const = 0;
  // What encode() makes of a text before it splits it (Unicode normalisation); equal to the text for lossless
  // ones.
  virtual std::string normalise(std::string_view text) const { return std::string(text); }
  // Pulls sequences while it has room and delivers each when it is done.  An error of one sequence goes to
  // done.failed(); what ends everything (a lost device) is thrown.  Not reentrant.
  virtual void score(SequenceSource& next, ScoreSink& done) = 0;
  // Null: the model can only score.
  virtual std::unique_ptr<Batch> start_batch(std::size_t /*n*/) { return nullptr; }
  virtual MemoryUse memory() const { return {}; }
};

struct ModelOptions {
  std::string device = "auto";     // auto | cpu | cuda[:N,…]; auto: the first CUDA device if there is one
  std::string format = "auto";     // auto | a word of numeric_mode()
  std::string tokenizer = "auto";  // auto | bytes | path of a vocabulary or tokenizer.json
  int threads = 0;                 // 0: all that the process may use
  std::size_t chunk_rows =
      0;  // tokens computed together; 0: the backend's choice.  Never changes CPU results
  bool deterministic = false;  // CUDA: results depend on nothing that shares a call, as the CPU's never do
};

// Opens what `spec` names: a checkpoint (file or directory), "random:rwkv7-0.1b", "plugin:NAME[,KEY=VALUE…]",
// "exec:COMMAND" or a server's address (docs/plugins.md).  Throws as above.
DECIBAN_API std::unique_ptr<LanguageModel> open_model(const std::string& spec, const ModelOptions& options);
// Throws what open_model() would throw for a missing, foreign or incomplete model, without reading its
// weights.
DECIBAN_API void check_model(const std::string& spec, const ModelOptions& options);

}  // namespace deciban

// RWKV behind the LanguageModel interface.
#pragma once

#include <memory>
#include <vector>

#include "engine/checkpoint.h"
#include "engine/lm.h"
#include "engine/ops.h"
#include "engine/tokenizer.h"

namespace deciban {

// A Batch that also shows its states; what RWKV models' start_batch() returns.
class DECIBAN_API StatefulBatch : public Batch {
 public:
  // Sequence i's state in the official layout: per layer att h_prev, then (aa, bb, pp | S), ffn h_prev
  // (rwkv.md).
  virtual std::vector<float> state(std::size_t i) const = 0;
};

// Loads a model from a checkpoint with official names.  `info` brings name, spec, digest; the rest is filled
// in. `mode` is a word of ModelOptions::format ("auto": docs/methods.md). Throws
// std::runtime_error for shapes this engine does not compute, naming them.
DECIBAN_API std::unique_ptr<LanguageModel> load_rwkv(const Checkpoint& official,
                                                     std::unique_ptr<Tokenizer> tokenizer,
                                                     std::unique_ptr<Backend> backend,
                                                     const std::string& mode, const ModelOptions& options,
                                                     ModelInfo info);

// The same on several devices of one kind: a copy of the weights and a worker each, sequences from one
// source.
DECIBAN_API std::unique_ptr<LanguageModel> load_rwkv(const Checkpoint& official,
                                                     std::unique_ptr<Tokenizer> tokenizer,
                                                     std::vector<std::unique_ptr<Backend>> backends,
                                                     const std::string& mode, const ModelOptions& options,
                                                     ModelInfo info);

// Throws what load_rwkv() would throw before it reads the weights: a shape or a mode that is not computed, a
// device whose memory they do not fit into.
DECIBAN_API void check_rwkv(const Checkpoint& official, const Backend& backend, const std::string& mode);

// Raised whenever any log-probability of the engine may change; part of every record's key.
inline constexpr int kNumericsVersion = 4;

}  // namespace deciban

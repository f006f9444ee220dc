// One entry per operation of ops.h: seeded inputs, the unfused float64 definition, how far a result may be
// from it and why, and what the call costs.  Tests run the entries on every backend and kernel table,
// benchmarks time them.
//
// Nothing here knows a backend: data goes through Backend and Ops alone.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/ops.h"

namespace deciban {

enum class OpKind {
  embed,
  norm_mix,
  linear,
  wkv4,
  wkv5,
  wkv7,
  norm_rows,
  score_head,
  transfer,
  add_rows,
  attention
};

// How the rows of a call divide into sequences: one piece; a piece for each row; many of mixed length, some
// of a single token.  Slots are never in row order, and one slot of the state stays unused and must not
// change.
enum class Pieces { one, singles, mixed };

// Traits of a case, or-ed together.  Each belongs to the operations named.
enum Trait : unsigned {
  kPlain = 0,
  kBias = 1 << 0,        // linear: with a bias
  kNarrow = 1 << 1,      // results in bf16 (f16 where the activations are)
  kTransposed = 1 << 2,  // linear: the matrix is stored [inputs, outputs] (LoRA)
  kInPlace = 1 << 3,     // linear, lerp: y is the base
  kLarge =
      1
      << 4,  // wkv4: keys up to +-86; score_head: logits of hundreds; norms: rows far from zero, and constant
  kTies = 1 << 5,        // score_head: equal best logits within a vector, a panel, a block and across blocks
  kBorderTies = 1 << 6,  // score_head: the lowest of them is the last id before a block's border
  kGate = 1 << 7,        // wkv5: with g
  kTokenDecay = 1 << 8,  // wkv5: the decay given per token
  kKeepH = 1 << 9,       // norm_mix: h and h_prev wanted
  kNormed = 1 << 10,     // embed: with a norm
  // linear: gate, base, target and a y in place are narrow; wkv: so are r, k, v, a and g
  kInner = 1 << 11,
  kRms = 1 << 12,          // norm_rows: the root of the mean square
  kNoBias = 1 << 13,       // norm_rows: without a bias
  kInterleaved = 1 << 14,  // attention: neighbouring channels are turned
  kAlibi = 1 << 15,        // attention: slopes
  kHeadNorm = 1 << 16,     // attention: heads of q and k are normed
};

struct OpCase {
  OpKind op = OpKind::linear;
  std::size_t rows = 1;
  std::size_t inputs =
      64;  // columns of x; heads * head_size for wkv5 and wkv7; floats of a slot for transfer
  std::size_t outputs =
      0;  // linear: outputs; score_head, embed: vocabulary; norm_mix: mixes; transfer: slots
  std::size_t head_size = 0;  // wkv5, wkv7, attention
  NumericMode mode{};         // linear, score_head; elsewhere `activations` is the type of the results
  Epilogue::Act act = Epilogue::Act::none;
  Epilogue::Combine combine = Epilogue::Combine::store;
  Pieces pieces = Pieces::one;
  unsigned traits = kPlain;
  // attention: inputs = heads * head_size; every second piece has read `history` tokens before, the others
  // none.
  std::size_t kv_heads = 0, rotary = 0, window = 0, history = 0;

  bool has(Trait trait) const { return (traits & trait) != 0; }
};

std::string_view name(OpKind op);
// Unique and stable: the seed of a case's inputs.  For example "linear 13x65x1025 bf16/f32 silu gate_add
// bias" (rows, outputs, inputs).
std::string name(const OpCase& c);
// Useful floating-point operations of the call (a fused multiply-add counts two), and the bytes that must
// move between memory and the processor at least: parameters in their format, inputs, results, states.
double flops(const OpCase& c);
double bytes(const OpCase& c);

// All cases for tests of the CPU.
const std::vector<OpCase>& op_cases();
// All cases for tests of accelerators, in every mode there is: skip those that the backend refuses.
const std::vector<OpCase>& accelerator_op_cases();

// What an output must be: `value` in the exact arithmetic of the definition on the rounded inputs, within
// `allowed`.
struct Expected {
  std::string what;
  std::vector<double> value, allowed;
};

// A case on a backend: inputs uploaded, ready to be called.
class OpRun {
 public:
  virtual ~OpRun() = default;
  virtual void reset() = 0;  // states, and outputs that the call reads, as they were before the first call
  virtual void run() = 0;    // the call itself
  virtual std::vector<std::vector<float>> outputs() = 0;  // in the order of OpProblem::expected()
};

// By how much a token that a head named best is less probable than the best, in nats, and how much of that
// rounding may explain.
struct Regret {
  double nats = 0, allowed = 0;
};

// A case's inputs on the host.
class OpProblem {
 public:
  virtual ~OpProblem() = default;
  // The run comes reset.  Problem, backend and ops must outlive it.
  virtual std::unique_ptr<OpRun> bind(Backend& backend, Ops& ops) const = 0;
  virtual std::vector<Expected> expected() const = 0;
  // score_head: of each row, in exact arithmetic; an id outside the vocabulary is infinitely regretted. Other
  // operations have none.
  virtual std::vector<Regret> regrets(const std::vector<std::vector<float>>& /*outputs*/) const { return {}; }
};

// Throws std::logic_error if the case asks for what ops.h does not define.
std::unique_ptr<OpProblem> make_problem(const OpCase& c);

struct OpVerdict {
  std::string complaint;  // empty if all lies within what is allowed; else the worst element in words
  double worst = 0;  // the largest error as a share of what was allowed (of the elements with an allowance)
};
OpVerdict judge(std::span<const Expected> expected, const std::vector<std::vector<float>>& outputs);

}  // namespace deciban

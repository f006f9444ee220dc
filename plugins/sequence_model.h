// A LanguageModel around the blocks of a sequence model that is not RWKV: embedding, blocks with a state per
// sequence, a norm and a head; scoring, batches and the account of memory are the same for all of them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "engine/lm.h"
#include "engine/ops.h"
#include "engine/tokenizer.h"

namespace deciban {

// What `slots` sequences remember; made by a SequenceNet for one stream.
class SequenceState {
 public:
  virtual ~SequenceState() = default;
  virtual void reset(std::size_t slot) = 0;  // nothing read
  virtual void copy(std::size_t from, std::size_t to) = 0;
  virtual std::uint64_t bytes() const = 0;  // of all slots now; any thread may ask
};

// The blocks of one model.  Immutable; any number of threads may run it with Ops and states of their own.
class SequenceNet {
 public:
  virtual ~SequenceNet() = default;
  virtual std::unique_ptr<SequenceState> open_state(std::size_t slots) const = 0;
  // Runs x ([rows, width] f32, the residual stream, changed in place) through all blocks; the states of the
  // layout's slots move on.  `threads` may be used for what is not an operation of `ops`.  Returns the bytes
  // of scratch it took beside the arena of `ops`.
  virtual std::uint64_t run(Ops& ops, int threads, const Tensor& x, Layout layout,
                            SequenceState& state) const = 0;
  // Parameters, and what is made of them, that do not lie in the backend.
  virtual std::uint64_t bytes() const { return 0; }
};

struct SequenceParts {
  std::unique_ptr<Backend> backend;  // before what it made, so that it goes last
  std::unique_ptr<Tokenizer> tokenizer;
  ModelInfo info;  // complete
  NumericMode mode;
  std::unique_ptr<EmbeddingTable> embedding;
  std::unique_ptr<Vector> norm_weight, norm_bias;  // of the last norm; the bias may be null
  Norm norm;                                       // with pointers to the two
  std::unique_ptr<Weight> head;
  std::unique_ptr<SequenceNet> net;
  // Scores a sequence at one go instead of in chunks packed from many: for nets to which a chunk costs as
  // much as all before it.
  bool whole = false;
  std::size_t chunk_rows = 0;  // else; 0: the backend's choice
};

std::unique_ptr<LanguageModel> sequence_model(SequenceParts parts);

// Calls act(first, last) for ranges that cover [0, count) in multiples of `grain`, on up to `threads`
// threads.
void in_parallel(int threads, std::size_t count, std::size_t grain,
                 const std::function<void(std::size_t first, std::size_t last)>& act);

// An f32 tensor to be filled by hand and read by products: its rows' padding is zero.
Tensor allocate_input(Ops& ops, std::size_t rows, std::size_t columns);
// The same values in the type that products read, copied where it is not f32.
Tensor as_product_input(Ops& ops, const Tensor& f32, Tensor::Type type);
// Rows [first, first + count) of a tensor.
Tensor tensor_rows(const Tensor& tensor, std::size_t first, std::size_t count);

}  // namespace deciban

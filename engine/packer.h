// Packs sequences of any length into chunks without padding, for models with a recurrent state, and shares
// the work of common prefixes by forking states.
//
// Each worker has a stream of its own (operations, state slots) and pulls sequences while it has room, so
// documents are computed in parallel without waiting for each other.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <stdexcept>

#include "engine/lm.h"
#include "engine/ops.h"

namespace deciban {

// What a runner throws when it cannot compute this chunk but may well compute others: the chunk's sequences
// fail, each with what(), and the run goes on.
class DECIBAN_API ChunkFailed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  ~ChunkFailed() override;
};

// One worker's stream over one model.
class ChunkRunner {
 public:
  virtual ~ChunkRunner() = default;
  virtual std::size_t slots() const = 0;
  virtual void reset(std::size_t slot) = 0;
  virtual void copy(std::size_t from, std::size_t to) = 0;
  // Reads tokens[i] at row i; the states of the layout's slots move on.  scores[j] is for targets[j] after
  // row rows[j].  Throws OutOfDeviceMemory, with all states as they were, if a smaller chunk may fit: the
  // packer halves its chunks down to 64 rows, and then gives this one's sequences up.
  virtual void run(std::span<const Token> tokens, Layout layout, std::span<const std::size_t> rows,
                   std::span<const Token> targets, std::span<TokenScore> scores) = 0;
  // Logits of entries [first, first + count) of the last run()'s `rows`; valid until the next call.
  virtual LogitRows logits(std::size_t first, std::size_t count) = 0;
};

struct PackOptions {
  std::size_t workers = 1;
  std::size_t chunk_rows = 512;  // tokens computed together
  std::size_t vocabulary = 0;    // ids must be below it
  // How a chunk's rows are given to the sequences in work.  In order: the oldest first, as many as are needed
  // to fill it, which keeps few states warm.  Spread: all that have a slot, in proportion to what they still
  // have to read, so that recurrences run side by side and the sequences end together.
  bool spread = false;
  std::size_t most_sequences = SIZE_MAX;  // that a worker has in work where rows are spread, if it has slots
  std::size_t window = 96;  // most sequences that a worker holds where they go in order
  std::size_t most_tokens = SIZE_MAX;     // that a sequence may have; longer ones fail
};

// Scores all sequences of `next` into `done`.  `open(worker)` makes each worker's runner, on the worker's own
// thread. What a runner, the source or the sink throws stops all workers and is thrown again here.
DECIBAN_API void score_packed(SequenceSource& next, ScoreSink& done, const PackOptions& options,
                              const std::function<std::unique_ptr<ChunkRunner>(std::size_t worker)>& open);

}  // namespace deciban

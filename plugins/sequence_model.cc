#include "plugins/sequence_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "engine/packer.h"

namespace deciban {
namespace {

// One stream over the model: chunks for the packer, whole sequences, steps of a batch.
class Stream final : public ChunkRunner {
 public:
  Stream(const SequenceParts& parts, int threads, std::size_t slots)
      : parts_(parts),
        threads_(threads),
        ops_(parts.backend->open(threads)),
        state_(parts.net->open_state(slots)),
        slots_(slots) {}

  std::size_t slots() const override { return slots_; }
  void reset(std::size_t slot) override { state_->reset(slot); }
  void copy(std::size_t from, std::size_t to) override { state_->copy(from, to); }
  void run(std::span<const Token> tokens, Layout layout, std::span<const std::size_t> rows,
           std::span<const Token> targets, std::span<TokenScore> scores) override {
    forward(tokens, layout);
    if (!rows.empty()) {
      last_ = ops_->allocate(rows.size(), parts_.info.width, Ops::product_type(parts_.mode.activations));
      ops_->norm_rows(x_, rows, parts_.norm, last_);
      if (!targets.empty()) ops_->score_head(*parts_.head, last_, targets, scores);
    }
    account();
  }
  LogitRows logits(std::size_t first, std::size_t count) override {
    const std::size_t mark = ops_->mark(), columns = parts_.info.vocabulary;
    const Tensor y = ops_->allocate(count, columns);
    ops_->linear(*parts_.head, tensor_rows(last_, first, count), y);
    logits_.resize(count * columns);
    ops_->read(y, 0, count, logits_.data());
    ops_->release(mark);
    account();
    return {logits_.data(), count, columns};
  }

  // One token for every slot.
  LogitRows step(std::span<const Token> tokens) {
    std::vector<Piece> layout(tokens.size());
    std::vector<std::size_t> rows(tokens.size());
    for (std::size_t i = 0; i < tokens.size(); ++i) layout[i] = {i, 1, i};
    std::iota(rows.begin(), rows.end(), std::size_t{0});
    run(tokens, layout, rows, {}, {});
    return logits(0, tokens.size());
  }

  // Any thread may ask.
  std::uint64_t state_bytes() const { return state_->bytes(); }
  std::uint64_t workspace_bytes() const { return workspace_.load(std::memory_order_relaxed); }

 private:
  void forward(std::span<const Token> tokens, Layout layout) {
    ops_->release(0);
    x_ = ops_->allocate(tokens.size(), parts_.info.width);
    ops_->embed(*parts_.embedding, tokens, nullptr, x_);
    scratch_ = std::max(scratch_, parts_.net->run(*ops_, threads_, x_, layout, *state_));
  }
  void account() { workspace_ = ops_->workspace_bytes() + scratch_ + logits_.capacity() * sizeof(float); }

  const SequenceParts& parts_;
  const int threads_;
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<SequenceState> state_;
  const std::size_t slots_;
  Tensor x_, last_;
  std::vector<float> logits_;
  std::uint64_t scratch_ = 0;
  std::atomic<std::uint64_t> workspace_{0};
};

// Knows how many sequences there are, up to `look`, before they are worked on.
class Ahead final : public SequenceSource {
 public:
  Ahead(SequenceSource& rest, std::size_t look) : rest_(rest) {
    Sequence sequence;
    while (taken_.size() < look && rest.next(sequence)) taken_.push_back(sequence);
  }
  std::size_t seen() const { return taken_.size(); }
  bool next(Sequence& out) override {
    if (given_ == taken_.size()) return rest_.next(out);
    out = taken_[given_++];
    return true;
  }

 private:
  SequenceSource& rest_;
  std::vector<Sequence> taken_;
  std::size_t given_ = 0;
};

class SequenceModel final : public LanguageModel {
 public:
  explicit SequenceModel(SequenceParts parts) : parts_(std::move(parts)) {}

  const ModelInfo& info() const override { return parts_.info; }
  std::vector<Token> encode(std::string_view text) const override { return parts_.tokenizer->encode(text); }
  std::string decode(std::span<const Token> tokens) const override {
    return parts_.tokenizer->decode(tokens);
  }
  std::string normalise(std::string_view text) const override { return parts_.tokenizer->normalise(text); }

  // A worker a thread while there are sequences; a few long ones are shared by the threads.
  void score(SequenceSource& next, ScoreSink& done) override {
    Ahead source(next, static_cast<std::size_t>(parts_.info.threads));
    const std::size_t workers = std::max<std::size_t>(source.seen(), 1);
    const int team = std::max(1, parts_.info.threads / static_cast<int>(workers));
    if (parts_.whole) return score_whole(source, done, workers, team);
    const std::size_t rows = parts_.chunk_rows ? parts_.chunk_rows : parts_.backend->most_chunk_rows();
    score_packed(source, done, {workers, rows, parts_.info.vocabulary}, [&](std::size_t) {
      constexpr std::size_t kSlots = 16;
      return std::make_unique<Lent>(*this, std::make_unique<Stream>(parts_, team, kSlots));
    });
  }

  std::unique_ptr<Batch> start_batch(std::size_t n) override {
    if (n == 0) throw std::invalid_argument("a batch needs at least one sequence");
    return std::make_unique<StreamBatch>(*this, n);
  }

  MemoryUse memory() const override {
    MemoryUse use;
    use.weights = parts_.backend->weight_bytes() + parts_.net->bytes();
    const std::lock_guard lock(mutex_);
    for (const Stream* stream : streams_) {
      use.cache += stream->state_bytes();
      use.workspace += stream->workspace_bytes();
    }
    use.workspace = std::max(use.workspace, last_workspace_);
    return use;
  }

 private:
  // Stands in the model's account while it lives.
  class Tracked {
   public:
    Tracked(const SequenceModel& model, const Stream& stream) : model_(model), stream_(stream) {
      const std::lock_guard lock(model_.mutex_);
      model_.streams_.push_back(&stream_);
    }
    ~Tracked() {
      const std::lock_guard lock(model_.mutex_);
      std::erase(model_.streams_, &stream_);
      model_.last_workspace_ = std::max(model_.last_workspace_, stream_.workspace_bytes());
    }
    Tracked(const Tracked&) = delete;
    Tracked& operator=(const Tracked&) = delete;

   private:
    const SequenceModel& model_;
    const Stream& stream_;
  };

  class Lent final : public ChunkRunner {
   public:
    Lent(const SequenceModel& model, std::unique_ptr<Stream> stream)
        : stream_(std::move(stream)), tracked_(model, *stream_) {}
    std::size_t slots() const override { return stream_->slots(); }
    void reset(std::size_t slot) override { stream_->reset(slot); }
    void copy(std::size_t from, std::size_t to) override { stream_->copy(from, to); }
    void run(std::span<const Token> tokens, Layout layout, std::span<const std::size_t> rows,
             std::span<const Token> targets, std::span<TokenScore> scores) override {
      stream_->run(tokens, layout, rows, targets, scores);
    }
    LogitRows logits(std::size_t first, std::size_t count) override { return stream_->logits(first, count); }

   private:
    std::unique_ptr<Stream> stream_;
    Tracked tracked_;
  };

  class StreamBatch final : public Batch {
   public:
    StreamBatch(const SequenceModel& model, std::size_t n)
        : model_(model),
          stream_(model.parts_, model.parts_.info.threads, n),
          read_(n),
          tracked_(model, stream_) {}
    LogitRows step(std::span<const Token> tokens) override {
      if (tokens.size() != stream_.slots()) {
        throw std::invalid_argument(
            fmt::format("a batch of {} sequences was given {} tokens", stream_.slots(), tokens.size()));
      }
      for (std::size_t i = 0; i < tokens.size(); ++i) check(i, tokens.subspan(i, 1));
      const LogitRows rows = stream_.step(tokens);
      for (std::size_t& count : read_) ++count;
      return rows;
    }
    bool read(std::size_t i, std::span<const Token> tokens) override {
      check(i, tokens);
      const std::size_t most = model_.parts_.whole        ? std::max<std::size_t>(tokens.size(), 1)
                               : model_.parts_.chunk_rows ? model_.parts_.chunk_rows
                                                          : model_.parts_.backend->most_chunk_rows();
      for (std::size_t first = 0; first < tokens.size(); first += most) {
        const auto part = tokens.subspan(first, std::min(most, tokens.size() - first));
        const Piece piece{0, part.size(), i};
        stream_.run(part, {&piece, 1}, {}, {}, {});
      }
      read_[i] += tokens.size();
      return true;
    }
    void reset(std::size_t i) override {
      check(i, {});
      stream_.reset(i);
      read_[i] = 0;
    }
    void copy(std::size_t from, std::size_t to) override {
      check(from, {});
      check(to, {});
      stream_.copy(from, to);
      read_[to] = read_[from];
    }
    std::size_t state_bytes() const override { return stream_.state_bytes(); }

   private:
    void check(std::size_t i, std::span<const Token> tokens) const {
      if (i >= read_.size())
        throw std::invalid_argument(fmt::format("sequence {} was asked of a batch of {}", i, read_.size()));
      model_.check(tokens, read_[i]);
    }

    const SequenceModel& model_;
    Stream stream_;
    std::vector<std::size_t> read_;  // tokens of each sequence
    Tracked tracked_;
  };

  // Tokens that are there, of which all but the last `unread` are to be read after `before` others.
  void check(std::span<const Token> tokens, std::size_t before, std::size_t unread = 0) const {
    for (const Token token : tokens) {
      if (token < 0 || static_cast<std::size_t>(token) >= parts_.info.vocabulary) {
        throw std::invalid_argument(
            fmt::format("token {} lies outside the model's vocabulary of {}", token, parts_.info.vocabulary));
      }
    }
    const std::size_t read = before + tokens.size() - unread;
    if (parts_.info.context_limit && read > *parts_.info.context_limit) {
      throw std::invalid_argument(
          fmt::format("{} tokens, but the model reads at most {}", read, *parts_.info.context_limit));
    }
  }

  void score_whole(SequenceSource& source, ScoreSink& done, std::size_t workers, int team) {
    std::mutex in, out;
    std::size_t given = 0;
    std::atomic<bool> stop = false;
    std::exception_ptr failure;
    const auto work = [&] {
      try {
        Stream stream(parts_, team, 1);
        const Tracked tracked(*this, stream);
        while (!stop) {
          Sequence sequence;
          std::size_t index = 0;
          {
            const std::lock_guard lock(in);
            if (!source.next(sequence)) return;
            index = given++;
          }
          score_one(stream, sequence, index, done, out);
        }
      } catch (...) {
        const std::lock_guard lock(out);
        if (!failure) failure = std::current_exception();
        stop = true;
      }
    };
    {
      std::vector<std::jthread> others;
      for (std::size_t i = 1; i < workers; ++i) others.emplace_back(work);
      work();
    }
    if (failure) std::rethrow_exception(failure);
  }

  void score_one(Stream& stream, const Sequence& sequence, std::size_t index, ScoreSink& done,
                 std::mutex& out) const {
    std::vector<TokenScore> scores;
    try {
      if (sequence.first == 0 || sequence.first > sequence.tokens.size()) {
        throw std::invalid_argument(
            fmt::format("the first scored token is {} of {}", sequence.first, sequence.tokens.size()));
      }
      check(sequence.tokens, 0, 1);
    } catch (const std::invalid_argument& mistake) {
      const std::lock_guard lock(out);
      return done.failed(index, mistake.what());
    }
    const std::size_t count = sequence.tokens.size() - sequence.first;
    scores.resize(count);
    if (count > 0) {
      // The last token is predicted and never read.
      const auto tokens = sequence.tokens.first(sequence.tokens.size() - 1);
      std::vector<std::size_t> rows(count);
      std::iota(rows.begin(), rows.end(), sequence.first - 1);
      const Piece piece{0, tokens.size(), 0};
      stream.reset(0);
      stream.run(tokens, {&piece, 1}, rows, sequence.tokens.subspan(sequence.first), scores);
    }
    constexpr std::size_t kTile = 64;
    const std::lock_guard lock(out);
    for (std::size_t first = 0; done.wants_rows() && first < count; first += kTile)
      done.rows(index, sequence.first + first, stream.logits(first, std::min(kTile, count - first)));
    done.scored(index, scores);
  }

  SequenceParts parts_;
  mutable std::mutex mutex_;
  mutable std::vector<const Stream*> streams_;  // in use
  mutable std::uint64_t last_workspace_ = 0;    // the most that one that is gone has taken
};

}  // namespace

std::unique_ptr<LanguageModel> sequence_model(SequenceParts parts) {
  return std::make_unique<SequenceModel>(std::move(parts));
}

void in_parallel(int threads, std::size_t count, std::size_t grain,
                 const std::function<void(std::size_t first, std::size_t last)>& act) {
  const std::size_t grains = (count + grain - 1) / grain;
  const std::size_t parts =
      std::clamp<std::size_t>(static_cast<std::size_t>(std::max(threads, 1)), 1, grains);
  std::vector<std::exception_ptr> failures(parts);
  const auto part = [&](std::size_t i) {
    const std::size_t first = std::min(count, grains * i / parts * grain),
                      last = std::min(count, grains * (i + 1) / parts * grain);
    try {
      if (first < last) act(first, last);
    } catch (...) {
      failures[i] = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> others;
    for (std::size_t i = 1; i < parts; ++i) others.emplace_back(part, i);
    part(0);
  }
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

Tensor allocate_input(Ops& ops, std::size_t rows, std::size_t columns) {
  const Tensor out = ops.allocate(rows, columns);
  for (std::size_t row = 0; row < rows; ++row)
    std::fill(out.f32() + row * out.stride + columns, out.f32() + (row + 1) * out.stride, 0.0f);
  return out;
}

Tensor as_product_input(Ops& ops, const Tensor& f32, Tensor::Type type) {
  if (type == Tensor::Type::f32) return f32;
  const Tensor out = ops.allocate(f32.rows, f32.columns, type);
  for (std::size_t row = 0; row < f32.rows; ++row) ops.write(out, row, 1, f32.f32() + row * f32.stride);
  return out;
}

Tensor tensor_rows(const Tensor& tensor, std::size_t first, std::size_t count) {
  Tensor part = tensor;
  part.data =
      static_cast<std::byte*>(tensor.data) + first * tensor.stride * Tensor::element_bytes(tensor.type);
  part.rows = count;
  return part;
}

}  // namespace deciban

#include "engine/rwkv_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <stdexcept>

#include "engine/packer.h"
#include "engine/rwkv.h"

namespace deciban {
namespace {

constexpr std::size_t kChunkValues = 196608;  // of one worker's residual stream: 256 rows at width 768
constexpr std::size_t kStateBudget = std::size_t{64} << 20;  // bytes of one worker's states, beyond the least

struct VersionEntry {
  RwkvVersion version;
  std::unique_ptr<RwkvNet> (*load)(const RwkvLoader&);
};
constexpr VersionEntry kVersions[] = {
    {RwkvVersion::v4, load_rwkv4},   {RwkvVersion::v5_0, load_rwkv5}, {RwkvVersion::v5_1, load_rwkv5},
    {RwkvVersion::v5_2, load_rwkv5}, {RwkvVersion::v6, load_rwkv6},   {RwkvVersion::v7, load_rwkv7},
};

std::unique_ptr<RwkvNet> load_net(const RwkvLoader& loader) {
  for (const VersionEntry& entry : kVersions) {
    if (entry.version == loader.shape().version) return entry.load(loader);
  }
  throw std::logic_error("a version without an entry");
}

// Everything that does not change after loading.
struct Parts {
  RwkvShape shape;
  NumericMode mode;
  std::unique_ptr<Backend> backend;  // before what it made, so that it goes last
  std::unique_ptr<Table> embedding;
  OwnedNorm ln0, ln_out;
  std::unique_ptr<Weight> head;
  std::unique_ptr<RwkvNet> net;
  std::vector<float> initial;  // of one sequence
  std::size_t state_floats() const { return shape.layers * net->state_floats(); }
};

// One stream over the model: chunks for the packer, steps for batches.  A slot must be reset before its first
// use; one that is never used costs no memory.
class Stream final : public ChunkRunner {
 public:
  Stream(const Parts& parts, int threads, std::size_t slots)
      : parts_(parts),
        threads_(threads),
        slots_(slots),
        ops_(parts.backend->open(threads)),
        state_(ops_->allocate_state(slots, parts.state_floats())) {}

  int threads() const { return threads_; }
  std::size_t slots() const override { return slots_; }
  void reset(std::size_t slot) override { ops_->write_state(state_, slot, parts_.initial); }
  void copy(std::size_t from, std::size_t to) override {
    ops_->copy_state(state_, parts_.state_floats(), from, to);
  }

  void run(std::span<const Token> tokens, Layout layout, std::span<const std::size_t> rows,
           std::span<const Token> targets, std::span<TokenScore> scores) override {
    const Tensor x = forward(tokens, layout);
    if (rows.empty()) return;
    last_ = ops_->allocate(rows.size(), parts_.shape.width, Ops::product_type(parts_.mode.activations));
    ops_->norm_rows(x, rows, parts_.ln_out.view(), last_);
    ops_->score_head(*parts_.head, last_, targets, scores);
    account();
  }

  LogitRows logits(std::size_t first, std::size_t count) override {
    const std::size_t mark = ops_->mark();
    Tensor rows = last_;
    rows.rows = count;
    rows.data =
        static_cast<std::byte*>(rows.data) + first * rows.stride * (rows.type == Tensor::Type::bf16 ? 2 : 4);
    const Tensor y = ops_->allocate(count, parts_.shape.vocabulary);
    ops_->linear(*parts_.head, rows, y);
    logits_.resize(count * parts_.shape.vocabulary);
    ops_->read(y, 0, count, logits_.data());
    ops_->release(mark);
    account();
    return {logits_.data(), count, parts_.shape.vocabulary};
  }

  // One token of every slot.
  LogitRows step(std::span<const Token> tokens) {
    std::vector<Piece> layout(tokens.size());
    std::vector<std::size_t> rows(tokens.size());
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      layout[i] = {i, 1, i};
      rows[i] = i;
    }
    const Tensor x = forward(tokens, layout);
    last_ = ops_->allocate(rows.size(), parts_.shape.width, Ops::product_type(parts_.mode.activations));
    ops_->norm_rows(x, rows, parts_.ln_out.view(), last_);
    return logits(0, rows.size());
  }

  std::vector<float> official_state(std::size_t slot) const {
    std::vector<float> all(parts_.state_floats()), out;
    ops_->read_state(state_, slot, all);
    const std::size_t floats = parts_.net->state_floats();
    for (std::size_t i = 0; i < parts_.shape.layers; ++i) {
      const std::vector<float> block = parts_.net->official_state({all.data() + i * floats, floats});
      out.insert(out.end(), block.begin(), block.end());
    }
    return out;
  }
  std::size_t state_bytes() const { return slots_ * parts_.state_floats() * sizeof(float); }
  // May be asked by any thread while the stream runs.
  std::uint64_t workspace_bytes() const { return workspace_.load(std::memory_order_relaxed); }

 private:
  // The residual stream behind the last block; the arena keeps it until the next call.
  Tensor forward(std::span<const Token> tokens, Layout layout) {
    ops_->release(0);
    Chunk chunk;
    chunk.x = ops_->allocate(tokens.size(), parts_.shape.width);
    chunk.layout = layout;
    chunk.state = state_;
    if (parts_.net->needs_v_first()) chunk.v_first = ops_->allocate(tokens.size(), parts_.shape.attention);
    const Norm ln0 = parts_.ln0.view();
    ops_->embed(*parts_.embedding, tokens, &ln0, chunk.x);
    for (std::size_t i = 0; i < parts_.shape.layers; ++i) parts_.net->block(*ops_, i, chunk);
    return chunk.x;
  }

  void account() { workspace_ = ops_->workspace_bytes() + logits_.capacity() * sizeof(float); }

  const Parts& parts_;
  const int threads_;
  const std::size_t slots_;
  std::unique_ptr<Ops> ops_;
  StateView state_;
  Tensor last_;
  std::vector<float> logits_;
  std::atomic<std::uint64_t> workspace_{0};
};

// Puts back what was taken from a source, so that it can be counted before it is worked on.
class Replay final : public SequenceSource {
 public:
  Replay(SequenceSource& rest, std::size_t look) : rest_(rest) {
    Sequence sequence;
    while (taken_.size() < look && rest.next(sequence)) taken_.push_back(sequence);
  }
  std::size_t seen() const { return taken_.size(); }
  bool next(Sequence& out) override {
    if (next_ < taken_.size()) {
      out = taken_[next_++];
      return true;
    }
    return rest_.next(out);
  }

 private:
  SequenceSource& rest_;
  std::vector<Sequence> taken_;
  std::size_t next_ = 0;
};

class RwkvModel final : public LanguageModel {
 public:
  RwkvModel(Parts parts, std::unique_ptr<Tokenizer> tokenizer, ModelInfo info, std::size_t chunk_rows)
      : parts_(std::move(parts)), tokenizer_(std::move(tokenizer)), info_(std::move(info)) {
    // Rows of a product's input should stay in the L2 cache while one panel of weights after the other
    // passes.
    chunk_rows_ =
        chunk_rows != 0 ? chunk_rows : std::clamp<std::size_t>(kChunkValues / parts_.shape.width, 128, 512);
  }

  const ModelInfo& info() const override { return info_; }
  std::vector<Token> encode(std::string_view text) const override { return tokenizer_->encode(text); }
  std::string decode(std::span<const Token> tokens) const override { return tokenizer_->decode(tokens); }
  std::string normalise(std::string_view text) const override { return tokenizer_->normalise(text); }

  void score(SequenceSource& next, ScoreSink& done) override {
    // One worker a thread as long as there are sequences; the threads of a few long ones work together.
    Replay source(next, static_cast<std::size_t>(info_.threads));
    const std::size_t workers = std::max<std::size_t>(source.seen(), 1);
    const int team = std::max(1, info_.threads / static_cast<int>(workers));
    const std::size_t state_bytes = parts_.state_floats() * sizeof(float);
    const std::size_t slots = std::clamp<std::size_t>(kStateBudget / state_bytes, 4, 64);
    score_packed(source, done, {workers, chunk_rows_, parts_.shape.vocabulary},
                 [&](std::size_t) { return std::make_unique<Borrowed>(*this, take(team, slots)); });
  }

  std::unique_ptr<Batch> start_batch(std::size_t n) override {
    if (n == 0) throw std::invalid_argument("a batch needs at least one sequence");
    return std::make_unique<StreamBatch>(*this, n);
  }

  MemoryUse memory() const override {
    MemoryUse use;
    use.weights = parts_.backend->weight_bytes();
    const std::lock_guard lock(mutex_);
    for (const Stream* stream : streams_) {
      use.cache += stream->state_bytes();
      use.workspace += stream->workspace_bytes();
    }
    return use;
  }

 private:
  void add(const Stream* stream) {
    const std::lock_guard lock(mutex_);
    streams_.push_back(stream);
  }
  void remove(const Stream* stream) {
    const std::lock_guard lock(mutex_);
    std::erase(streams_, stream);
  }

  // A stream for score(): one that an earlier call left, with its memory already met and its threads running,
  // or a new one.  Those with other teams go first, so that no more memory is held than one call needs.
  std::unique_ptr<Stream> take(int team, std::size_t slots) {
    {
      const std::lock_guard lock(mutex_);
      std::erase_if(idle_, [&](const std::unique_ptr<Stream>& stream) {
        if (stream->threads() == team && stream->slots() == slots) return false;
        std::erase(streams_, stream.get());
        return true;
      });
      if (!idle_.empty()) {
        std::unique_ptr<Stream> stream = std::move(idle_.back());
        idle_.pop_back();
        return stream;
      }
    }
    auto stream = std::make_unique<Stream>(parts_, team, slots);
    add(stream.get());
    return stream;
  }
  void give_back(std::unique_ptr<Stream> stream) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(stream));
  }

  // A stream on loan to a worker.
  class Borrowed final : public ChunkRunner {
   public:
    Borrowed(RwkvModel& model, std::unique_ptr<Stream> stream) : model_(model), stream_(std::move(stream)) {}
    ~Borrowed() override { model_.give_back(std::move(stream_)); }
    std::size_t slots() const override { return stream_->slots(); }
    void reset(std::size_t slot) override { stream_->reset(slot); }
    void copy(std::size_t from, std::size_t to) override { stream_->copy(from, to); }
    void run(std::span<const Token> tokens, Layout layout, std::span<const std::size_t> rows,
             std::span<const Token> targets, std::span<TokenScore> scores) override {
      stream_->run(tokens, layout, rows, targets, scores);
    }
    LogitRows logits(std::size_t first, std::size_t count) override { return stream_->logits(first, count); }

   private:
    RwkvModel& model_;
    std::unique_ptr<Stream> stream_;
  };

  class StreamBatch final : public StatefulBatch {
   public:
    StreamBatch(RwkvModel& model, std::size_t n)
        : model_(model), stream_(model.parts_, model.info_.threads, n) {
      for (std::size_t i = 0; i < n; ++i) stream_.reset(i);
      model_.add(&stream_);
    }
    ~StreamBatch() override { model_.remove(&stream_); }
    LogitRows step(std::span<const Token> tokens) override {
      if (tokens.size() != stream_.slots()) {
        throw std::invalid_argument(
            fmt::format("a batch of {} sequences was given {} tokens", stream_.slots(), tokens.size()));
      }
      for (const Token token : tokens) {
        if (token < 0 || static_cast<std::size_t>(token) >= model_.parts_.shape.vocabulary) {
          throw std::invalid_argument(fmt::format("token {} lies outside the model's vocabulary of {}", token,
                                                  model_.parts_.shape.vocabulary));
        }
      }
      return stream_.step(tokens);
    }
    void reset(std::size_t i) override { stream_.reset(i); }
    void copy(std::size_t from, std::size_t to) override { stream_.copy(from, to); }
    std::size_t state_bytes() const override { return stream_.state_bytes(); }
    std::vector<float> state(std::size_t i) const override { return stream_.official_state(i); }

   private:
    RwkvModel& model_;
    Stream stream_;
  };

  Parts parts_;
  std::unique_ptr<Tokenizer> tokenizer_;
  ModelInfo info_;
  std::size_t chunk_rows_;
  mutable std::mutex mutex_;
  std::vector<const Stream*> streams_;         // all that live
  std::vector<std::unique_ptr<Stream>> idle_;  // those of them that wait for the next score()
};

// Mode "auto": of the modes that keep the weights as they are stored, the strictest that costs less than a
// tenth of the fastest's speed, by what docs/performance.md measured.  f32 inputs cost half of the speed
// where bf16 is multiplied by an instruction of its own, and nothing elsewhere.  A fixed rule: the mode is
// part of every record's key.  What is stored in other formats than bf16 and f16 is computed in f32.
std::string auto_mode(const Checkpoint& official, const Backend& backend) {
  std::map<Encoding, std::uint64_t> elements;
  for (const StoredTensor& tensor : official.tensors) {
    if (tensor.shape.size() == 2) elements[tensor.encoding] += tensor.elements();
  }
  Encoding most = Encoding::f32;
  for (const auto& [encoding, count] : elements) {
    if (count > elements[most]) most = encoding;
  }
  if (most == Encoding::bf16 || most == Encoding::generated)
    return backend.multiplies_bf16() ? "bf16a" : "bf16";
  return most == Encoding::f16 ? "f16" : "f32";
}

void check_computable(const RwkvShape& s) {
  const auto multiple = [](const char* what, std::size_t value) {
    if (value % 16 != 0) {
      throw std::runtime_error(
          fmt::format("{} is {}, not a multiple of 16: this engine does not compute it", what, value));
    }
  };
  multiple("the width (n_embd)", s.width);
  multiple("the attention width (dim_att)", s.attention);
  if (s.version == RwkvVersion::v6) multiple("the rank of the token-shift LoRA", s.mix_rank);
}

}  // namespace

std::unique_ptr<LanguageModel> load_rwkv(const Checkpoint& official, std::unique_ptr<Tokenizer> tokenizer,
                                         std::unique_ptr<Backend> backend, const std::string& word,
                                         const ModelOptions& options, ModelInfo info) {
  Parts p;
  p.shape = rwkv_shape(official);
  check_computable(p.shape);
  p.backend = std::move(backend);
  info.format = word == "auto" ? auto_mode(official, *p.backend) : word;
  p.mode = numeric_mode(info.format);
  const RwkvLoader loader(official, p.shape, *p.backend, p.mode);
  p.embedding = p.backend->table(official.at("emb.weight"));
  p.ln0 = loader.norm("blocks.0.ln0");
  p.ln_out = loader.norm("ln_out");
  p.net = load_net(loader);
  p.head = loader.matrix("head.weight");
  p.initial.assign(p.state_floats(), 0.0f);
  for (std::size_t i = 0; i < p.shape.layers; ++i) {
    p.net->initial_state(i, {p.initial.data() + i * p.net->state_floats(), p.net->state_floats()});
  }

  info.family = name(p.shape.version);
  info.tokenizer = tokenizer->name();
  info.tokenizer_digest = tokenizer->digest();
  info.weight_format = name(p.mode.weights);
  info.activation_format = name(p.mode.activations);
  info.device = p.backend->device();
  info.kernels = p.backend->kernels();
  info.threads = options.threads > 0 ? options.threads : usable_threads();
  info.numerics_version = kNumericsVersion;
  info.parameters = parameter_count(official);
  info.layers = p.shape.layers;
  info.width = p.shape.width;
  info.vocabulary = p.shape.vocabulary;
  info.state_bytes = p.state_floats() * sizeof(float);
  info.start_token = tokenizer->start_token().value_or(0);
  return std::make_unique<RwkvModel>(std::move(p), std::move(tokenizer), std::move(info), options.chunk_rows);
}

}  // namespace deciban

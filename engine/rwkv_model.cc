#include "engine/rwkv_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <future>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string_view>

#include "engine/device.h"
#include "engine/packer.h"
#include "engine/rwkv.h"
#include "engine/rwkv_memory.h"
#include "engine/rwkv_stream.h"

namespace deciban {
namespace {

// Streams of a card that score at once: with two, one plans and reads back while the other computes, for
// twice the workspace.
std::size_t streams_per_card() {
  const char* set = std::getenv("DECIBAN_STREAMS_PER_CARD");
  return set != nullptr && std::string_view(set) == "1" ? 1 : 2;
}

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

// Of a batch: a step of a small model ends sooner with one thread than shared between several.
int batch_threads(const ModelInfo& info) {
  constexpr std::uint64_t kSmall = 32'000'000;  // parameters, as in evals/codec/token_codec.cc
  return info.device == "cpu" && info.parameters <= kSmall ? 1 : info.threads;
}

class RwkvModel final : public LanguageModel {
 public:
  // One copy of the model a device.
  RwkvModel(std::vector<std::unique_ptr<RwkvParts>> copies, std::unique_ptr<Tokenizer> tokenizer,
            ModelInfo info, std::size_t chunk_rows)
      : copies_(std::move(copies)),
        tokenizer_(std::move(tokenizer)),
        info_(std::move(info)),
        chunk_rows_(chunk_rows != 0 ? chunk_rows : best_chunk_rows(*copies_.front(), streams_per_card())),
        most_slots_(best_slots(*copies_.front(), streams_per_card())) {}

  const ModelInfo& info() const override { return info_; }
  std::vector<Token> encode(std::string_view text) const override { return tokenizer_->encode(text); }
  std::string decode(std::span<const Token> tokens) const override { return tokenizer_->decode(tokens); }
  std::string normalise(std::string_view text) const override { return tokenizer_->normalise(text); }

  void score(SequenceSource& next, ScoreSink& done) override {
    if (copies_.front()->accelerator()) {
      score_on_cards(next, done);
    } else {
      score_on_cpu(next, done);
    }
  }

  std::unique_ptr<Batch> start_batch(std::size_t n) override {
    if (n == 0) throw std::invalid_argument("a batch needs at least one sequence");
    {
      const std::lock_guard lock(mutex_);
      idle_.clear();  // their memory may be what the batch needs
    }
    return std::make_unique<StreamBatch>(*this, n);
  }

  MemoryUse memory() const override {
    MemoryUse use;
    for (const auto& copy : copies_) use.weights += copy->backend->weight_bytes();
    const std::lock_guard lock(mutex_);
    for (const RwkvStream* stream : streams_) {
      use.cache += stream->state_bytes();
      use.workspace += stream->workspace_bytes();
    }
    for (const auto& stream : idle_) {
      use.cache += stream->state_bytes();
      use.workspace += stream->workspace_bytes();
    }
    if (copies_.front()->accelerator()) use.device = use.weights + use.cache + use.workspace;
    return use;
  }

 private:
  // One worker a thread as long as there are sequences; the threads of a few long ones work together.
  void score_on_cpu(SequenceSource& next, ScoreSink& done) {
    Replay source(next, static_cast<std::size_t>(info_.threads));
    const std::size_t workers = std::max<std::size_t>(source.seen(), 1);
    const int team = std::max(1, info_.threads / static_cast<int>(workers));
    score_packed(source, done, {workers, chunk_rows_, info_.vocabulary}, [&](std::size_t) {
      return std::make_unique<Lent>(*this, take_stream(*copies_.front(), most_slots_, team));
    });
  }

  // Every card takes as many sequences as it has slots, but of a few no more than its share.
  void score_on_cards(SequenceSource& next, ScoreSink& done) {
    std::size_t workers = copies_.size() * streams_per_card();
    Replay source(next, workers * most_slots_);
    const std::size_t seen = std::max<std::size_t>(source.seen(), 1);
    workers = std::min(workers, seen);
    const std::size_t slots = std::min(most_slots_, (seen + workers - 1) / workers);
    const PackOptions options{workers, chunk_rows_, info_.vocabulary, true, slots};
    score_packed(source, done, options, [&](std::size_t worker) {
      return std::make_unique<Lent>(*this, take_stream(*copies_[worker % copies_.size()], slots, 1));
    });
  }

  // Streams on cards are kept between calls: their memory is slow to get.
  // A stream that an earlier call left, with its memory already met and its threads running, or a new one.
  // Those of other sizes go first, so that no more memory is held than one call needs.
  std::unique_ptr<RwkvStream> take_stream(const RwkvParts& parts, std::size_t slots, int team) {
    {
      const std::lock_guard lock(mutex_);
      std::erase_if(idle_, [&](const std::unique_ptr<RwkvStream>& idle) {
        return &idle->parts() == &parts && (idle->slots() < slots || idle->threads() != team);
      });
      for (auto idle = idle_.begin(); idle != idle_.end(); ++idle) {
        if (&(*idle)->parts() != &parts) continue;
        std::unique_ptr<RwkvStream> stream = std::move(*idle);
        idle_.erase(idle);
        return stream;
      }
    }
    return open_stream(parts, slots, team);
  }
  void give_back(std::unique_ptr<RwkvStream> stream) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(stream));
  }

  // With fewer slots where their states do not fit.
  static std::unique_ptr<RwkvStream> open_stream(const RwkvParts& parts, std::size_t slots, int team) {
    for (;; slots = (slots + 1) / 2) {
      try {
        return std::make_unique<RwkvStream>(parts, team, slots);
      } catch (const OutOfDeviceMemory&) {
        if (slots == 1) throw;
      }
    }
  }

  void add(const RwkvStream* stream) {
    const std::lock_guard lock(mutex_);
    streams_.push_back(stream);
  }
  void remove(const RwkvStream* stream) {
    const std::lock_guard lock(mutex_);
    std::erase(streams_, stream);
  }

  // A stream that stands in the model's memory account while it lives.
  class Tracked : public ChunkRunner {
   public:
    Tracked(RwkvModel& model, std::unique_ptr<RwkvStream> stream)
        : model_(model), stream_(std::move(stream)) {
      model_.add(stream_.get());
    }
    ~Tracked() override { model_.remove(stream_.get()); }
    std::size_t slots() const override { return stream_->slots(); }
    void reset(std::size_t slot) override { stream_->reset(slot); }
    void copy(std::size_t from, std::size_t to) override { stream_->copy(from, to); }
    void run(std::span<const Token> tokens, Layout layout, std::span<const std::size_t> rows,
             std::span<const Token> targets, std::span<TokenScore> scores) override {
      stream_->run(tokens, layout, rows, targets, scores);
    }
    LogitRows logits(std::size_t first, std::size_t count) override { return stream_->logits(first, count); }

   protected:
    RwkvModel& model_;
    std::unique_ptr<RwkvStream> stream_;
  };
  // One that goes back to the model.
  class Lent final : public Tracked {
   public:
    using Tracked::Tracked;
    ~Lent() override {
      model_.remove(stream_.get());
      model_.give_back(std::move(stream_));
    }
  };

  class StreamBatch final : public StatefulBatch {
   public:
    StreamBatch(RwkvModel& model, std::size_t n)
        : model_(model), stream_(*model.copies_.front(), batch_threads(model.info_), n) {
      for (std::size_t i = 0; i < n; ++i) stream_.reset(i);
      model_.add(&stream_);
    }
    ~StreamBatch() override { model_.remove(&stream_); }
    LogitRows step(std::span<const Token> tokens) override {
      check(tokens);
      return stream_.step(tokens);
    }
    void step_best(std::span<const Token> tokens, std::span<TokenScore> best) override {
      check(tokens);
      if (best.size() != tokens.size()) {
        throw std::invalid_argument(
            fmt::format("{} results were asked of {} sequences", best.size(), tokens.size()));
      }
      stream_.step_best(tokens, best);
    }
    bool read(std::size_t i, std::span<const Token> tokens) override {
      if (i >= stream_.slots()) {
        throw std::invalid_argument(
            fmt::format("sequence {} was asked of a batch of {}", i, stream_.slots()));
      }
      check_ids(tokens);
      for (std::size_t first = 0; first < tokens.size(); first += model_.chunk_rows_) {
        const auto part = tokens.subspan(first, std::min(model_.chunk_rows_, tokens.size() - first));
        const Piece piece{0, part.size(), i};
        stream_.run(part, {&piece, 1}, {}, {}, {});
      }
      return true;
    }
    void reset(std::size_t i) override { stream_.reset(i); }
    void copy(std::size_t from, std::size_t to) override { stream_.copy(from, to); }
    std::size_t state_bytes() const override { return stream_.state_bytes(); }
    std::vector<float> state(std::size_t i) const override { return stream_.official_state(i); }

   private:
    void check(std::span<const Token> tokens) const {
      if (tokens.size() != stream_.slots()) {
        throw std::invalid_argument(
            fmt::format("a batch of {} sequences was given {} tokens", stream_.slots(), tokens.size()));
      }
      check_ids(tokens);
    }
    void check_ids(std::span<const Token> tokens) const {
      for (const Token token : tokens) {
        if (token < 0 || static_cast<std::size_t>(token) >= model_.info_.vocabulary) {
          throw std::invalid_argument(fmt::format("token {} lies outside the model's vocabulary of {}", token,
                                                  model_.info_.vocabulary));
        }
      }
    }

    RwkvModel& model_;
    RwkvStream stream_;
  };

  std::vector<std::unique_ptr<RwkvParts>> copies_;  // one a device; all compute alike
  std::unique_ptr<Tokenizer> tokenizer_;
  ModelInfo info_;
  std::size_t chunk_rows_, most_slots_;
  mutable std::mutex mutex_;
  std::vector<const RwkvStream*> streams_;         // in use
  std::vector<std::unique_ptr<RwkvStream>> idle_;  // for the next call of score()
};

// The mode that keeps the file's own precision: its most common matrix format, ggml's quantised ones widened
// to f32.
// Random weights are exact in bf16.
std::string stored_mode(const Checkpoint& official) {
  std::map<Encoding, std::uint64_t> elements;
  for (const StoredTensor& tensor : official.tensors) {
    if (tensor.shape.size() == 2) elements[tensor.encoding] += tensor.elements();
  }
  Encoding most = Encoding::f32;
  for (const auto& [encoding, count] : elements) {
    if (count > elements[most]) most = encoding;
  }
  switch (most) {  // of our own files
    case Encoding::i4g32:
      return "int4";
    case Encoding::i4g64:
      return "int4g64";
    case Encoding::i8g32:
      return "int8";
    default:
      break;
  }
  return most == Encoding::bf16 || most == Encoding::generated ? "bf16"
         : most == Encoding::f16                               ? "f16"
                                                               : "f32";
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

std::unique_ptr<RwkvParts> load_parts(const Checkpoint& official, const RwkvShape& shape, NumericMode mode,
                                      std::unique_ptr<Backend> backend) {
  auto p = std::make_unique<RwkvParts>();
  p->shape = shape;
  p->mode = mode;
  p->backend = std::move(backend);
  const RwkvLoader loader(official, p->shape, *p->backend, mode);
  p->embedding = p->backend->table(official.at("emb.weight"));
  p->ln0 = loader.norm("blocks.0.ln0");
  p->ln_out = loader.norm("ln_out");
  p->net = load_net(loader);
  p->head = loader.matrix("head.weight");
  p->initial.assign(p->state_floats(), 0.0f);
  for (std::size_t i = 0; i < shape.layers; ++i) {
    p->net->initial_state(i, {p->initial.data() + i * p->net->state_floats(), p->net->state_floats()});
  }
  return p;
}

// All devices read the file at once: what one has read lies in the page cache for the others.
std::vector<std::unique_ptr<RwkvParts>> load_copies(const Checkpoint& official, const RwkvShape& shape,
                                                    NumericMode mode,
                                                    std::vector<std::unique_ptr<Backend>> backends) {
  std::vector<std::future<std::unique_ptr<RwkvParts>>> loading;
  for (std::size_t i = 1; i < backends.size(); ++i) {
    loading.push_back(std::async(std::launch::async, load_parts, std::cref(official), std::cref(shape), mode,
                                 std::move(backends[i])));
  }
  std::vector<std::unique_ptr<RwkvParts>> copies;
  copies.push_back(load_parts(official, shape, mode, std::move(backends.front())));
  for (auto& copy : loading) copies.push_back(copy.get());
  return copies;
}

}  // namespace

std::string rwkv_mode(const Checkpoint& official, const Backend& backend, const std::string& word) {
  const std::string mode = word == "auto" ? backend.usual_mode(stored_mode(official)) : word;
  if (const std::string why = backend.refusal(numeric_mode(mode)); !why.empty()) {
    throw std::invalid_argument(fmt::format("mode '{}' on {}: {}", mode, backend.device(), why));
  }
  return mode;
}

void check_rwkv(const Checkpoint& official, const Backend& backend, const std::string& word) {
  const RwkvShape shape = rwkv_shape(official);
  check_computable(shape);
  check_fits(official, shape, numeric_mode(rwkv_mode(official, backend, word)), backend);
}

std::unique_ptr<LanguageModel> load_rwkv(const Checkpoint& official, std::unique_ptr<Tokenizer> tokenizer,
                                         std::vector<std::unique_ptr<Backend>> backends,
                                         const std::string& word, const ModelOptions& options,
                                         ModelInfo info) {
  for (const auto& backend : backends) check_rwkv(official, *backend, word);
  const RwkvShape shape = rwkv_shape(official);
  info.format = rwkv_mode(official, *backends.front(), word);
  const NumericMode mode = backends.front()->computed(numeric_mode(info.format));
  info.family = name(shape.version);
  info.tokenizer = tokenizer->name();
  info.tokenizer_digest = tokenizer->digest();
  info.weight_format = name(mode.weights);
  info.activation_format = name(mode.activations);
  info.device = device_name(backends);
  info.kernels = backends.front()->kernels();
  info.threads = options.threads > 0 ? options.threads : usable_threads();
  info.numerics_version = kNumericsVersion;
  info.parameters = parameter_count(official);
  info.layers = shape.layers;
  info.width = shape.width;
  info.vocabulary = shape.vocabulary;
  info.start_token = tokenizer->start_token().value_or(0);
  auto copies = load_copies(official, shape, mode, std::move(backends));
  if (copies.front()->accelerator()) info.threads = static_cast<int>(copies.size() * streams_per_card());
  info.state_bytes = copies.front()->state_floats() * sizeof(float);
  return std::make_unique<RwkvModel>(std::move(copies), std::move(tokenizer), std::move(info),
                                     options.chunk_rows);
}

std::unique_ptr<LanguageModel> load_rwkv(const Checkpoint& official, std::unique_ptr<Tokenizer> tokenizer,
                                         std::unique_ptr<Backend> backend, const std::string& word,
                                         const ModelOptions& options, ModelInfo info) {
  std::vector<std::unique_ptr<Backend>> backends;
  backends.push_back(std::move(backend));
  return load_rwkv(official, std::move(tokenizer), std::move(backends), word, options, std::move(info));
}

}  // namespace deciban

#include "plugins/transformer/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <stdexcept>
#include <utility>
#include <vector>

#include "engine/device.h"
#include "engine/packer.h"
#include "plugins/transformer/net.h"
#include "plugins/transformer/stream.h"
#include "plugins/transformer/workspace.h"

namespace deciban::transformer {
namespace {

constexpr int kNumericsVersion = 2;  // raised whenever a log-probability may change
// Streams of an accelerator that score at once: one plans and reads back while the other computes.
constexpr std::size_t kCardStreams = 2;

// Puts back what was taken from a source, so that it can be counted before it is worked on.
class Replay final : public SequenceSource {
 public:
  Replay(SequenceSource& rest, std::size_t look) : rest_(rest) {
    Sequence sequence;
    while (taken_.size() < look && rest.next(sequence)) taken_.push_back(sequence);
  }
  std::size_t seen() const { return taken_.size(); }
  bool next(Sequence& out) override {
    if (next_ == taken_.size()) return rest_.next(out);
    out = taken_[next_++];
    return true;
  }

 private:
  SequenceSource& rest_;
  std::vector<Sequence> taken_;
  std::size_t next_ = 0;
};

// The mode that keeps the file's own precision: its most common matrix format, quantised ones widened to f32.
std::string stored_mode(const Checkpoint& checkpoint) {
  std::map<Encoding, std::uint64_t> elements;
  for (const StoredTensor& tensor : checkpoint.tensors) {
    if (tensor.shape.size() == 2) elements[tensor.encoding] += tensor.elements();
  }
  Encoding most = Encoding::f32;
  for (const auto& [encoding, count] : elements) {
    if (count > elements[most]) most = encoding;
  }
  return most == Encoding::bf16 || most == Encoding::generated ? "bf16"
         : most == Encoding::f16                               ? "f16"
                                                               : "f32";
}

std::string chosen_mode(const Checkpoint& checkpoint, const Shape& shape, const Backend& backend,
                        const std::string& word) {
  std::string mode = word;
  if (word == "auto") {
    const std::string stored = stored_mode(checkpoint);
    mode = shape.rounds_inputs() ? backend.usual_mode(stored) : stored;
  }
  const NumericMode numbers = numeric_mode(mode);
  std::string why = backend.refusal(numbers);
  if (why.empty() && !shape.rounds_inputs() && Ops::product_type(numbers.activations) != Tensor::Type::f32) {
    why =
        "a model that norms behind its layers, or projects its embedding, keeps f32 inputs: use bf16, f16 or "
        "f32";
  }
  if (!why.empty())
    throw std::invalid_argument(fmt::format("mode '{}' on {}: {}", mode, backend.device(), why));
  return mode;
}

class Model final : public LanguageModel {
 public:
  Model(std::unique_ptr<Backend> backend, std::unique_ptr<Net> net, std::unique_ptr<Tokenizer> tokenizer,
        ModelInfo info, StreamPlan plan)
      : backend_(std::move(backend)),
        net_(std::move(net)),
        tokenizer_(std::move(tokenizer)),
        info_(std::move(info)),
        plan_(plan) {}

  const ModelInfo& info() const override { return info_; }
  std::vector<Token> encode(std::string_view text) const override { return tokenizer_->encode(text); }
  std::string decode(std::span<const Token> tokens) const override { return tokenizer_->decode(tokens); }
  std::string normalise(std::string_view text) const override { return tokenizer_->normalise(text); }

  // One worker a thread (of an accelerator: a stream) as long as there are sequences; the threads of a few
  // long ones work together.
  void score(SequenceSource& next, ScoreSink& done) override {
    const bool card = accelerator();
    const std::size_t most = card ? kCardStreams : static_cast<std::size_t>(info_.threads);
    Replay source(next, most);
    const std::size_t workers = std::max<std::size_t>(source.seen(), 1);
    const int team = card ? 1 : std::max(1, info_.threads / static_cast<int>(workers));
    const std::size_t slots = card ? plan_.slots : std::max<std::size_t>(1, plan_.slots / workers);
    PackOptions options{.workers = workers, .chunk_rows = plan_.chunk_rows, .vocabulary = info_.vocabulary};
    if (card) options.window = slots;                                 // many short sequences make one chunk
    if (most_tokens() != 0) options.most_tokens = most_tokens() + 1;  // the last one is not read
    score_packed(source, done, options,
                 [&](std::size_t) { return std::make_unique<Lent>(*this, take_stream(team, slots)); });
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
    use.weights = backend_->weight_bytes();
    const std::lock_guard lock(mutex_);
    const auto add = [&use](const Stream& stream) {
      use.cache += stream.cache_bytes();
      use.workspace += stream.workspace_bytes();
    };
    for (const Stream* stream : streams_) add(*stream);
    for (const auto& stream : idle_) add(*stream);
    if (accelerator()) use.device = use.weights + use.cache + use.workspace;
    return use;
  }

 private:
  std::size_t most_tokens() const { return net_->shape().most_tokens; }
  bool accelerator() const { return backend_->free_bytes().has_value(); }

  // Streams of accelerators are kept between calls of score(): their memory is slow to get.
  std::unique_ptr<Stream> take_stream(int threads, std::size_t slots) {
    {
      const std::lock_guard lock(mutex_);
      if (!idle_.empty()) {
        std::unique_ptr<Stream> stream = std::move(idle_.back());
        idle_.pop_back();
        return stream;
      }
    }
    return std::make_unique<Stream>(*net_, *backend_, threads, slots);
  }
  void give_back(std::unique_ptr<Stream> stream) {
    if (!accelerator()) return;
    for (std::size_t slot = 0; slot < stream->slots(); ++slot) stream->reset(slot);
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(stream));
  }

  // Stands in the model's memory account while it lives.
  class Listed {
   public:
    Listed(Model& model, const Stream& stream) : model_(model), stream_(stream) {
      const std::lock_guard lock(model_.mutex_);
      model_.streams_.push_back(&stream_);
    }
    ~Listed() {
      const std::lock_guard lock(model_.mutex_);
      std::erase(model_.streams_, &stream_);
    }
    Listed(const Listed&) = delete;
    Listed& operator=(const Listed&) = delete;

   private:
    Model& model_;
    const Stream& stream_;
  };

  // A stream that goes back to the model.
  class Lent final : public ChunkRunner {
   public:
    Lent(Model& model, std::unique_ptr<Stream> stream)
        : model_(model), stream_(std::move(stream)), listed_(std::make_unique<Listed>(model, *stream_)) {}
    ~Lent() override {
      listed_.reset();
      model_.give_back(std::move(stream_));
    }
    Lent(const Lent&) = delete;
    Lent& operator=(const Lent&) = delete;
    std::size_t slots() const override { return stream_->slots(); }
    void reset(std::size_t slot) override { stream_->reset(slot); }
    void copy(std::size_t from, std::size_t to) override { stream_->copy(from, to); }
    void run(std::span<const Token> tokens, Layout layout, std::span<const std::size_t> rows,
             std::span<const Token> targets, std::span<TokenScore> scores) override {
      stream_->run(tokens, layout, rows, targets, scores);
    }
    LogitRows logits(std::size_t first, std::size_t count) override { return stream_->logits(first, count); }

   private:
    Model& model_;
    std::unique_ptr<Stream> stream_;
    std::unique_ptr<Listed> listed_;
  };

  class StreamBatch final : public Batch {
   public:
    StreamBatch(Model& model, std::size_t n)
        : model_(model),
          stream_(*model.net_, *model.backend_, model.info_.threads, n),
          listed_(model, stream_) {}
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
      for (const Token token : tokens) check_id(token);
      check_length(i, tokens.size());
      for (std::size_t first = 0; first < tokens.size(); first += model_.plan_.chunk_rows) {
        const auto part = tokens.subspan(first, std::min(model_.plan_.chunk_rows, tokens.size() - first));
        const Piece piece{0, part.size(), i};
        stream_.run(part, {&piece, 1}, {}, {}, {});
      }
      return true;
    }
    void reset(std::size_t i) override { stream_.reset(i); }
    void copy(std::size_t from, std::size_t to) override { stream_.copy(from, to); }
    std::size_t state_bytes() const override { return stream_.cache_bytes(); }

   private:
    void check(std::span<const Token> tokens) const {
      if (tokens.size() != stream_.slots()) {
        throw std::invalid_argument(
            fmt::format("a batch of {} sequences was given {} tokens", stream_.slots(), tokens.size()));
      }
      for (std::size_t i = 0; i < tokens.size(); ++i) {
        check_id(tokens[i]);
        check_length(i, 1);
      }
    }
    void check_id(Token token) const {
      if (token < 0 || static_cast<std::size_t>(token) >= model_.info_.vocabulary) {
        throw std::invalid_argument(fmt::format("token {} lies outside the model's vocabulary of {}", token,
                                                model_.info_.vocabulary));
      }
    }
    void check_length(std::size_t i, std::size_t more) const {
      if (model_.most_tokens() != 0 && stream_.length(i) + more > model_.most_tokens()) {
        throw std::runtime_error(fmt::format(
            "sequence {} has read {} tokens: the model has no positions for more", i, stream_.length(i)));
      }
    }

    Model& model_;
    Stream stream_;
    Listed listed_;
  };

  std::unique_ptr<Backend> backend_;  // before what it made, so that it goes last
  std::unique_ptr<Net> net_;
  std::unique_ptr<Tokenizer> tokenizer_;
  ModelInfo info_;
  StreamPlan plan_;
  mutable std::mutex mutex_;
  std::vector<const Stream*> streams_;         // in use
  std::vector<std::unique_ptr<Stream>> idle_;  // for the next call of score()
};

}  // namespace

std::unique_ptr<Backend> attention_backend(const ModelOptions& options) {
  const DeviceWord word = parse_device(options.device);
  std::vector<std::unique_ptr<Backend>> backends =
      open_backends(options.device, options.format, options.deterministic);
  if (word.kind == DeviceWord::Kind::automatic && !backends.front()->computes_attention())
    return cpu_backend();
  if (!backends.front()->computes_attention()) {
    throw std::runtime_error(
        fmt::format("device {} does not compute attention, which a transformer needs: use --device cpu",
                    backends.front()->device()));
  }
  if (backends.size() > 1) throw std::runtime_error("a transformer runs on one device: name one card");
  return std::move(backends.front());
}

void check_loads(const Checkpoint& checkpoint, const Shape& shape, const Backend& backend,
                 const ModelOptions& options) {
  const std::string mode = chosen_mode(checkpoint, shape, backend, options.format);
  Net::check(checkpoint, shape);
  check_fits(checkpoint, shape, numeric_mode(mode), backend);
}

std::unique_ptr<LanguageModel> load_transformer(const Checkpoint& checkpoint, const Shape& shape,
                                                std::unique_ptr<Tokenizer> tokenizer,
                                                std::unique_ptr<Backend> backend, const ModelOptions& options,
                                                ModelInfo info) {
  info.format = chosen_mode(checkpoint, shape, *backend, options.format);
  const NumericMode mode = numeric_mode(info.format);
  check_fits(checkpoint, shape, mode, *backend);
  info.family = shape.family;
  info.tokenizer = tokenizer->name();
  info.tokenizer_digest = tokenizer->digest();
  info.weight_format = name(mode.weights);
  info.activation_format = name(mode.activations);
  info.device = backend->device();
  info.kernels = backend->kernels();
  info.threads = options.threads > 0 ? options.threads : usable_threads();
  info.numerics_version = kNumericsVersion;
  info.layers = shape.layers;
  info.width = shape.width;
  info.vocabulary = shape.vocabulary;
  info.start_token = tokenizer->start_token();
  info.constant_state = false;
  info.state_bytes = token_bytes(shape, mode);
  info.training_length = shape.training_length;
  info.context_limit = shape.training_length;
  for (const StoredTensor& tensor : checkpoint.tensors) info.parameters += tensor.elements();
  const bool card = backend->free_bytes().has_value();
  if (card) info.threads = static_cast<int>(kCardStreams);
  auto net = std::make_unique<Net>(checkpoint, shape, mode, *backend);
  StreamPlan plan = plan_stream(shape, mode, *backend, card ? kCardStreams : 1);
  if (options.chunk_rows != 0) plan.chunk_rows = options.chunk_rows;
  return std::make_unique<Model>(std::move(backend), std::move(net), std::move(tokenizer), std::move(info),
                                 plan);
}

}  // namespace deciban::transformer

#include "engine/plugin_model.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <exception>
#include <mutex>
#include <new>
#include <stdexcept>

#include "engine/checked_delivery.h"
#include "engine/checkpoint.h"
#include "engine/model_info_json.h"
#include "engine/model_spec.h"
#include "engine/ops.h"

namespace deciban {
namespace {

// What a plugin puts.  Nothing may be thrown through it: a failure is kept until taken.
class Text final : public deciban_text_out {
 public:
  Text() : deciban_text_out{&append} {}
  std::string take() {
    if (failure_) std::rethrow_exception(failure_);
    return std::move(text_);
  }

 private:
  static void append(deciban_text_out* self, const char* data, size_t size) {
    auto* text = static_cast<Text*>(self);
    try {
      text->text_.append(data, size);
    } catch (...) {
      text->failure_ = std::current_exception();
    }
  }
  std::string text_;
  std::exception_ptr failure_;
};

class Tokens final : public deciban_token_out {
 public:
  Tokens() : deciban_token_out{&append} {}
  std::vector<Token> take() {
    if (failure_) std::rethrow_exception(failure_);
    return std::move(tokens_);
  }

 private:
  static void append(deciban_token_out* self, const int32_t* tokens, size_t count) {
    auto* out = static_cast<Tokens*>(self);
    try {
      out->tokens_.insert(out->tokens_.end(), tokens, tokens + count);
    } catch (...) {
      out->failure_ = std::current_exception();
    }
  }
  std::vector<Token> tokens_;
  std::exception_ptr failure_;
};

// Throws for a code that is not DECIBAN_OK.
void check_code(std::int32_t code, Text& error, const std::string& who, const char* function) {
  if (code == DECIBAN_OK) return;
  std::string text = error.take();
  if (text.empty()) text = fmt::format("{}() failed with code {} and no reason", function, code);
  text = fmt::format("{}: {}", who, text);
  if (code == DECIBAN_BAD_ARGUMENT) throw std::invalid_argument(text);
  if (code == DECIBAN_OUT_OF_MEMORY) throw OutOfDeviceMemory(text + " (out of memory)");
  throw std::runtime_error(text);
}

// The two ends of score() as the plugin sees them.
class Exchange {
 public:
  explicit Exchange(CheckedDelivery& delivery) : delivery_(delivery) {
    source_.self = this;
    source_.size = sizeof(deciban_source);
    source_.next = [](deciban_source* self, deciban_request* request) {
      return static_cast<Source*>(self)->self->next(*request);
    };
    sink_.self = this;
    sink_.size = sizeof(deciban_sink);
    sink_.wants_rows = delivery.wants_rows() ? 1 : 0;
    sink_.scored = [](deciban_sink* self, size_t index, const deciban_score* scores, size_t count) {
      return static_cast<Sink*>(self)->self->guarded([&](CheckedDelivery& to) {
        static_assert(sizeof(TokenScore) == sizeof(deciban_score));
        static_assert(offsetof(TokenScore, logprob) == offsetof(deciban_score, logprob));
        static_assert(offsetof(TokenScore, best_logprob) == offsetof(deciban_score, best_logprob));
        static_assert(offsetof(TokenScore, best) == offsetof(deciban_score, best));
        to.scored(index, {reinterpret_cast<const TokenScore*>(scores), count});
      });
    };
    sink_.failed = [](deciban_sink* self, size_t index, const char* reason, size_t size) {
      return static_cast<Sink*>(self)->self->guarded([&](CheckedDelivery& to) {
        to.failed(index, {reason, size});
      });
    };
    sink_.rows = [](deciban_sink* self, size_t index, size_t position, const float* logits, size_t rows,
                    size_t columns) {
      return static_cast<Sink*>(self)->self->guarded([&](CheckedDelivery& to) {
        to.rows(index, position, {logits, rows, columns});
      });
    };
  }

  deciban_source* source() { return &source_; }
  deciban_sink* sink() { return &sink_; }
  void rethrow_failure() {
    const std::lock_guard lock(mutex_);
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  struct Source : deciban_source {
    Exchange* self;
  };
  struct Sink : deciban_sink {
    Exchange* self;
  };

  std::int32_t next(deciban_request& request) {
    std::int32_t given = 0;
    guarded([&](CheckedDelivery& from) {
      Sequence sequence;
      std::size_t index = 0;
      if (!from.next(sequence, index)) return;
      request.index = index;
      request.tokens = sequence.tokens.data();
      request.count = sequence.tokens.size();
      request.first = sequence.first;
      request.shared = sequence.shared;
      given = 1;
    });
    return given;
  }
  template <typename Do>
  std::int32_t guarded(Do act) {
    try {
      {
        const std::lock_guard lock(mutex_);
        if (failure_) return 1;
      }
      act(delivery_);
      return 0;
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      return 1;
    }
  }

  CheckedDelivery& delivery_;
  Source source_{};
  Sink sink_{};
  std::mutex mutex_;
  std::exception_ptr failure_;
};

class PluginBatch final : public Batch {
 public:
  // Takes over `batch`.
  PluginBatch(const deciban_plugin_table& table, deciban_batch* batch, std::string who, std::size_t n,
              std::size_t vocabulary)
      : table_(table), who_(std::move(who)), n_(n), vocabulary_(vocabulary), batch_(batch) {}
  PluginBatch(const PluginBatch&) = delete;
  PluginBatch& operator=(const PluginBatch&) = delete;
  ~PluginBatch() override { table_.batch_close(batch_); }

  LogitRows step(std::span<const Token> tokens) override {
    check(tokens);
    Text error;
    const float* logits = nullptr;
    std::size_t columns = 0;
    check_code(table_.batch_step(batch_, tokens.data(), n_, &logits, &columns, &error), error, who_,
               "batch_step");
    if (logits == nullptr || columns != vocabulary_) {
      throw std::runtime_error(fmt::format("{}: batch_step() gave {} logits a sequence, but it has {} tokens",
                                           who_, logits ? columns : 0, vocabulary_));
    }
    bool good = true;
    for (std::size_t i = 0; i < n_ * columns; ++i) good &= logits[i] < INFINITY;  // false for NaN too
    if (!good) {
      throw std::runtime_error(
          fmt::format("{}: batch_step() gave logits that are not numbers or infinite", who_));
    }
    return {logits, n_, columns};
  }

  void step_best(std::span<const Token> tokens, std::span<TokenScore> best) override {
    if (!table_.batch_step_best) return Batch::step_best(tokens, best);
    check(tokens);
    if (best.size() != n_) {
      throw std::invalid_argument(
          fmt::format("{} results were asked of a batch of {} sequences", best.size(), n_));
    }
    Text error;
    check_code(table_.batch_step_best(batch_, tokens.data(), n_,
                                      reinterpret_cast<deciban_score*>(best.data()), &error),
               error, who_, "batch_step_best");
    for (const TokenScore& score : best) {
      if (score.best < 0 || static_cast<std::size_t>(score.best) >= vocabulary_ ||
          !(score.logprob <= kScoreSlack)) {
        throw std::runtime_error(
            fmt::format("{}: batch_step_best() gave token {} with the log-probability {} ({} tokens)", who_,
                        score.best, score.logprob, vocabulary_));
      }
    }
  }

  bool read(std::size_t i, std::span<const Token> tokens) override {
    if (!table_.batch_read) return false;
    check(i);
    check_ids(tokens);
    Text error;
    const std::int32_t code = table_.batch_read(batch_, i, tokens.data(), tokens.size(), &error);
    if (code == DECIBAN_UNSUPPORTED) return false;
    check_code(code, error, who_, "batch_read");
    return true;
  }
  void reset(std::size_t i) override {
    check(i);
    Text error;
    check_code(table_.batch_reset(batch_, i, &error), error, who_, "batch_reset");
  }
  void copy(std::size_t from, std::size_t to) override {
    check(from);
    check(to);
    Text error;
    check_code(table_.batch_copy(batch_, from, to, &error), error, who_, "batch_copy");
  }
  std::size_t state_bytes() const override { return table_.batch_state_bytes(batch_); }

 private:
  void check(std::size_t i) const {
    if (i >= n_) throw std::invalid_argument(fmt::format("sequence {} of a batch of {}", i, n_));
  }
  void check(std::span<const Token> tokens) const {
    if (tokens.size() != n_) {
      throw std::invalid_argument(
          fmt::format("a batch of {} sequences was given {} tokens", n_, tokens.size()));
    }
    check_ids(tokens);
  }
  void check_ids(std::span<const Token> tokens) const {
    for (const Token token : tokens) {
      if (token < 0 || static_cast<std::size_t>(token) >= vocabulary_) {
        throw std::invalid_argument(
            fmt::format("token {} lies outside the model's vocabulary of {}", token, vocabulary_));
      }
    }
  }

  const deciban_plugin_table& table_;
  const std::string who_;
  const std::size_t n_, vocabulary_;
  deciban_batch* const batch_;
};

class PluginModel final : public LanguageModel {
 public:
  PluginModel(PluginLibrary library, const ModelSpec& words, const std::string& spec,
              const ModelOptions& options)
      : library_(std::move(library)), who_(fmt::format("plugin '{}'", words.target)) {
    const std::string json = model_options_json(spec, words.options, options);
    {
      Text error;
      check_code(table().open(json.data(), json.size(), &model_, &error), error, who_, "open");
    }
    if (model_ == nullptr) throw std::runtime_error(fmt::format("{}: open() gave no model", who_));
    try {
      describe(words, spec, options);
    } catch (...) {
      table().close(model_);
      throw;
    }
  }
  PluginModel(const PluginModel&) = delete;
  PluginModel& operator=(const PluginModel&) = delete;
  ~PluginModel() override { table().close(model_); }

  const ModelInfo& info() const override { return described_.info; }

  std::vector<Token> encode(std::string_view text) const override {
    const std::lock_guard lock(mutex_);
    Text error;
    Tokens tokens;
    check_code(table().encode(model_, text.data(), text.size(), &tokens, &error), error, who_, "encode");
    std::vector<Token> result = tokens.take();
    for (std::size_t i = 0; i < result.size(); ++i) {
      if (result[i] >= 0 && static_cast<std::size_t>(result[i]) < info().vocabulary) continue;
      throw std::runtime_error(
          fmt::format("{}: encode() gave token {} at place {}, but it has only tokens 0 to {}", who_,
                      result[i], i, info().vocabulary - 1));
    }
    return result;
  }
  std::string decode(std::span<const Token> tokens) const override {
    const std::lock_guard lock(mutex_);
    Text error, text;
    check_code(table().decode(model_, tokens.data(), tokens.size(), &text, &error), error, who_, "decode");
    return text.take();
  }
  std::string normalise(std::string_view text) const override {
    if (!table().normalise) return std::string(text);
    const std::lock_guard lock(mutex_);
    Text error, normal;
    check_code(table().normalise(model_, text.data(), text.size(), &normal, &error), error, who_,
               "normalise");
    return normal.take();
  }

  void score(SequenceSource& next, ScoreSink& done) override {
    if (done.wants_rows() && !described_.rows) {
      throw std::runtime_error(fmt::format("{} gives no rows of logits", who_));
    }
    CheckedDelivery delivery(who_, info(), next, done);
    Exchange exchange(delivery);
    Text error;
    const std::int32_t code = table().score(model_, exchange.source(), exchange.sink(), &error);
    exchange.rethrow_failure();
    check_code(code, error, who_, "score");
    delivery.finish();
  }

  std::unique_ptr<Batch> start_batch(std::size_t n) override {
    if (n == 0) throw std::invalid_argument("a batch needs at least one sequence");
    if (!table().batch_open || !described_.batch) return nullptr;
    deciban_batch* batch = nullptr;
    Text error;
    const std::int32_t code = table().batch_open(model_, n, &batch, &error);
    if (code == DECIBAN_UNSUPPORTED) return nullptr;
    check_code(code, error, who_, "batch_open");
    if (batch == nullptr) throw std::runtime_error(fmt::format("{}: batch_open() gave no batch", who_));
    return std::make_unique<PluginBatch>(table(), batch, who_, n, info().vocabulary);
  }

  MemoryUse memory() const override {
    if (!table().memory) return {};
    const std::lock_guard lock(mutex_);
    deciban_memory memory{};
    memory.size = sizeof memory;
    Text error;
    check_code(table().memory(model_, &memory, &error), error, who_, "memory");
    return {memory.weights, memory.cache, memory.workspace, memory.device};
  }

 private:
  const deciban_plugin_table& table() const { return library_.table; }

  void describe(const ModelSpec& words, const std::string& spec, const ModelOptions& options) {
    Text error, json;
    check_code(table().info(model_, &json, &error), error, who_, "info");
    ModelInfo defaults;
    defaults.name = defaults.family = std::filesystem::path(words.target).stem().string();
    defaults.spec = spec;
    defaults.format = defaults.weight_format = defaults.activation_format = "f32";
    defaults.device = "cpu";
    defaults.kernels = defaults.name;
    described_ = parse_model_info(json.take(), who_, defaults);
    ModelInfo& info = described_.info;
    // Of a plugin that does not identify its weights we know its own file and what it was told.
    const std::string recipe =
        fmt::format("plugin {} {} {} {}", library_.path.empty() ? "" : file_digest({&library_.path, 1}), spec,
                    options.tokenizer, options.format);
    const std::string digest = sha256_hex(std::as_bytes(std::span(recipe)));
    if (info.digest.empty()) info.digest = digest;
    if (info.tokenizer.empty()) info.tokenizer = info.name;
    if (info.tokenizer_digest.empty()) info.tokenizer_digest = digest;
  }

  const PluginLibrary library_;
  const std::string who_;
  deciban_model* model_ = nullptr;
  DescribedModel described_;
  mutable std::mutex mutex_;  // one of encode, decode, normalise and memory at a time
};

}  // namespace

std::unique_ptr<LanguageModel> open_plugin(PluginLibrary library, const std::string& words,
                                           const std::string& spec, const ModelOptions& options) {
  return std::make_unique<PluginModel>(std::move(library), parse_model_spec(words), spec, options);
}

std::unique_ptr<LanguageModel> open_plugin(const std::string& words, const std::string& spec,
                                           const ModelOptions& options) {
  return open_plugin(open_plugin_library(parse_model_spec(words).target), words, spec, options);
}

void check_plugin(const std::string& words, const std::string& spec, const ModelOptions& options) {
  const ModelSpec parsed = parse_model_spec(words);
  const PluginLibrary library = open_plugin_library(parsed.target);
  const std::string json = model_options_json(spec, parsed.options, options);
  if (!library.table.check) return;
  Text error;
  check_code(library.table.check(json.data(), json.size(), &error), error,
             fmt::format("plugin '{}'", parsed.target), "check");
}

}  // namespace deciban

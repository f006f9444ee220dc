#include "plugins/plugin_export.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <new>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "engine/model_info_json.h"
#include "engine/ops.h"

// What the host's handles point to.
struct deciban_model {
  std::unique_ptr<deciban::LanguageModel> model;
};
struct deciban_batch {
  std::unique_ptr<deciban::Batch> batch;
};

namespace deciban {
namespace {

PluginOpen plugin_open = nullptr;
PluginCheck plugin_check = nullptr;

void put(deciban_text_out* out, std::string_view text) { out->put(out, text.data(), text.size()); }

// Runs `act`; exceptions become codes and texts.
template <typename Act>
std::int32_t guarded(deciban_text_out* error, Act act) noexcept {
  try {
    return act();
  } catch (const std::bad_alloc&) {
    put(error, "not enough memory");
    return DECIBAN_OUT_OF_MEMORY;
  } catch (const OutOfDeviceMemory& failure) {
    put(error, failure.what());
    return DECIBAN_OUT_OF_MEMORY;
  } catch (const std::invalid_argument& mistake) {
    put(error, mistake.what());
    return DECIBAN_BAD_ARGUMENT;
  } catch (const std::exception& failure) {
    put(error, failure.what());
    return DECIBAN_FAILED;
  } catch (...) {
    put(error, "an exception of an unknown kind");
    return DECIBAN_FAILED;
  }
}

PluginOptions parse_options(std::string_view text) {
  const nlohmann::json json = nlohmann::json::parse(text);
  PluginOptions options;
  options.spec = json.at("spec").get<std::string>();
  for (const auto& [key, value] : json.at("options").items()) {
    options.words.emplace_back(key, value.get<std::string>());
  }
  ModelOptions& model = options.model;
  model.device = json.value("device", model.device);
  model.format = json.value("format", model.format);
  model.tokenizer = json.value("tokenizer", model.tokenizer);
  model.threads = json.value("threads", model.threads);
  model.chunk_rows = json.value("chunk_rows", model.chunk_rows);
  model.deterministic = json.value("deterministic", model.deterministic);
  return options;
}

// A model counts the sequences that it gets from 0; the host's numbers may have gaps, where it kept back what
// no model could score.
class HostIndices {
 public:
  void add(std::size_t index) {
    const std::lock_guard lock(mutex_);
    indices_.push_back(index);
  }
  std::size_t of(std::size_t count) const {
    const std::lock_guard lock(mutex_);
    if (count >= indices_.size()) throw std::logic_error("the model delivered what it was not given");
    return indices_[count];
  }

 private:
  mutable std::mutex mutex_;  // a model may pull and deliver at the same time
  std::vector<std::size_t> indices_;
};

// The host's ends of score() as the model sees them.  Once the host asks to stop, the model gets no more
// sequences and what it still delivers is dropped: models need not bear exceptions from their sinks.
class HostSource final : public SequenceSource {
 public:
  HostSource(deciban_source* host, HostIndices& indices, const std::atomic<bool>& stop)
      : host_(host), indices_(indices), stop_(stop) {}
  bool next(Sequence& out) override {
    if (stop_) return false;
    deciban_request request{};
    request.size = sizeof request;
    if (host_->next(host_, &request) == 0) return false;
    indices_.add(request.index);
    out = {{request.tokens, request.count}, request.first, request.shared};
    return true;
  }

 private:
  deciban_source* host_;
  HostIndices& indices_;
  const std::atomic<bool>& stop_;
};

class HostSink final : public ScoreSink {
 public:
  HostSink(deciban_sink* host, const HostIndices& indices, std::atomic<bool>& stop)
      : host_(host), indices_(indices), stop_(stop) {}
  void scored(std::size_t index, std::span<const TokenScore> scores) override {
    static_assert(sizeof(TokenScore) == sizeof(deciban_score));
    if (!stop_ && host_->scored(host_, indices_.of(index),
                                reinterpret_cast<const deciban_score*>(scores.data()), scores.size()) != 0)
      stop_ = true;
  }
  void failed(std::size_t index, const std::string& reason) override {
    if (!stop_ && host_->failed(host_, indices_.of(index), reason.data(), reason.size()) != 0) stop_ = true;
  }
  bool wants_rows() const override { return host_->wants_rows != 0; }
  void rows(std::size_t index, std::size_t position, const LogitRows& logits) override {
    if (!stop_ &&
        host_->rows(host_, indices_.of(index), position, logits.data, logits.rows, logits.columns) != 0)
      stop_ = true;
  }

 private:
  deciban_sink* host_;
  const HostIndices& indices_;
  std::atomic<bool>& stop_;
};

int32_t open(const char* options, size_t size, deciban_model** model, deciban_text_out* error) {
  return guarded(error, [&] {
    auto opened = std::make_unique<deciban_model>();
    opened->model = plugin_open(parse_options({options, size}));
    if (!opened->model) throw std::logic_error("the plugin's open function gave no model");
    *model = opened.release();
    return DECIBAN_OK;
  });
}

int32_t check(const char* options, size_t size, deciban_text_out* error) {
  return guarded(error, [&] {
    plugin_check(parse_options({options, size}));
    return DECIBAN_OK;
  });
}

void close(deciban_model* model) { delete model; }

int32_t info(deciban_model* model, deciban_text_out* json, deciban_text_out* error) {
  return guarded(error, [&] {
    put(json, model_info_json({model->model->info()}));
    return DECIBAN_OK;
  });
}

int32_t encode(deciban_model* model, const char* text, size_t size, deciban_token_out* tokens,
               deciban_text_out* error) {
  return guarded(error, [&] {
    const std::vector<Token> made = model->model->encode({text, size});
    tokens->put(tokens, made.data(), made.size());
    return DECIBAN_OK;
  });
}

int32_t decode(deciban_model* model, const int32_t* tokens, size_t count, deciban_text_out* text,
               deciban_text_out* error) {
  return guarded(error, [&] {
    put(text, model->model->decode({tokens, count}));
    return DECIBAN_OK;
  });
}

int32_t normalise(deciban_model* model, const char* text, size_t size, deciban_text_out* normal,
                  deciban_text_out* error) {
  return guarded(error, [&] {
    put(normal, model->model->normalise({text, size}));
    return DECIBAN_OK;
  });
}

int32_t score(deciban_model* model, deciban_source* source, deciban_sink* sink, deciban_text_out* error) {
  return guarded(error, [&] {
    std::atomic<bool> stop = false;
    HostIndices indices;
    HostSource from(source, indices, stop);
    HostSink to(sink, indices, stop);
    model->model->score(from, to);
    return stop ? DECIBAN_STOPPED : DECIBAN_OK;
  });
}

int32_t memory(deciban_model* model, deciban_memory* memory, deciban_text_out* error) {
  return guarded(error, [&] {
    const MemoryUse use = model->model->memory();
    memory->weights = use.weights;
    memory->cache = use.cache;
    memory->workspace = use.workspace;
    memory->device = use.device;
    return DECIBAN_OK;
  });
}

int32_t batch_open(deciban_model* model, size_t n, deciban_batch** batch, deciban_text_out* error) {
  return guarded(error, [&] {
    auto opened = std::make_unique<deciban_batch>();
    opened->batch = model->model->start_batch(n);
    if (!opened->batch) return DECIBAN_UNSUPPORTED;
    *batch = opened.release();
    return DECIBAN_OK;
  });
}

void batch_close(deciban_batch* batch) { delete batch; }

int32_t batch_step(deciban_batch* batch, const int32_t* tokens, size_t n, const float** logits,
                   size_t* columns, deciban_text_out* error) {
  return guarded(error, [&] {
    const LogitRows rows = batch->batch->step({tokens, n});
    if (rows.rows != n) throw std::logic_error(fmt::format("{} rows of logits for {} tokens", rows.rows, n));
    *logits = rows.data;
    *columns = rows.columns;
    return DECIBAN_OK;
  });
}

int32_t batch_step_best(deciban_batch* batch, const int32_t* tokens, size_t n, deciban_score* best,
                        deciban_text_out* error) {
  return guarded(error, [&] {
    batch->batch->step_best({tokens, n}, {reinterpret_cast<TokenScore*>(best), n});
    return DECIBAN_OK;
  });
}

int32_t batch_reset(deciban_batch* batch, size_t i, deciban_text_out* error) {
  return guarded(error, [&] {
    batch->batch->reset(i);
    return DECIBAN_OK;
  });
}

int32_t batch_copy(deciban_batch* batch, size_t from, size_t to, deciban_text_out* error) {
  return guarded(error, [&] {
    batch->batch->copy(from, to);
    return DECIBAN_OK;
  });
}

uint64_t batch_state_bytes(const deciban_batch* batch) { return batch->batch->state_bytes(); }

int32_t batch_read(deciban_batch* batch, size_t i, const int32_t* tokens, size_t count,
                   deciban_text_out* error) {
  return guarded(error, [&] {
    return batch->batch->read(i, {tokens, count}) ? DECIBAN_OK : DECIBAN_UNSUPPORTED;
  });
}

}  // namespace

std::string PluginOptions::get(std::string_view key, const std::string& otherwise) const {
  const auto found =
      std::find_if(words.begin(), words.end(), [&](const auto& word) { return word.first == key; });
  return found == words.end() ? otherwise : found->second;
}

void PluginOptions::allow_only(std::initializer_list<std::string_view> known) const {
  for (const auto& [key, value] : words) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    throw std::invalid_argument(fmt::format("unknown option '{}' in '{}'; known: {}", key, spec,
                                            fmt::join(known.begin(), known.end(), ", ")));
  }
}

std::string PluginOptions::require(std::string_view key, std::string_view what) const {
  const std::string value = get(key);
  if (value.empty()) {
    throw std::invalid_argument(fmt::format("'{}' names no {}: add ,{}={}", spec, key, key, what));
  }
  return value;
}

deciban_plugin_table plugin_table(PluginOpen open_function, PluginCheck check_function) {
  plugin_open = open_function;
  plugin_check = check_function;
  deciban_plugin_table table{};
  table.abi = DECIBAN_PLUGIN_ABI;
  table.size = sizeof table;
  table.open = open;
  table.close = close;
  table.info = info;
  table.encode = encode;
  table.decode = decode;
  table.score = score;
  table.check = check_function ? check : nullptr;
  table.normalise = normalise;
  table.memory = memory;
  table.batch_open = batch_open;
  table.batch_close = batch_close;
  table.batch_step = batch_step;
  table.batch_step_best = batch_step_best;
  table.batch_reset = batch_reset;
  table.batch_copy = batch_copy;
  table.batch_state_bytes = batch_state_bytes;
  table.batch_read = batch_read;
  return table;
}

}  // namespace deciban

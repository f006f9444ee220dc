// A plugin that is right unless told otherwise: `plugin:PATH,fault=NAME` does one thing wrong.  It stands for
// all that third parties may send through the C ABI; the host and the conformance suite must notice each.
//
// The model reads bytes into a hash of all that came before, from which it makes logits: everything depends
// on every token and on their order.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <deque>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "engine/plugin_api.h"

namespace {

constexpr std::size_t kVocabulary = 256;
constexpr std::uint64_t kEmpty = 14695981039346656037u;

std::uint64_t after(std::uint64_t state, std::int32_t token) {
  return (state ^ static_cast<std::uint64_t>(token + 1)) * 1099511628211u;
}

using Logits = std::array<float, kVocabulary>;

void fill_logits(std::uint64_t state, float* logits) {
  for (std::size_t i = 0; i < kVocabulary; ++i) {
    std::uint64_t x = state + 0x9E3779B97F4A7C15u * (i + 1);
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    logits[i] = static_cast<float>((x >> 33) % 8192) / 1024.0f - 4;
  }
}

deciban_score score_of(const Logits& logits, std::int32_t token) {
  const auto best = std::max_element(logits.begin(), logits.end());
  double total = 0;
  for (const float value : logits) total += std::exp(static_cast<double>(value) - *best);
  const double normaliser = *best + std::log(total);
  return {static_cast<float>(logits[static_cast<std::size_t>(token)] - normaliser),
          static_cast<float>(*best - normaliser), static_cast<std::int32_t>(best - logits.begin())};
}

void say(deciban_text_out* out, std::string_view text) { out->put(out, text.data(), text.size()); }

// What the table says, changed by faults of the table itself before it is handed out.
deciban_plugin_table make_table(std::string_view fault);

}  // namespace

struct deciban_model {
  std::string fault;
  std::size_t scored_sequences = 0;
  std::uint64_t last_state = kEmpty;  // of the sequence scored before
  bool is(std::string_view name) const { return fault == name; }
};

struct deciban_batch {
  const deciban_model* model;
  std::vector<std::uint64_t> states;
  std::vector<float> logits;
};

namespace {

std::int32_t open(const char* options, size_t size, deciban_model** model, deciban_text_out* error) {
  const auto json = nlohmann::json::parse(std::string_view(options, size));
  const std::string fault = json.at("options").value("fault", "");
  if (fault == "open") {
    say(error, "no such paper");
    return DECIBAN_BAD_ARGUMENT;
  }
  if (fault == "open_silent") return DECIBAN_FAILED;
  if (fault == "open_nothing") return DECIBAN_OK;
  *model = new deciban_model{fault};
  return DECIBAN_OK;
}

void close(deciban_model* model) { delete model; }

std::int32_t info(deciban_model* model, deciban_text_out* json, deciban_text_out*) {
  if (model->is("info_garbage")) return say(json, "n_vocab: 256"), DECIBAN_OK;
  if (model->is("info_no_vocab")) return say(json, R"({"name": "double"})"), DECIBAN_OK;
  if (model->is("info_type")) return say(json, R"({"n_vocab": "many"})"), DECIBAN_OK;
  say(json, R"({"n_vocab": 256, "name": "double", "start_token": 0, "parameters": 1000)");
  say(json, R"(, "tokenizer": "bytes", "state_bytes": 8)");
  if (model->is("limit")) say(json, R"(, "context_limit": 8)");
  if (model->is("start_outside")) say(json, R"(, "start_token": 256)");
  if (model->is("no_rows")) say(json, R"(, "rows": false)");
  say(json, "}");
  return DECIBAN_OK;
}

std::int32_t encode(deciban_model* model, const char* text, size_t size, deciban_token_out* tokens,
                    deciban_text_out* error) {
  if (model->is("encode")) return say(error, "the vocabulary is gone"), DECIBAN_FAILED;
  std::vector<std::int32_t> made;
  if (model->is("start_added")) made.push_back(0);
  for (size_t i = 0; i < size; ++i) {
    std::int32_t token = static_cast<unsigned char>(text[i]);
    if (model->is("byte_lost") && token == 0xF5) continue;
    if (model->is("normalises_silently") && token >= 'A' && token <= 'Z') token += 32;
    made.push_back(model->is("token_outside") && token == 'z' ? 256 : token);
  }
  tokens->put(tokens, made.data(), made.size());
  return DECIBAN_OK;
}

std::int32_t decode(deciban_model*, const std::int32_t* tokens, size_t count, deciban_text_out* text,
                    deciban_text_out*) {
  std::string bytes;
  for (size_t i = 0; i < count; ++i) bytes.push_back(static_cast<char>(tokens[i]));
  say(text, bytes);
  return DECIBAN_OK;
}

// The scores and, if asked for, the rows of one request; with all that may be wrong with the values.
std::vector<deciban_score> scores_of(deciban_model& model, const deciban_request& request, deciban_sink* sink,
                                     std::size_t in_flight) {
  std::uint64_t state = kEmpty;
  if (model.is("leaks") && model.scored_sequences > 0) state = model.last_state;
  if (model.is("shared_wrong") && request.shared > 1) state = after(state, -1);
  std::vector<deciban_score> scores;
  std::vector<float> rows;
  for (size_t i = 0; i + 1 < request.count; ++i) {
    state = after(state, request.tokens[i]);
    if (i + 1 < request.first) continue;
    Logits logits;
    fill_logits(state, logits.data());
    if (model.is("crowd_matters") && in_flight > 1) logits[7] += 0.5f;
    deciban_score score = score_of(logits, request.tokens[model.is("shifted") ? i : i + 1]);
    if (model.is("not_normalised")) score.logprob -= 0.01f, score.best_logprob -= 0.01f;
    if (model.is("wrong_best")) score.best = (score.best + 1) % 256, score.best_logprob = score.logprob;
    scores.push_back(score);
    rows.insert(rows.end(), logits.begin(), logits.end());
  }
  model.last_state = state;
  if (sink->wants_rows && !scores.empty()) {
    const std::size_t n = scores.size();
    const std::size_t columns = model.is("rows_columns") ? kVocabulary / 2 : kVocabulary;
    const std::size_t given = model.is("rows_few") ? n - 1 : n;
    sink->rows(sink, request.index, model.is("rows_position") ? request.first + 1 : request.first,
               rows.data(), given, columns);
  }
  if (!scores.empty()) {
    deciban_score& last = scores.back();
    if (model.is("nan")) last.logprob = NAN;
    if (model.is("positive")) last.logprob = 0.5f;
    if (model.is("best_positive")) last.best_logprob = 0.5f;
    if (model.is("best_less")) last.best_logprob = last.logprob - 1;
    if (model.is("best_outside")) last.best = 256;
    if (model.is("best_negative")) last.best = -1;
    if (model.is("best_differs"))
      last = {last.best_logprob - 1, last.best_logprob, request.tokens[request.count - 1]};
    if (model.is("too_few")) scores.pop_back();
  }
  if (model.is("too_many")) scores.push_back({-1, -1, 0});
  return scores;
}

std::int32_t score(deciban_model* model, deciban_source* source, deciban_sink* sink,
                   deciban_text_out* error) {
  constexpr std::size_t kRoom = 4;
  std::deque<deciban_request> held;
  bool more = true;
  while (more || !held.empty()) {
    deciban_request request{};
    request.size = sizeof request;
    while (more && held.size() < kRoom && (more = source->next(source, &request) != 0))
      held.push_back(request);
    if (held.empty()) break;
    const std::size_t in_flight = held.size();
    request = held.back();  // not in the order in which they came
    held.pop_back();
    if (model->is("score_fails")) return say(error, "the device is lost"), DECIBAN_FAILED;
    if (model->is("score_memory")) return say(error, "no room"), DECIBAN_OUT_OF_MEMORY;
    if (model->is("fails_one") && request.index == 1) {
      say(error, "");
      sink->failed(sink, request.index, "out of paper", 12);
      continue;
    }
    if (model->is("undelivered") && request.index == 1) continue;
    const auto scores = scores_of(*model, request, sink, in_flight);
    ++model->scored_sequences;
    std::size_t index = request.index;
    if (model->is("unknown_index")) index += 100;
    if (sink->scored(sink, index, scores.data(), scores.size()) != 0) return DECIBAN_STOPPED;
    if (model->is("twice") && sink->scored(sink, index, scores.data(), scores.size()) != 0) {
      return DECIBAN_STOPPED;
    }
    if (model->is("stops_asking")) return DECIBAN_OK;
  }
  return DECIBAN_OK;
}

std::int32_t normalise(deciban_model* model, const char* text, size_t size, deciban_text_out* normal,
                       deciban_text_out*) {
  std::string result(text, size);
  if (model->is("normal_unstable")) result += "!";
  say(normal, result);
  return DECIBAN_OK;
}

std::int32_t memory(deciban_model* model, deciban_memory* memory, deciban_text_out*) {
  memory->weights = model->is("no_weights") ? 0 : model->is("huge") ? std::uint64_t{1} << 60 : 4000;
  memory->cache = memory->workspace = 0;
  memory->device = model->is("device_too_much") ? 5000 : 0;
  return DECIBAN_OK;
}

std::int32_t batch_open(deciban_model* model, size_t n, deciban_batch** batch, deciban_text_out*) {
  if (model->is("no_batch")) return DECIBAN_UNSUPPORTED;
  *batch =
      new deciban_batch{model, std::vector<std::uint64_t>(n, kEmpty), std::vector<float>(n * kVocabulary)};
  return DECIBAN_OK;
}

void batch_close(deciban_batch* batch) { delete batch; }

std::int32_t batch_step(deciban_batch* batch, const std::int32_t* tokens, size_t n, const float** logits,
                        size_t* columns, deciban_text_out*) {
  for (size_t i = 0; i < n; ++i) {
    batch->states[i] = after(batch->states[i], tokens[i]);
    fill_logits(batch->states[i], batch->logits.data() + i * kVocabulary);
    if (batch->model->is("step_differs")) batch->logits[i * kVocabulary + 3] += 0.25f;
  }
  if (batch->model->is("batch_nan")) batch->logits[n * kVocabulary - 1] = NAN;
  *logits = batch->model->is("batch_nothing") ? nullptr : batch->logits.data();
  *columns = batch->model->is("batch_columns") ? kVocabulary - 1 : kVocabulary;
  return DECIBAN_OK;
}

std::int32_t batch_step_best(deciban_batch* batch, const std::int32_t* tokens, size_t n, deciban_score* best,
                             deciban_text_out* error) {
  const float* logits = nullptr;
  size_t columns = 0;
  batch_step(batch, tokens, n, &logits, &columns, error);
  for (size_t i = 0; i < n; ++i) {
    Logits row;
    std::copy_n(logits + i * kVocabulary, kVocabulary, row.begin());
    best[i] = score_of(row, 0);
    best[i].logprob = best[i].best_logprob;
    if (batch->model->is("step_best_outside")) best[i].best = 300;
  }
  return DECIBAN_OK;
}

std::int32_t batch_reset(deciban_batch* batch, size_t i, deciban_text_out*) {
  if (!batch->model->is("reset_nothing")) batch->states[i] = kEmpty;
  return DECIBAN_OK;
}
std::int32_t batch_copy(deciban_batch* batch, size_t from, size_t to, deciban_text_out*) {
  if (!batch->model->is("copy_nothing")) batch->states[to] = batch->states[from];
  return DECIBAN_OK;
}
std::uint64_t batch_state_bytes(const deciban_batch* batch) {
  return batch->model->is("no_state") ? 0 : batch->states.size() * sizeof(std::uint64_t);
}

deciban_plugin_table make_table(std::string_view fault) {
  deciban_plugin_table table{};
  table.abi = fault == "abi" ? DECIBAN_PLUGIN_ABI + 1 : DECIBAN_PLUGIN_ABI;
  table.size = fault == "short" ? offsetof(deciban_plugin_table, score) : sizeof table;
  table.open = open;
  table.close = close;
  table.info = info;
  table.encode = encode;
  table.decode = decode;
  table.score = fault == "no_score" ? nullptr : score;
  table.normalise = normalise;
  table.memory = memory;
  table.batch_open = batch_open;
  table.batch_close = batch_close;
  table.batch_step = batch_step;
  table.batch_step_best = batch_step_best;
  table.batch_reset = batch_reset;
  table.batch_copy = fault == "half_batch" ? nullptr : batch_copy;
  table.batch_state_bytes = batch_state_bytes;
  // Version 1 as it was before it had anything optional.
  if (fault == "old") table.size = offsetof(deciban_plugin_table, check);
  return table;
}

}  // namespace

// Faults of the table come from the environment, since they show before there are options.
extern "C" const deciban_plugin_table* deciban_plugin(void) {
  const char* set = std::getenv("DECIBAN_DOUBLE_TABLE");
  static deciban_plugin_table table;
  if (set != nullptr && std::strcmp(set, "nothing") == 0) return nullptr;
  table = make_table(set ? set : "");
  return &table;
}

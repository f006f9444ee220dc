#include "engine/exec_model.h"

#include <fmt/format.h>
#include <unistd.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <utility>

#include "engine/base64.h"
#include "engine/checked_delivery.h"
#include "engine/checkpoint.h"
#include "engine/exec_program.h"
#include "engine/model_info_json.h"
#include "engine/model_spec.h"
#include "engine/utf8.h"

namespace deciban {
namespace {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little, "rows of logits come as little-endian floats");

constexpr std::size_t kBatchesInFlight = 2;  // the program never waits for us
constexpr int kMostCrashes = 3;              // one after the other, without a result between them

ChildProcess::Seconds seconds_of(const ModelSpec& spec, std::string_view key, ChildProcess::Seconds usual) {
  const std::string* word = spec.find(key);
  if (word == nullptr) return usual;
  double value = 0;
  const auto [end, error] = std::from_chars(word->data(), word->data() + word->size(), value);
  if (error != std::errc{} || end != word->data() + word->size() || !(value > 0) || value > 1e7) {
    throw std::invalid_argument(fmt::format("{} '{}': must be a number of seconds above 0", key, *word));
  }
  return ChildProcess::Seconds(value);
}

ModelSpec exec_spec(const std::string& words) {
  return parse_model_spec(words, {"timeout", "start_timeout"});
}

ExecOptions exec_options(const ModelSpec& spec) {
  ExecOptions options;
  options.command = spec.target;
  // "python3 plugins/x.py --model y": what people recognise is the script.
  std::size_t begin = 0;
  for (std::string_view rest = spec.target; !rest.empty();) {
    const std::size_t end = std::min(rest.find(' '), rest.size());
    const std::string_view word = rest.substr(0, end);
    const std::string name = std::filesystem::path(word).filename().string();
    if (begin == 0 || (word.front() != '-' && (name.ends_with(".py") || name.ends_with(".sh")))) {
      options.name = name;
      if (begin > 0) break;
    }
    begin += end + 1;
    rest.remove_prefix(std::min(end + 1, rest.size()));
    while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  }
  options.timeout = seconds_of(spec, "timeout", options.timeout);
  options.start_timeout = seconds_of(spec, "start_timeout", options.start_timeout);
  return options;
}

// JSON's texts are UTF-8; other bytes go as {"bytes": base64}.
json text_json(std::string_view text) {
  return first_invalid_utf8(text) == text.size() ? json(std::string(text)) : json{{"bytes", base64(text)}};
}

std::string text_of(const json& value, const std::string& who) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.contains("bytes") && value["bytes"].is_string()) {
    return from_base64(value["bytes"].get_ref<const std::string&>());
  }
  throw std::runtime_error(fmt::format("{}: its \"text\" is neither a text nor {{\"bytes\": base64}}", who));
}

// Rows of little-endian f32 in base64.
std::vector<float> floats_of(const json& value, const std::string& who) {
  if (!value.is_string()) throw std::runtime_error(fmt::format("{}: its logits are no base64", who));
  const std::string bytes = from_base64(value.get_ref<const std::string&>());
  if (bytes.size() % sizeof(float) != 0) {
    throw std::runtime_error(
        fmt::format("{}: its logits have {} bytes, not a multiple of 4", who, bytes.size()));
  }
  std::vector<float> floats(bytes.size() / sizeof(float));
  std::memcpy(floats.data(), bytes.data(), bytes.size());
  return floats;
}

// The numbers of one column of a sequence's result; null stands for what JSON cannot say, which is no result.
template <typename Number>
std::vector<Number> column(const json& result, const char* name, const std::string& who) {
  const auto found = result.find(name);
  if (found == result.end() || !found->is_array()) {
    throw std::runtime_error(fmt::format("{}: a result has no list \"{}\"", who, name));
  }
  std::vector<Number> values;
  values.reserve(found->size());
  for (const json& value : *found) {
    if constexpr (std::is_floating_point_v<Number>) {
      if (!value.is_number() && !value.is_null()) {
        throw std::runtime_error(fmt::format("{}: \"{}\" holds {}", who, name, value.dump()));
      }
      values.push_back(value.is_null() ? NAN : value.get<Number>());
    } else {
      if (!value.is_number_integer()) {
        throw std::runtime_error(fmt::format("{}: \"{}\" holds {}", who, name, value.dump()));
      }
      values.push_back(static_cast<Number>(value.get<std::int64_t>()));
    }
  }
  return values;
}

class ExecModel;

class ExecBatch final : public Batch {
 public:
  ExecBatch(std::shared_ptr<ExecProgram> program, std::string who, std::size_t n, std::size_t vocabulary)
      : program_(std::move(program)), who_(std::move(who)), n_(n), vocabulary_(vocabulary) {
    const json reply = program_->call("batch_open", {{"n", n}});
    batch_ = reply.value("batch", json(0));
    state_bytes_ = reply.value("state_bytes", std::uint64_t{0});
  }
  ~ExecBatch() override {
    try {
      program_->call("batch_close", {{"batch", batch_}});
    } catch (const std::exception&) {  // a program that ended holds nothing more
    }
  }
  LogitRows step(std::span<const Token> tokens) override {
    if (tokens.size() != n_) {
      throw std::invalid_argument(
          fmt::format("a batch of {} sequences was given {} tokens", n_, tokens.size()));
    }
    const json reply = program_->call(
        "batch_step", {{"batch", batch_}, {"tokens", std::vector<Token>(tokens.begin(), tokens.end())}});
    logits_ = floats_of(reply.value("logits", json()), who_);
    if (logits_.size() != n_ * vocabulary_) {
      throw std::runtime_error(fmt::format("{}: batch_step gave {} logits, not {} rows of {}", who_,
                                           logits_.size(), n_, vocabulary_));
    }
    for (const float value : logits_) {
      if (!(value < INFINITY))
        throw std::runtime_error(fmt::format("{}: batch_step gave the logit {}", who_, value));
    }
    state_bytes_ = reply.value("state_bytes", state_bytes_);
    return {logits_.data(), n_, vocabulary_};
  }
  void reset(std::size_t i) override { program_->call("batch_reset", {{"batch", batch_}, {"i", i}}); }
  void copy(std::size_t from, std::size_t to) override {
    program_->call("batch_copy", {{"batch", batch_}, {"from", from}, {"to", to}});
  }
  std::size_t state_bytes() const override { return state_bytes_; }

 private:
  const std::shared_ptr<ExecProgram> program_;
  const std::string who_;
  const std::size_t n_, vocabulary_;
  json batch_;
  std::uint64_t state_bytes_ = 0;
  std::vector<float> logits_;
};

class ExecModel final : public LanguageModel {
 public:
  ExecModel(const ModelSpec& words, const std::string& spec, const ModelOptions& options)
      : options_(exec_options(words)), who_(fmt::format("program '{}'", options_.name)) {
    open_ = {{"options", json::parse(model_options_json(spec, words.options, options))}};
    program_ = std::make_shared<ExecProgram>(options_, open_);
    const json& greeting = program_->greeting();
    if (!greeting.contains("info")) {
      throw std::runtime_error(fmt::format("{}: its reply to \"open\" has no \"info\"", who_));
    }
    const json& info = greeting["info"];
    ModelInfo defaults;
    defaults.name = defaults.family = std::filesystem::path(options_.name).stem().string();
    defaults.spec = spec;
    defaults.format = defaults.weight_format = defaults.activation_format = "f32";
    defaults.device = "unknown";
    defaults.kernels = "exec";
    // Of a program that does not identify its weights we know what was written.
    const std::string digest = sha256_hex(std::as_bytes(std::span(spec)));
    defaults.digest = defaults.tokenizer_digest = digest;
    defaults.tokenizer = defaults.name;
    described_ = parse_model_info(info.dump(), who_, defaults);
    described_.rows = info.value("rows", false);
    described_.batch = info.value("batch", false);
    memory_ = info.value("memory", false);
    normalises_ = info.value("normalise", false);
    batch_size_ = info.value("batch_size", std::size_t{1});
    if (batch_size_ == 0) throw std::runtime_error(fmt::format("{}: its info says \"batch_size\": 0", who_));
  }

  const ModelInfo& info() const override { return described_.info; }

  std::vector<Token> encode(std::string_view text) const override {
    const json reply = call("encode", {{"text", text_json(text)}});
    const auto tokens = column<std::int64_t>(reply, "tokens", who_);
    std::vector<Token> result;
    result.reserve(tokens.size());
    for (const std::int64_t token : tokens) {
      if (token < 0 || static_cast<std::uint64_t>(token) >= info().vocabulary) {
        throw std::runtime_error(fmt::format("{}: encode gave token {}, but it has only tokens 0 to {}", who_,
                                             token, info().vocabulary - 1));
      }
      result.push_back(static_cast<Token>(token));
    }
    return result;
  }
  std::string decode(std::span<const Token> tokens) const override {
    const json reply = call("decode", {{"tokens", std::vector<Token>(tokens.begin(), tokens.end())}});
    return text_of(reply.value("text", json()), who_);
  }
  std::string normalise(std::string_view text) const override {
    if (!normalises_) return std::string(text);
    return text_of(call("normalise", {{"text", text_json(text)}}).value("text", json()), who_);
  }
  MemoryUse memory() const override {
    if (!memory_) return {};
    const json reply = call("memory", json::object());
    const auto bytes = [&](const char* name) { return reply.value(name, std::uint64_t{0}); };
    return {bytes("weights"), bytes("cache"), bytes("workspace"), bytes("device")};
  }
  std::unique_ptr<Batch> start_batch(std::size_t n) override {
    if (n == 0) throw std::invalid_argument("a batch needs at least one sequence");
    if (!described_.batch) return nullptr;
    return std::make_unique<ExecBatch>(program(), who_, n, info().vocabulary);
  }

  void score(SequenceSource& next, ScoreSink& done) override {
    if (done.wants_rows() && !described_.rows) {
      throw std::runtime_error(fmt::format("{} gives no rows of logits", who_));
    }
    CheckedDelivery delivery(who_, info(), next, done);
    std::deque<Sent> sent;
    crashes_ = 0;
    for (bool more = true; more || !sent.empty();) {
      std::vector<Item> items;  // pulled and not yet sent
      try {
        while (more && sent.size() < kBatchesInFlight) {
          Item item;
          while (items.size() < batch_size_ && (more = delivery.next(item.sequence, item.index))) {
            items.push_back(item);
          }
          if (items.empty()) break;
          const std::shared_ptr<ExecProgram> used = program();
          sent.push_back({used, std::exchange(items, {}), 0});
          sent.back().id = used->send("score", score_arguments(sent.back().items, done.wants_rows()));
        }
        if (sent.empty()) break;
        deliver(sent.front(), delivery, sent.front().program->receive(sent.front().id));
        sent.pop_front();
      } catch (const ProgramFailure& failure) {
        // Which of them it died of shows when they are given one by one.
        std::vector<Item> suspects;
        for (const Sent& batch : sent)
          suspects.insert(suspects.end(), batch.items.begin(), batch.items.end());
        suspects.insert(suspects.end(), items.begin(), items.end());
        sent.clear();
        note_crash(failure);
        for (const Item& item : suspects)
          score_alone(item, delivery, suspects.size() == 1 ? &failure : nullptr);
      }
    }
    delivery.finish();
  }

 private:
  struct Item {
    Sequence sequence;
    std::size_t index = 0;
  };
  struct Sent {
    std::shared_ptr<ExecProgram> program;
    std::vector<Item> items;
    std::uint64_t id = 0;
  };

  // The running program; a new one if the last has ended.
  std::shared_ptr<ExecProgram> program() const {
    const std::lock_guard lock(mutex_);
    if (!program_ || program_->ended()) {
      program_.reset();  // the old one first: it may hold a device's memory
      program_ = std::make_shared<ExecProgram>(options_, open_);
    }
    return program_;
  }

  json call(const std::string& name, json arguments) const {
    return program()->call(name, std::move(arguments));
  }

  static json score_arguments(std::span<const Item> items, bool rows) {
    json sequences = json::array();
    for (std::size_t i = 0; i < items.size(); ++i) {
      const Sequence& s = items[i].sequence;
      sequences.push_back({{"tokens", std::vector<Token>(s.tokens.begin(), s.tokens.end())},
                           {"first", s.first},
                           {"shared", items.size() == 1 ? 0 : s.shared}});
    }
    json arguments{{"sequences", std::move(sequences)}};
    if (rows) arguments["rows"] = true;
    return arguments;
  }

  void note_crash(const ProgramFailure& failure) {
    if (++crashes_ > kMostCrashes) {
      throw std::runtime_error(fmt::format("{} (it failed {} times in a row, and is not started again)",
                                           failure.what(), crashes_));
    }
  }

  // A sequence that was in flight when the program failed: once more, and then it has failed itself. `known`:
  // it was alone already.
  void score_alone(const Item& item, CheckedDelivery& delivery, const ProgramFailure* known) {
    if (known) return delivery.failed(item.index, known->what());
    try {
      const std::shared_ptr<ExecProgram> used = program();
      Sent sent{used, {item}, 0};
      sent.id = used->send("score", score_arguments(sent.items, delivery.wants_rows()));
      deliver(sent, delivery, used->receive(sent.id));
    } catch (const ProgramFailure& failure) {
      delivery.failed(item.index, failure.what());
      note_crash(failure);
    }
  }

  void deliver(const Sent& sent, CheckedDelivery& delivery, const json& reply) {
    crashes_ = 0;
    const auto fail_all = [&](const std::string& reason) {
      for (const Item& item : sent.items) delivery.failed(item.index, reason);
    };
    if (const auto error = reply.find("error"); error != reply.end()) {
      return fail_all(fmt::format("{}: {}", who_, error->get<std::string>()));
    }
    const auto results = reply.find("results");
    if (results == reply.end() || !results->is_array() || results->size() != sent.items.size()) {
      return fail_all(fmt::format("{}: a reply has no list \"results\" of {}", who_, sent.items.size()));
    }
    for (std::size_t i = 0; i < sent.items.size(); ++i) deliver(sent.items[i], (*results)[i], delivery);
  }

  void deliver(const Item& item, const json& result, CheckedDelivery& delivery) {
    std::vector<TokenScore> scores;
    try {
      if (!result.is_object()) throw std::runtime_error(fmt::format("{}: a result is no object", who_));
      if (const auto error = result.find("error"); error != result.end()) {
        throw std::runtime_error(
            fmt::format("{}: {}", who_, error->is_string() ? error->get<std::string>() : error->dump()));
      }
      const auto logprob = column<float>(result, "logprob", who_);
      const auto best_logprob = column<float>(result, "best_logprob", who_);
      const auto best = column<Token>(result, "best", who_);
      if (best_logprob.size() != logprob.size() || best.size() != logprob.size()) {
        throw std::runtime_error(
            fmt::format("{}: {} log-probabilities with {} of the best and {} best tokens", who_,
                        logprob.size(), best_logprob.size(), best.size()));
      }
      for (std::size_t k = 0; k < logprob.size(); ++k)
        scores.push_back({logprob[k], best_logprob[k], best[k]});
      if (delivery.wants_rows()) {
        const auto rows = floats_of(result.value("rows", json()), who_);
        if (rows.size() % info().vocabulary != 0) {
          throw std::runtime_error(
              fmt::format("{}: {} logits are no rows of {}", who_, rows.size(), info().vocabulary));
        }
        delivery.rows(item.index, item.sequence.first,
                      {rows.data(), rows.size() / info().vocabulary, info().vocabulary});
      }
    } catch (const std::exception& wrong) {
      return delivery.failed(item.index, wrong.what());
    }
    delivery.scored(item.index, scores);
  }

  const ExecOptions options_;
  const std::string who_;
  json open_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<ExecProgram> program_;
  DescribedModel described_;
  bool memory_ = false, normalises_ = false;
  std::size_t batch_size_ = 1;
  int crashes_ = 0;
};

// Whether /bin/sh would find it; true for what only the shell understands.
bool findable(const std::string& command) {
  const std::string word = command.substr(0, command.find_first_of(" \t"));
  if (word.find_first_of("'\"$`;&|<>(){}*?[]~=\\") != std::string::npos) return true;
  if (word.find('/') != std::string::npos) return ::access(word.c_str(), X_OK) == 0;
  const char* path = std::getenv("PATH");
  for (std::string_view rest = path ? path : ""; !rest.empty();) {
    const std::size_t end = std::min(rest.find(':'), rest.size());
    const auto file = std::filesystem::path(rest.substr(0, end)) / word;
    if (::access(file.c_str(), X_OK) == 0) return true;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  static const std::set<std::string> kBuiltIn{"exec", "cd", "test", "ulimit", "set", "export", "env", "."};
  return kBuiltIn.contains(word);
}

}  // namespace

std::unique_ptr<LanguageModel> open_exec(const std::string& words, const std::string& spec,
                                         const ModelOptions& options) {
  return std::make_unique<ExecModel>(exec_spec(words), spec, options);
}

void check_exec(const std::string& words, const std::string& spec, const ModelOptions& options) {
  const ModelSpec parsed = exec_spec(words);
  const ExecOptions exec = exec_options(parsed);
  model_options_json(spec, parsed.options, options);
  if (!findable(exec.command)) {
    throw std::runtime_error(fmt::format("model '{}': there is no program '{}'", spec,
                                         exec.command.substr(0, exec.command.find_first_of(" \t"))));
  }
}

}  // namespace deciban

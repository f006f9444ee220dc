#include "bench/point.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <new>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "bench/card_memory.h"
#include "bench/energy.h"
#include "bench/sensors.h"
#include "deciban_version.h"
#include "engine/checkpoint.h"
#include "engine/ops.h"
#include "reports/order_statistics.h"

namespace deciban {
namespace {

using nlohmann::json;

constexpr std::size_t kLeastSteps = 16, kMostSteps = 256;  // after one reading
constexpr std::size_t kWarmSteps = 2;                      // not counted

// The same seeded tokens for every model, up to its vocabulary.
std::vector<Token> some_tokens(std::size_t count, std::size_t vocabulary, std::uint64_t seed) {
  std::vector<Token> tokens(count);
  for (Token& token : tokens) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    token = static_cast<Token>((seed >> 33) % vocabulary);
  }
  return tokens;
}

// `batch` texts of length + 1 tokens whose last one is scored: all are read, and the last one's logits made.
class Texts final : public SequenceSource, public ScoreSink {
 public:
  Texts(std::size_t length, std::size_t batch, std::size_t vocabulary) {
    for (std::size_t i = 0; i < batch; ++i) texts_.push_back(some_tokens(length + 1, vocabulary, i + 1));
  }
  void rewind() {
    given_ = 0;
    failure_.clear();
  }
  bool next(Sequence& out) override {
    if (given_ == texts_.size()) return false;
    const std::vector<Token>& text = texts_[given_++];
    out = {text, text.size() - 1, 0};
    return true;
  }
  void scored(std::size_t, std::span<const TokenScore>) override {
    if (seen) seen();
  }
  void failed(std::size_t, const std::string& reason) override { failure_ = reason; }
  const std::string& failure() const { return failure_; }
  std::span<const Token> text(std::size_t i) const { return texts_[i]; }
  std::function<void()> seen;  // called while the model still holds what it computed a result with
  std::size_t bytes(const LanguageModel& model) const {
    std::size_t total = 0;
    for (const auto& text : texts_) total += model.decode({text.data(), text.size() - 1}).size();
    return total;
  }

 private:
  std::vector<std::vector<Token>> texts_;
  std::size_t given_ = 0;
  std::string failure_;
};

// What ends a point and marks it.
struct Marked {
  std::string status, reason;
};

class Measurement {
 public:
  Measurement(const PointRequest& request, const CardMemory& card, LanguageModel& model, CostPoint& point)
      : request_(request),
        card_(card),
        model_(model),
        point_(point),
        sensors_(model.info().device),
        texts_(request.length, request.batch, model.info().vocabulary),
        goal_(request.goal) {
    goal_.limit_seconds /= request.length <= request.generate ? 3 : 2;  // each of the parts below
  }

  void run() {
    texts_.seen = [this] { account(); };
    prefill();
    steps();
    if (request_.length <= request_.generate) generation();
    count("weights_bytes", static_cast<double>(most_.weights));
    count("workspace_bytes", static_cast<double>(most_.workspace));
    if (!point_.metrics.count("cache_bytes")) count("cache_bytes", static_cast<double>(most_.cache));
    if (device_bytes_ > 0) count("device_bytes", static_cast<double>(device_bytes_));
    if (taken_ > 0) {
      count("device_taken_bytes", static_cast<double>(taken_));
      count("device_accounted_bytes", static_cast<double>(most_.device));
    }
  }

 private:
  // The most of each kind that the model accounted for at any time.
  void account() {
    const MemoryUse now = model_.memory();
    most_.weights = std::max(most_.weights, now.weights);
    most_.cache = std::max(most_.cache, now.cache);
    most_.workspace = std::max(most_.workspace, now.workspace);
    const std::optional<std::uint64_t> taken = card_.taken(model_.info().device);
    device_bytes_ =
        std::max<std::uint64_t>(device_bytes_, sensors_.device_bytes().value_or(taken.value_or(now.device)));
    if (taken.value_or(0) > taken_) {  // both of one moment, so that they can be compared
      taken_ = *taken;
      most_.device = now.device;
    }
  }
  void count(const char* name, double value) { point_.metrics[name] = {value, value, value, 1}; }
  void rate(const char* name, double amount, const CostValue& seconds) {
    point_.metrics[name] = {amount / seconds.value, amount / seconds.high, amount / seconds.low,
                            seconds.samples};
  }

  void prefill() {
    const auto read = [&]() -> std::vector<double> {
      texts_.rewind();
      const double start = steady_seconds();
      model_.score(texts_, texts_);
      const double seconds = steady_seconds() - start;
      // Memory is asked for in the run that warms up: a driver takes milliseconds to answer.
      texts_.seen = {};
      if (!texts_.failure().empty()) give_up();
      return {seconds};
    };
    const CostValue seconds = median_of(sample(read, goal_, "prefill", point_.unmet, steady_seconds));
    const auto tokens = static_cast<double>(request_.length * request_.batch);
    point_.metrics["prefill_seconds"] = seconds;
    rate("prefill_tokens_per_second", tokens, seconds);
    rate("prefill_bytes_per_second", static_cast<double>(texts_.bytes(model_)), seconds);
  }

  // score() only says in words why a text failed; if it was memory, reading it once more throws so.
  [[noreturn]] void give_up() {
    const std::string reason = texts_.failure();
    if (const auto batch = model_.start_batch(1)) reach(*batch, request_.length, 1);
    throw Marked{"failed", reason};
  }

  // Brings all sequences of the batch to `length` tokens.
  void reach(Batch& batch, std::size_t length) { reach(batch, length, request_.batch); }
  void reach(Batch& batch, std::size_t length, std::size_t sequences) {
    for (std::size_t i = 0; i < sequences; ++i) batch.reset(i);
    if (length == 0) return;
    if (batch.read(0, texts_.text(0).first(length))) {
      for (std::size_t i = 1; i < sequences; ++i) batch.copy(0, i);
      return;
    }
    std::vector<TokenScore> best(sequences);
    for (std::size_t t = 0; t < length; ++t)
      batch.step_best(std::vector<Token>(sequences, texts_.text(0)[t]), best);
  }

  // Steps about `length`: half of them before, half behind.
  void steps() {
    const auto batch = model_.start_batch(request_.batch);
    if (!batch) {
      point_.unmet.push_back("step: this model only scores");
      return;
    }
    std::size_t several = std::clamp(request_.length / 8, kLeastSteps, kMostSteps);
    std::size_t before = request_.length - std::min(request_.length, several / 2);
    if (const auto limit = model_.info().context_limit) {  // near a model's end they all lie before it
      several = std::min(several, *limit - std::min(*limit - 1, kWarmSteps));
      before = std::min(before, *limit - std::min(*limit, several + kWarmSteps));
    }
    std::vector<TokenScore> best(request_.batch);
    std::vector<Token> next(request_.batch, texts_.text(0)[0]);
    Energy energy;
    std::optional<double> clock;
    const auto run = [&] {
      reach(*batch, before);
      for (std::size_t i = 0; i < kWarmSteps; ++i)
        batch->step_best(next, best);  // steps are recorded by then
      const std::optional<double> joules = sensors_.joules();
      std::vector<double> seconds = timed_steps(*batch, several, next, best);
      energy.add(joules, sensors_.joules(), several);
      clock = sensors_.clock();  // while the processor still is as busy as it was
      return seconds;
    };
    const std::vector<double> all = sample(run, goal_, "step", point_.unmet, steady_seconds);
    const CostValue seconds = median_of(all);
    const double slowest = quantile_of(all, 0.99);
    point_.metrics["step_seconds"] = seconds;
    point_.metrics["step_p99_seconds"] = {slowest, slowest, slowest, all.size()};
    rate("step_tokens_per_second", static_cast<double>(request_.batch), seconds);
    if (const auto joules = energy.of_a_step()) point_.metrics["step_joules"] = *joules;
    if (clock) count("clock_hertz", *clock);
    reach(*batch, request_.length);
    account();
    count("cache_bytes", static_cast<double>(batch->state_bytes()));
  }

  void generation() {
    const auto batch = model_.start_batch(request_.batch);
    if (!batch) return;
    std::vector<TokenScore> best(request_.batch);
    const auto run = [&]() -> std::vector<double> {
      reach(*batch, 0);
      std::vector<Token> next(request_.batch, texts_.text(0)[0]);
      const double start = steady_seconds();
      for (std::size_t t = 0; t < request_.length; ++t) {
        batch->step_best(next, best);
        for (std::size_t s = 0; s < next.size(); ++s) next[s] = best[s].best;
      }
      return {steady_seconds() - start};
    };
    point_.metrics["generation_seconds"] =
        median_of(sample(run, goal_, "generation", point_.unmet, steady_seconds));
  }

  const PointRequest& request_;
  const CardMemory& card_;
  LanguageModel& model_;
  CostPoint& point_;
  Sensors sensors_;
  Texts texts_;
  SamplingGoal goal_;
  MemoryUse most_;  // `device`: when most was taken
  std::uint64_t device_bytes_ = 0, taken_ = 0;
};

void describe(CostPoint& point, const ModelInfo& info) {
  point.model = info.name;
  point.family = info.family;
  point.device = info.device;
  point.format = info.format;
  point.kernels = info.kernels;
  point.threads = info.threads;
  point.parameters = info.parameters;
  point.width = info.width;
}

}  // namespace

std::vector<double> timed_steps(Batch& batch, std::size_t count, std::vector<Token>& next,
                                std::vector<TokenScore>& best) {
  std::vector<double> seconds;
  seconds.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const double start = steady_seconds();
    batch.step_best(next, best);
    seconds.push_back(steady_seconds() - start);
    for (std::size_t s = 0; s < next.size(); ++s) next[s] = best[s].best;
  }
  return seconds;
}

std::string to_json_line(const PointRequest& r) {
  return json{{"spec", r.spec},
              {"device", r.options.device},
              {"format", r.options.format},
              {"tokenizer", r.options.tokenizer},
              {"threads", r.options.threads},
              {"deterministic", r.options.deterministic},
              {"length", r.length},
              {"batch", r.batch},
              {"generate", r.generate},
              {"least_runs", r.goal.least_runs},
              {"least_seconds", r.goal.least_seconds},
              {"noise", r.goal.noise},
              {"limit_seconds", r.goal.limit_seconds},
              {"machine", r.machine}}
      .dump();
}

PointRequest request_from_json(const std::string& line) {
  const json j = json::parse(line);
  PointRequest r;
  r.spec = j.at("spec");
  r.options.device = j.at("device");
  r.options.format = j.at("format");
  r.options.tokenizer = j.at("tokenizer");
  r.options.threads = j.at("threads");
  r.options.deterministic = j.at("deterministic");
  r.length = j.at("length");
  r.batch = j.at("batch");
  r.generate = j.at("generate");
  r.goal.least_runs = j.at("least_runs");
  r.goal.least_seconds = j.at("least_seconds");
  r.goal.noise = j.at("noise");
  r.goal.limit_seconds = j.at("limit_seconds");
  r.machine = j.at("machine");
  return r;
}

std::string point_key(const PointRequest& r) {
  std::string identity =
      fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}", r.spec, r.options.device, r.options.format,
                  r.options.tokenizer, r.options.threads, r.options.deterministic, r.length, r.batch,
                  r.length <= r.generate, r.machine, DECIBAN_VERSION " " DECIBAN_COMMIT);
  std::error_code error;
  if (const auto time = std::filesystem::last_write_time(r.spec, error); !error) {
    identity += fmt::format("\n{}", time.time_since_epoch().count());
    if (const auto size = std::filesystem::file_size(r.spec, error); !error)
      identity += fmt::format(" {}", size);
  }
  return sha256_hex(std::as_bytes(std::span(identity)));
}

CostPoint unmeasured_point(const PointRequest& request) {
  CostPoint point;
  point.key = point_key(request);
  point.model = point.spec = request.spec;
  point.device = request.options.device;
  point.format = request.options.format;
  point.threads = request.options.threads;
  point.length = request.length;
  point.batch = request.batch;
  point.machine = request.machine;
  point.status = "failed";
  point.measured = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  return point;
}

CostPoint measure_point(const PointRequest& request, const OpenModel& open) {
  CostPoint point = unmeasured_point(request);
  const auto count = [&](const char* name, double value) { point.metrics[name] = {value, value, value, 1}; };
  try {
    if (request.length == 0 || request.batch == 0)
      throw std::invalid_argument("a point needs a length and a batch of at least 1");
    count("idle_bytes", static_cast<double>(resident_bytes()));
    const CardMemory card(request.options.device);
    const double start = steady_seconds();
    const std::unique_ptr<LanguageModel> model = open(request.spec, request.options);
    count("load_seconds", steady_seconds() - start);
    const ModelInfo& info = model->info();
    describe(point, info);
    if (info.context_limit && request.length + 1 > *info.context_limit) {
      throw Marked{"limit", fmt::format("the model reads at most {} tokens", *info.context_limit)};
    }
    Measurement(request, card, *model, point).run();
    point.status = "ok";
  } catch (const Marked& marked) {
    point.status = marked.status;
    point.reason = marked.reason;
  } catch (const OutOfDeviceMemory& error) {
    point.status = "memory";
    point.reason = error.what();
  } catch (const std::bad_alloc&) {
    point.status = "memory";
    point.reason = "not enough memory";
  } catch (const std::exception& error) {
    point.reason = error.what();
  }
  count("resident_bytes", static_cast<double>(most_resident_bytes()));
  return point;
}

}  // namespace deciban

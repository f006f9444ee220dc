// What measuring adds to what it measures: the same prompts and the same steps, by the code of `deciban
// bench` and by a bare loop with one reading of the clock before and one behind, in turns.
//
//   deciban_bench_measuring [MODEL [ROUNDS]]      random:rwkv7-0.1b,layers=2,width=192,vocab=256; 40
//
// A small model is the hard case: its steps are short.  Ratios are paired by round; the interval is that of
// their median (order statistics).
#include <fmt/format.h>

#include <cstdio>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/point.h"
#include "bench/samples.h"
#include "engine/lm.h"

namespace deciban {
namespace {

constexpr std::size_t kPrompt = 128, kPrompts = 20, kSteps = 256;

// One prompt of kPrompt tokens, whose last one is scored.
class Prompt final : public SequenceSource, public ScoreSink {
 public:
  explicit Prompt(std::size_t vocabulary) {
    for (std::size_t i = 0; i <= kPrompt; ++i) tokens_.push_back(static_cast<Token>(i * 7 % vocabulary));
  }
  void rewind() { given_ = false; }
  bool next(Sequence& out) override {
    if (given_) return false;
    given_ = true;
    out = {tokens_, kPrompt, 0};
    return true;
  }
  void scored(std::size_t, std::span<const TokenScore>) override {}
  void failed(std::size_t, const std::string& reason) override { throw std::runtime_error(reason); }

 private:
  std::vector<Token> tokens_;
  bool given_ = false;
};

struct Turn {
  double bare = 0;      // seconds of the whole loop
  double measured = 0;  // of the same work, measuring included
  double reported = 0;  // what the measurement says that a run takes, times the number of runs
};

double seconds_of(const std::function<void()>& work) {
  const double start = steady_seconds();
  work();
  return steady_seconds() - start;
}

Turn prompts(LanguageModel& model, Prompt& prompt, bool bare_first) {
  Turn turn;
  const auto read = [&] {
    prompt.rewind();
    model.score(prompt, prompt);
  };
  const auto bare = [&] {
    turn.bare = seconds_of([&] {
      for (std::size_t i = 0; i < kPrompts; ++i) read();
    });
  };
  const auto measured = [&] {
    std::vector<std::string> unmet;
    std::vector<double> samples;
    // Endless noise is allowed, so that it is as many runs; the first one warms up and is not counted.
    const SamplingGoal goal{
        .least_runs = kPrompts - 1, .least_seconds = 0, .noise = 1e9, .limit_seconds = 600};
    turn.measured = seconds_of([&] {
      samples = sample([&] { return std::vector<double>{seconds_of(read)}; }, goal, "prompt", unmet,
                       steady_seconds);
    });
    turn.reported = median_of(samples).value * kPrompts;
  };
  if (bare_first) bare();
  measured();
  if (!bare_first) bare();
  return turn;
}

Turn steps(Batch& batch, bool bare_first) {
  Turn turn;
  std::vector<Token> next{1};
  std::vector<TokenScore> best(1);
  const auto begin = [&] {
    batch.reset(0);
    next[0] = 1;
    for (int i = 0; i < 2; ++i) batch.step_best(next, best);
  };
  const auto bare = [&] {
    begin();
    turn.bare = seconds_of([&] {
      for (std::size_t i = 0; i < kSteps; ++i) {
        batch.step_best(next, best);
        next[0] = best[0].best;
      }
    });
  };
  const auto measured = [&] {
    begin();
    std::vector<double> samples;
    turn.measured = seconds_of([&] { samples = timed_steps(batch, kSteps, next, best); });
    turn.reported = median_of(samples).value * static_cast<double>(kSteps);
  };
  if (bare_first) bare();
  measured();
  if (!bare_first) bare();
  return turn;
}

void print(const char* what, std::size_t runs, const std::vector<Turn>& turns) {
  std::vector<double> added, reported, bare;
  for (const Turn& turn : turns) {
    added.push_back(turn.measured / turn.bare);
    reported.push_back(turn.reported / turn.bare);
    bare.push_back(turn.bare / static_cast<double>(runs));
  }
  const auto percent = [](const std::vector<double>& ratios) {
    const CostValue median = median_of(ratios);
    return fmt::format("{:+.2f} % [{:+.2f}, {:+.2f}]", 100 * (median.value - 1), 100 * (median.low - 1),
                       100 * (median.high - 1));
  };
  fmt::print("{:<8} {:>9.1f} µs   {:<26} {}\n", what, 1e6 * median_of(bare).value, percent(added),
             percent(reported));
}

int run(int argc, char** argv) {
  const std::string spec = argc > 1 ? argv[1] : "random:rwkv7-0.1b,layers=2,width=192,vocab=256";
  const int rounds = argc > 2 ? std::stoi(argv[2]) : 40;
  if (rounds < 6) throw std::invalid_argument("an interval needs 6 rounds at least");
  ModelOptions options;
  options.device = "cpu";
  options.threads = 1;
  const auto model = open_model(spec, options);
  const auto batch = model->start_batch(1);
  if (!batch) throw std::invalid_argument(spec + " cannot step");
  Prompt prompt(model->info().vocabulary);
  std::vector<Turn> read, stepped;
  for (int i = -1; i < rounds; ++i) {  // the first round warms up
    const Turn a = prompts(*model, prompt, i % 2 == 0), b = steps(*batch, i % 2 == 0);
    if (i < 0) continue;
    read.push_back(a);
    stepped.push_back(b);
  }
  fmt::print("{}, {} rounds, one thread\n{:<8} {:>12}   {:<26} {}\n", spec, rounds, "", "bare",
             "measuring adds", "the median reported, against the bare mean");
  print("prompt", kPrompts, read);
  print("step", kSteps, stepped);
  return 0;
}

}  // namespace
}  // namespace deciban

int main(int argc, char** argv) {
  try {
    return deciban::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "deciban_bench_measuring: {}\n", error.what());
    return 1;
  }
}

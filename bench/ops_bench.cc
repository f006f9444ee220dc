// Every operation at the sizes of RWKV-7 0.1B (with --model=1.5b: of 1.5B) on every instruction set of this
// machine: GFLOP/s, GB/s, and the share of what the machine could do at best (`roof`, above 1 where data stay
// in caches). All flags of Google Benchmark work; --threads=N uses a team of N (then by the clock, else by
// processor time).
#include <benchmark/benchmark.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "bench/roofline.h"
#include "engine/op_cases.h"

namespace deciban {
namespace {

using Act = Epilogue::Act;
using Combine = Epilogue::Combine;

struct Sizes {
  std::size_t width, ffn, w_rank, g_rank;
};
constexpr Sizes kSmall{768, 3072, 64, 128}, kMedium{2048, 8192, 96, 256};
constexpr std::size_t kVocabulary = 65536, kHead = 64;
constexpr const char* kModes[] = {"f32", "bf16", "bf16a", "f16", "int8", "int8a", "int4", "int4g64"};

// Decoding reads one row, scoring whole chunks.
std::vector<OpCase> model_cases(const Sizes& s) {
  std::vector<OpCase> cases;
  for (const std::size_t rows : {std::size_t{1}, std::size_t{16}, std::size_t{256}}) {
    const auto add = [&](OpCase c) {
      c.rows = rows;
      cases.push_back(c);
    };
    add({.op = OpKind::embed, .inputs = s.width, .outputs = 4096, .traits = kNormed});
    add({.op = OpKind::norm_mix, .inputs = s.width, .outputs = 6});
    add({.op = OpKind::norm_mix, .inputs = s.width, .outputs = 6, .mode = numeric_mode("bf16a")});
    add({.op = OpKind::wkv4, .inputs = s.width});
    add({.op = OpKind::wkv5, .inputs = s.width, .head_size = kHead, .traits = kGate | kTokenDecay});
    add({.op = OpKind::wkv7, .inputs = s.width, .head_size = kHead});
    add({.op = OpKind::norm_rows, .inputs = s.width});
    for (const char* word : kModes) {
      const NumericMode mode = numeric_mode(word);
      const unsigned narrow = mode.activations == ActivationFormat::bf16 ? kNarrow : kPlain;
      add({.op = OpKind::linear, .inputs = s.width, .outputs = s.width, .mode = mode});
      add({.op = OpKind::linear,
           .inputs = s.width,
           .outputs = s.ffn,
           .mode = mode,
           .act = Act::relu2,
           .traits = narrow});
      add({.op = OpKind::linear, .inputs = s.ffn, .outputs = s.width, .mode = mode, .combine = Combine::add});
      add({.op = OpKind::linear,
           .inputs = s.width,
           .outputs = s.w_rank,
           .mode = mode,
           .act = Act::tanh,
           .traits = narrow});
      add({.op = OpKind::linear,
           .inputs = s.w_rank,
           .outputs = s.width,
           .mode = mode,
           .act = Act::decay7,
           .traits = kBias});
      add({.op = OpKind::score_head, .inputs = s.width, .outputs = kVocabulary, .mode = mode});
    }
  }
  return cases;
}

// Inputs of the last case are kept: the next benchmark is often the same case on another instruction set.
const OpProblem& problem_of(const OpCase& c) {
  static std::string last;
  static std::unique_ptr<OpProblem> problem;
  if (name(c) != last) {
    problem.reset();
    problem = make_problem(c);
    last = name(c);
  }
  return *problem;
}

// With few rows a product is bound by reading its weights: a model's next product finds them in memory, not
// in a cache. So there are enough copies to exceed the caches, taken in turn.
std::size_t copies(const OpCase& c) {
  constexpr double kBeyondCaches = 96e6;
  if (c.op != OpKind::linear || c.rows > 16) return 1;
  return static_cast<std::size_t>(std::min(256.0, std::max(1.0, kBeyondCaches / bytes(c))));
}

// What a team is measured by: the clock; one thread alone: its processor time, which other programs do not
// disturb.
double seconds(int threads) {
  timespec t;
  clock_gettime(threads > 1 ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

void run(benchmark::State& state, const OpCase& c, const std::string& isa, int threads,
         const Roofline& roof) {
  const OpProblem& problem = problem_of(c);
  const auto backend = cpu_backend(isa);
  const auto ops = backend->open(threads);
  std::vector<std::unique_ptr<OpRun>> runs;
  for (std::size_t i = copies(c); i > 0; --i) runs.push_back(problem.bind(*backend, *ops));
  runs[0]->run();  // scratch grows once
  std::size_t next = 0;
  const double start = seconds(threads);
  for (auto _ : state) {
    runs[next]->run();
    next = next + 1 < runs.size() ? next + 1 : 0;
  }
  const double each = (seconds(threads) - start) / static_cast<double>(state.iterations());
  const auto rate = [](double amount) {
    return benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate);
  };
  state.counters["GFLOP"] = rate(flops(c) * 1e-9);  // printed per second
  state.counters["GB"] = rate(bytes(c) * 1e-9);
  state.counters["roof"] = roof.seconds(isa, c.mode, flops(c), bytes(c), threads) / each;
}

// The value of --NAME=…, taken out of the arguments; empty if it is not there.
std::string take_flag(int& argc, char** argv, const std::string& flag) {
  const std::string start = "--" + flag + "=";
  for (int i = 1; i < argc; ++i) {
    if (std::strncmp(argv[i], start.c_str(), start.size()) != 0) continue;
    const std::string value = argv[i] + start.size();
    std::move(argv + i + 1, argv + argc + 1, argv + i);
    --argc;
    return value;
  }
  return {};
}

int main_of(int argc, char** argv) {
  const std::string model = take_flag(argc, argv, "model"), team = take_flag(argc, argv, "threads");
  const int threads = team.empty() ? 1 : std::atoi(team.c_str());
  if ((!model.empty() && model != "0.1b" && model != "1.5b") || threads < 1 || threads > 1024) {
    std::fputs("usage: deciban_bench_ops [--model=0.1b|1.5b] [--threads=N] [--benchmark_filter=REGEX] …\n",
               stderr);
    return 2;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const Roofline roof(threads);
  for (const Peak& peak : roof.peaks(threads)) {
    benchmark::AddCustomContext("peak " + std::string(peak.instruction),
                                std::to_string(peak.gflops.median) + " GFLOP/s");
  }
  benchmark::AddCustomContext("reading memory", std::to_string(roof.bandwidth(threads).median) + " GB/s");
  for (const OpCase& c : model_cases(model == "1.5b" ? kMedium : kSmall)) {
    for (const std::string& isa : supported_isas()) {
      auto* entry = benchmark::RegisterBenchmark(
          (name(c) + " " + isa).c_str(),
          [=, &roof](benchmark::State& state) { run(state, c, isa, threads, roof); });
      if (threads > 1) entry->UseRealTime();
    }
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace
}  // namespace deciban

int main(int argc, char** argv) {
  try {
    return deciban::main_of(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "deciban_bench_ops: %s\n", e.what());
    return 1;
  }
}

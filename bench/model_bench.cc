// Speed of whole models: scoring (one log-probability a token) and decoding (a batch in lockstep), for any
// mix of models, numeric modes, threads and lengths; with arithmetic and reading as shares of what the
// machine can do.
//
//   deciban_bench_model --model random:rwkv7-0.1b --mode bf16a,f32 --threads 1,2 --tokens 512,1024
//
// --breakdown prints where the time goes instead: seconds by operation, and each one's share of the peak.
#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/model_cost.h"
#include "bench/roofline.h"
#include "bench/timed_ops.h"
#include "bench/turns.h"
#include "engine/lm.h"
#include "engine/ops.h"
#include "engine/random_model.h"
#include "engine/rwkv_model.h"
#include "engine/tokenizer.h"

namespace deciban {
namespace {

constexpr const char* kUsage =
    "usage: deciban_bench_model [--model SPEC,…] [--mode MODE,…] [--threads N,…] [--tokens T,…] [--sequences "
    "N]\n"
    "                           [--batch N,…] [--steps N] [--repeats N] [--clock wall|cpu] [--chunk N]\n"
    "                           [--text FILE] [--breakdown | --sparsity]\n"
    "\n"
    "  --model      checkpoints or random:SHAPE                        random:rwkv7-0.1b\n"
    "  --mode       f32, bf16, bf16a, f16, int8, int8a, int4, int4g64  bf16a\n"
    "  --threads    teams to measure                                   1\n"
    "  --tokens     lengths of the sequences scored                    512\n"
    "  --sequences  sequences scored together                          1\n"
    "  --batch      sequences decoded in lockstep; 0 to skip           1\n"
    "  --steps      tokens decoded of each                             32\n"
    "  --repeats    measurements of each, taken in turn                5\n"
    "  --clock      cpu: processor time divided by the threads, which other programs do not disturb\n"
    "  --chunk      tokens computed together; 0: the engine's choice   0\n"
    "  --text       scores the first tokens of this text, not arbitrary ones\n"
    "  --sparsity   the share of zeros that relu^2 gives the channel mixing\n"
    "  --breakdown  the time of each operation\n";

struct Options {
  std::vector<std::string> models{"random:rwkv7-0.1b"}, modes{"bf16a"};
  std::vector<int> threads{1}, tokens{512}, batches{1};
  int sequences = 1, steps = 32, repeats = 5, chunk = 0;
  bool cpu = false, breakdown = false, sparsity = false;
  std::string text;
};

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ',');) parts.push_back(part);
  return parts;
}

int number(const std::string& flag, const std::string& text, int least) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < least) {
    throw std::invalid_argument(fmt::format("{} '{}' is not a whole number from {} on", flag, text, least));
  }
  return value;
}

// A comma separates models; it also separates the parts of one random spec, which hold a '='.
std::vector<std::string> models(const std::string& text) {
  std::vector<std::string> all;
  for (const std::string& part : split(text)) {
    if (!all.empty() && part.find('=') != std::string::npos) {
      all.back() += "," + part;
    } else {
      all.push_back(part);
    }
  }
  return all;
}

Options parse(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--breakdown" || flag == "--sparsity") {
      (flag == "--breakdown" ? o.breakdown : o.sparsity) = true;
      --i;
      continue;
    }
    if (i + 1 == argc) throw std::invalid_argument(fmt::format("{} needs a value", flag));
    const std::string value = argv[i + 1];
    const auto numbers = [&](int least) {
      std::vector<int> all;
      for (const std::string& part : split(value)) all.push_back(number(flag, part, least));
      return all;
    };
    if (flag == "--model") {
      o.models = models(value);
    } else if (flag == "--mode") {
      o.modes = split(value);
      for (const std::string& mode : o.modes) numeric_mode(mode);
    } else if (flag == "--threads") {
      o.threads = numbers(1);
    } else if (flag == "--tokens") {
      o.tokens = numbers(2);
    } else if (flag == "--batch") {
      o.batches = numbers(0);
    } else if (flag == "--sequences") {
      o.sequences = number(flag, value, 1);
    } else if (flag == "--steps") {
      o.steps = number(flag, value, 1);
    } else if (flag == "--text") {
      std::ifstream file(value, std::ios::binary);
      o.text.assign(std::istreambuf_iterator<char>(file), {});
      if (o.text.empty())
        throw std::invalid_argument(fmt::format("--text '{}' cannot be read or is empty", value));
    } else if (flag == "--chunk") {
      o.chunk = number(flag, value, 0);
    } else if (flag == "--repeats") {
      o.repeats = number(flag, value, 1);
    } else if (flag == "--clock" && (value == "wall" || value == "cpu")) {
      o.cpu = value == "cpu";
    } else {
      throw std::invalid_argument(fmt::format("unknown argument '{} {}'", flag, value));
    }
  }
  return o;
}

// Seconds of a piece of work, by the clock or by the processor time of all the process's threads a thread.
class Stopwatch {
 public:
  Stopwatch(bool cpu, int threads) : cpu_(cpu), threads_(threads), start_(now()) {}
  double seconds() const { return (now() - start_) / (cpu_ ? threads_ : 1); }

 private:
  double now() const {
    timespec t;
    clock_gettime(cpu_ ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
  }
  bool cpu_;
  int threads_;
  double start_;
};

// This process's peak of resident memory since reset.
void reset_peak_memory() { std::ofstream("/proc/self/clear_refs") << "5"; }
double peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) * 1024;
  }
  return 0;
}

Token some_token(std::size_t i, std::size_t vocabulary) {
  return static_cast<Token>((i * 2654435761u + 12345) % vocabulary);
}

class Sequences final : public SequenceSource {
 public:
  Sequences(int count, const std::vector<Token>& tokens) : left_(count), tokens_(tokens) {}
  bool next(Sequence& out) override {
    if (left_ == 0) return false;
    --left_;
    out = {tokens_, 1, 0};
    return true;
  }

 private:
  int left_;
  const std::vector<Token>& tokens_;
};

class Counter final : public ScoreSink {
 public:
  void scored(std::size_t, std::span<const TokenScore> scores) override { count += scores.size(); }
  void failed(std::size_t, const std::string& reason) override { throw std::runtime_error(reason); }
  std::size_t count = 0;
};

// One configuration, in a process of its own.  Lines: "open", "score TOKENS", "decode BATCH".
class Configuration {
 public:
  // With a sheet, every operation's time is noted there.
  Configuration(std::string model, std::string mode, int threads, const Options& o,
                TimeSheet* sheet = nullptr)
      : spec_(std::move(model)), mode_(std::move(mode)), threads_(threads), o_(o), sheet_(sheet) {}

  std::string answer(const std::string& line) {
    std::istringstream in(line);
    std::string word;
    int size = 0;
    in >> word >> size;
    if (word == "open") {
      ModelOptions options;
      options.format = mode_;
      options.threads = threads_;
      options.chunk_rows = static_cast<std::size_t>(o_.chunk);
      model_ = sheet_ == nullptr ? open_model(spec_, options) : open_timed(options);
      const std::uint64_t weights = model_->memory().weights;
      return fmt::format("{} {}", model_->info().kernels, weights);
    }
    reset_peak_memory();
    const double seconds = word == "score" ? score(size) : decode(size);
    return fmt::format("{} {}", seconds, peak_memory());
  }

 private:
  std::unique_ptr<LanguageModel> open_timed(const ModelOptions& options) const {
    return load_rwkv(model_weights(spec_), byte_tokenizer(),
                     std::make_unique<TimedBackend>(cpu_backend(), *sheet_), mode_, options, {});
  }

  double score(int length) {
    std::vector<Token> tokens(length);
    if (o_.text.empty()) {
      for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = some_token(i, model_->info().vocabulary);
    } else {
      std::vector<Token> all = model_->encode(o_.text);
      if (all.size() < tokens.size())
        throw std::runtime_error(fmt::format("the text has only {} tokens", all.size()));
      std::copy_n(all.begin(), tokens.size(), tokens.begin());
    }
    Sequences source(o_.sequences, tokens);
    Counter sink;
    const Stopwatch watch(o_.cpu, threads_);
    model_->score(source, sink);
    const double seconds = watch.seconds();
    if (sink.count != (tokens.size() - 1) * o_.sequences)
      throw std::runtime_error("not all tokens were scored");
    return seconds;
  }

  double decode(int size) {
    const std::unique_ptr<Batch> batch = model_->start_batch(size);
    if (!batch) throw std::runtime_error("this model cannot decode");
    std::vector<Token> tokens(size);
    const auto step = [&](std::size_t i) {
      for (std::size_t s = 0; s < tokens.size(); ++s)
        tokens[s] = some_token(i + 977 * s, model_->info().vocabulary);
      batch->step(tokens);
    };
    if (sheet_ != nullptr) sheet_->pause(true);
    step(0);  // memory is met for the first time
    if (sheet_ != nullptr) sheet_->pause(false);
    const Stopwatch watch(o_.cpu, threads_);
    for (int i = 1; i <= o_.steps; ++i) step(i);
    return watch.seconds();
  }

  std::string spec_, mode_;
  int threads_;
  const Options& o_;
  TimeSheet* sheet_;
  std::unique_ptr<LanguageModel> model_;
};

struct Entry {
  std::string model, mode;
  int threads;
  Turn turn;
  std::string kernels = {};
  double weight_bytes = 0;
};
// One line of the table.
struct Cell {
  Entry* entry;
  bool decode;
  int size;  // tokens of a sequence, or sequences of a batch
  std::vector<double> seconds = {};
  double memory = 0;
};

void measure(Cell& cell) {
  std::istringstream in(
      cell.entry->turn.ask(fmt::format("{} {}", cell.decode ? "decode" : "score", cell.size)));
  double seconds = 0, memory = 0;
  in >> seconds >> memory;
  cell.seconds.push_back(seconds);
  cell.memory = std::max(cell.memory, memory);
}

void print(const std::vector<Cell>& cells, const Options& o, const Roofline& roof) {
  std::size_t width = 5;
  for (const Cell& cell : cells) width = std::max(width, cell.entry->model.size());
  fmt::print(
      "\n{:<{}}  mode   kernels     thr  work         tok/s  range              GFLOP/s  peak   GB/s  "
      "reading  RSS MiB\n",
      "model", width);
  for (const Cell& cell : cells) {
    const Entry& e = *cell.entry;
    const RwkvShape shape = model_shape(e.model);
    const double tokens =
        cell.decode ? static_cast<double>(o.steps) * cell.size : static_cast<double>(o.sequences) * cell.size;
    std::vector<double> rates;
    for (const double seconds : cell.seconds) rates.push_back(tokens / seconds);
    const Rate rate = summarise(std::move(rates));
    const double gflops = rate.median * flops_per_token(shape) * 1e-9;
    const double peak = roof.peak(e.kernels, numeric_mode(e.mode), e.threads).gflops.median;
    fmt::print(
        "{:<{}}  {:<5}  {:<10}  {:>3}  {:<6} {:>5}  {:>7.1f}  {:>7.1f} - {:<7.1f}  {:>7.1f}  {:>3.0f}%",
        e.model, width, e.mode, e.kernels, e.threads, cell.decode ? "decode" : "score", cell.size,
        rate.median, rate.low, rate.high, gflops, 100 * gflops / peak);
    if (cell.decode) {  // every step reads all weights, and reads and writes the states
      const double bytes =
          (e.weight_bytes + 8 * state_floats(shape) * cell.size) * rate.median / cell.size * 1e-9;
      fmt::print("  {:>5.1f}  {:>6.0f}%", bytes, 100 * bytes / roof.bandwidth(e.threads).median);
    } else {
      fmt::print("  {:>5}  {:>7}", "", "");
    }
    fmt::print("  {:>7.0f}\n", cell.memory / (1 << 20));
  }
}

// What more threads bring, by the rounds' median, beside what they bring the multiply-adds alone: what is
// missing there (shared clocks, other programs) no engine can have.
void print_scaling(const std::vector<Cell>& cells, const Roofline& roof) {
  for (const Cell& one : cells) {
    const Entry& e = *one.entry;
    if (e.threads != 1) continue;
    for (const Cell& many : cells) {
      const Entry& m = *many.entry;
      if (m.threads == 1 || m.model != e.model || m.mode != e.mode || many.decode != one.decode ||
          many.size != one.size) {
        continue;
      }
      std::vector<double> ratios;
      for (std::size_t i = 0; i < one.seconds.size(); ++i) {
        ratios.push_back(one.seconds[i] / many.seconds[i]);
      }
      const Rate ratio = summarise(std::move(ratios));
      const NumericMode mode = numeric_mode(m.mode);
      const double peaks =
          roof.peak(m.kernels, mode, m.threads).gflops.median / roof.peak(m.kernels, mode).gflops.median;
      fmt::print(
          "{} {} {} {}: {} threads give {:.2f} times one ({:.2f} - {:.2f}), the peak {:.2f} times: {:.2f} of "
          "it\n",
          m.model, m.mode, many.decode ? "decode" : "score", many.size, m.threads, ratio.median, ratio.low,
          ratio.high, peaks, ratio.median / peaks);
    }
  }
}

void print(const TimeSheet& sheet, double seconds, double peak) {
  double noted = 0;
  const std::vector<OpTime> all = sheet.by_seconds();
  for (const OpTime& op : all) noted += op.seconds;
  fmt::print("  {:<30}  {:>7}  {:>9}  {:>6}  {:>8}  {:>5}\n", "operation", "calls", "ms", "time", "GFLOP/s",
             "peak");
  for (const OpTime& op : all) {
    fmt::print("  {:<30}  {:>7}  {:>9.2f}  {:>5.1f}%", op.what, op.calls, 1e3 * op.seconds,
               100 * op.seconds / seconds);
    if (op.flops > 0) {
      fmt::print("  {:>8.1f}  {:>4.0f}%", op.flops / op.seconds * 1e-9,
                 100 * op.flops / op.seconds * 1e-9 / peak);
    }
    fmt::print("\n");
  }
  fmt::print("  {:<30}  {:>7}  {:>9.2f}  {:>5.1f}%\n", "between operations", "", 1e3 * (seconds - noted),
             100 * (seconds - noted) / seconds);
}

// Where the time of each configuration goes, summed over the repeats.  Sequences are scored one after the
// other, so that only one stream of operations runs at a time.
void break_down(const Options& o) {
  const Roofline roof(*std::max_element(o.threads.begin(), o.threads.end()));
  for (const std::string& model : o.models) {
    for (const std::string& mode : o.modes) {
      for (const int threads : o.threads) {
        TimeSheet sheet;
        Configuration configuration(model, mode, threads, o, &sheet);
        std::string kernels;
        std::istringstream(configuration.answer("open")) >> kernels;
        const double peak = roof.peak(kernels, numeric_mode(mode), threads).gflops.median;
        const auto work = [&](const std::string& word, int size) {
          configuration.answer(fmt::format("{} {}", word, size));  // warms up
          sheet.clear();
          double total = 0;
          for (int i = 0; i < o.repeats; ++i) {
            double seconds = 0;
            std::istringstream(configuration.answer(fmt::format("{} {}", word, size))) >> seconds;
            total += seconds;
          }
          fmt::print("\n{} {}, {} threads, {} {}: {:.2f} ms each time, {} times\n", model, mode, threads,
                     word, size, 1e3 * total / o.repeats, o.repeats);
          print(sheet, total, peak);
        };
        for (const int tokens : o.tokens) work("score", tokens);
        for (const int batch : o.batches) {
          if (batch > 0) work("decode", batch);
        }
      }
    }
  }
}

void print_sparsity(const Options& o) {
  for (const std::string& model : o.models) {
    for (const std::string& mode : o.modes) {
      TimeSheet sheet;
      sheet.count_zeros();
      Configuration configuration(model, mode, o.threads[0], o, &sheet);
      configuration.answer("open");
      configuration.answer(fmt::format("score {}", o.tokens[0]));
      const Zeros zeros = sheet.zeros();
      fmt::print("{} {}: {:.1f}% of the {:.0f} inputs of the channel mixing's second product are zero\n",
                 model, mode, 100 * zeros.zeros / zeros.all, zeros.all);
    }
  }
}

int main_of(int argc, char** argv) {
  if (argc == 2 && (std::string(argv[1]) == "--help" || std::string(argv[1]) == "-h")) {
    std::fputs(kUsage, stdout);
    return 0;
  }
  Options o;
  try {
    o = parse(argc, argv);
    for (const std::string& model : o.models) model_shape(model);
  } catch (const std::invalid_argument& e) {
    fmt::print(stderr, "deciban_bench_model: {}\n\n{}", e.what(), kUsage);
    return 2;
  }
  if (o.sparsity) {
    print_sparsity(o);
    return 0;
  }
  if (o.breakdown) {
    break_down(o);
    return 0;
  }
  std::vector<std::unique_ptr<Entry>> entries;
  for (const std::string& model : o.models) {
    for (const std::string& mode : o.modes) {
      for (const int threads : o.threads) {
        auto configuration = std::make_shared<Configuration>(model, mode, threads, o);
        entries.push_back(std::make_unique<Entry>(
            Entry{model, mode, threads,
                  Turn([configuration](const std::string& line) { return configuration->answer(line); })}));
      }
    }
  }
  const Roofline roof(*std::max_element(o.threads.begin(), o.threads.end()));
  for (const int n : o.threads) {
    for (const Peak& peak : roof.peaks(n))
      fmt::print("{:<20} {:>2} threads  {:>7.1f} GFLOP/s\n", peak.instruction, n, peak.gflops.median);
    fmt::print("{:<20} {:>2} threads  {:>7.1f} GB/s\n", "reading", n, roof.bandwidth(n).median);
  }
  std::fflush(stdout);

  std::vector<Cell> cells;
  for (const auto& entry : entries) {
    std::istringstream in(entry->turn.ask("open"));
    in >> entry->kernels >> entry->weight_bytes;
    for (const int tokens : o.tokens) cells.push_back({entry.get(), false, tokens});
    for (const int batch : o.batches) {
      if (batch > 0) cells.push_back({entry.get(), true, batch});
    }
  }
  for (Cell& cell : cells) measure(cell);  // a first round warms up and does not count
  for (Cell& cell : cells) cell.seconds.clear();
  for (int i = 0; i < o.repeats; ++i) {  // in turn, so that a slow minute hits all alike
    if (::isatty(STDERR_FILENO)) fmt::print(stderr, "round {} of {}\r", i + 1, o.repeats);
    for (Cell& cell : cells) measure(cell);
  }
  print(cells, o, roof);
  print_scaling(cells, roof);
  return 0;
}

}  // namespace
}  // namespace deciban

int main(int argc, char** argv) {
  try {
    return deciban::main_of(argc, argv);
  } catch (const std::exception& e) {
    fmt::print(stderr, "deciban_bench_model: {}\n", e.what());
    return 1;
  }
}

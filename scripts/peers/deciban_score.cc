// Times deciban's engine with the commands of llama/llama_score.cc (see there): score, decode, memory.
//
//   deciban_score MODEL TOKENS.txt --threads N --format F [--tokenizer FILE] [--copies N]
//
// MODEL is anything open_model() takes.  --copies scores so many equal sequences in one call (tokens are
// counted for all, the log-probability is of one).
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/lm.h"

namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Processor seconds of all threads: what other programs of the machine do not disturb.
double processor() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

class Source : public deciban::SequenceSource {
 public:
  Source(std::span<const deciban::Token> tokens, int copies) : tokens_(tokens), left_(copies) {}
  bool next(deciban::Sequence& out) override {
    if (left_-- <= 0) return false;
    out = {tokens_, 1, 0};
    return true;
  }

 private:
  std::span<const deciban::Token> tokens_;
  int left_;
};

class Sum : public deciban::ScoreSink {
 public:
  void scored(std::size_t, std::span<const deciban::TokenScore> scores) override {
    total = 0;
    for (const deciban::TokenScore& score : scores) total += score.logprob;
  }
  void failed(std::size_t, const std::string& reason) override { throw std::runtime_error(reason); }
  double total = 0;
};

std::string option(int argc, char** argv, const std::string& name, const std::string& otherwise) {
  for (int i = 3; i + 1 < argc; ++i) {
    if (argv[i] == name) return argv[i + 1];
  }
  return otherwise;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 3) throw std::runtime_error("usage: deciban_score MODEL TOKENS --threads N --format F");
  std::vector<deciban::Token> tokens;
  std::ifstream in(argv[2]);
  for (int id; in >> id;) tokens.push_back(id);
  if (tokens.empty()) throw std::runtime_error(std::string(argv[2]) + " has no token ids");
  deciban::ModelOptions options;
  options.device = "cpu";
  options.format = option(argc, argv, "--format", "f32");
  options.tokenizer = option(argc, argv, "--tokenizer", "auto");
  options.threads = std::stoi(option(argc, argv, "--threads", "1"));
  const int copies = std::stoi(option(argc, argv, "--copies", "1"));
  const double opened = now();
  const auto model = deciban::open_model(argv[1], options);
  std::printf("{\"ready\": true, \"kernels\": \"%s\", \"format\": \"%s\", \"open_seconds\": %.3f}\n",
              model->info().kernels.c_str(), model->info().format.c_str(), now() - opened);
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string command;
    std::size_t n = 0, sequences = 1;
    words >> command >> n >> sequences;
    sequences = std::max<std::size_t>(sequences, 1);
    if (command == "score") {
      if (n > tokens.size()) throw std::runtime_error("too few token ids");
      Source source({tokens.data(), n}, copies);
      Sum sum;
      const double start = now(), used = processor();
      model->score(source, sum);
      std::printf("{\"seconds\": %.6f, \"processor\": %.6f, \"tokens\": %zu, \"logprob\": %.6f}\n",
                  now() - start, processor() - used, n * static_cast<std::size_t>(copies), sum.total);
    } else if (command == "decode") {
      const auto batch = model->start_batch(sequences);
      std::vector<deciban::Token> step(sequences);
      const double start = now(), used = processor();
      for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t s = 0; s < sequences; ++s) step[s] = tokens[(i + s * 7) % tokens.size()];
        batch->step(step);
      }
      std::printf("{\"seconds\": %.6f, \"processor\": %.6f, \"tokens\": %zu}\n", now() - start,
                  processor() - used, n * sequences);
    } else if (command == "memory") {
      rusage usage;
      getrusage(RUSAGE_SELF, &usage);
      std::printf("{\"peak_mib\": %.1f}\n", static_cast<double>(usage.ru_maxrss) / 1024);
    } else {
      throw std::runtime_error("unknown command '" + command + "'");
    }
    std::fflush(stdout);
  }
} catch (const std::exception& error) {
  std::fprintf(stderr, "deciban_score: %s\n", error.what());
  return 1;
}

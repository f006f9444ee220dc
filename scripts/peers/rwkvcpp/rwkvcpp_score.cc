// Times rwkv.cpp on the work of scoring, with the commands of ../llama/llama_score.cc (score, memory).
//
//   rwkvcpp_score MODEL.bin TOKENS.txt --threads N
//
// Its sequence mode gives the logits of the last token alone, so that every scored token is a call of its
// own.
#include <rwkv.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Processor seconds of all threads.
double processor() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

float log_probability(const std::vector<float>& logits, std::size_t target) {
  const float top = *std::max_element(logits.begin(), logits.end());
  float sum = 0;
  for (const float logit : logits) sum += std::exp(logit - top);
  return logits[target] - top - std::log(sum);
}

// Sum of log p of tokens 1…length-1 from a fresh state.
double score(rwkv_context* model, const std::vector<unsigned>& tokens, std::size_t length) {
  if (length > tokens.size()) throw std::runtime_error("too few token ids");
  std::vector<float> state(rwkv_get_state_len(model)), logits(rwkv_get_logits_len(model));
  double sum = 0;
  for (std::size_t i = 0; i + 1 < length; ++i) {
    const float* before = i == 0 ? nullptr : state.data();
    if (!rwkv_eval(model, tokens[i], before, state.data(), logits.data()))
      throw std::runtime_error("rwkv_eval failed");
    sum += log_probability(logits, tokens[i + 1]);
  }
  return sum;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 5 || std::string(argv[3]) != "--threads")
    throw std::runtime_error("usage: rwkvcpp_score MODEL TOKENS --threads N");
  std::vector<unsigned> tokens;
  std::ifstream in(argv[2]);
  for (unsigned id; in >> id;) tokens.push_back(id);
  rwkv_context* model = rwkv_init_from_file(argv[1], static_cast<unsigned>(std::atoi(argv[4])), 0);
  if (model == nullptr) throw std::runtime_error(std::string(argv[1]) + " was not loaded");
  std::puts("{\"ready\": true}");
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string command;
    std::size_t n = 0;
    words >> command >> n;
    if (command == "score") {
      const double start = now(), used = processor();
      const double sum = score(model, tokens, n);
      std::printf("{\"seconds\": %.6f, \"processor\": %.6f, \"tokens\": %zu, \"logprob\": %.6f}\n",
                  now() - start, processor() - used, n, sum);
    } else if (command == "memory") {
      rusage usage;
      getrusage(RUSAGE_SELF, &usage);
      std::printf("{\"peak_mib\": %.1f}\n", static_cast<double>(usage.ru_maxrss) / 1024);
    } else {
      throw std::runtime_error("unknown command '" + command + "'");
    }
    std::fflush(stdout);
  }
  rwkv_free(model);
} catch (const std::exception& error) {
  std::fprintf(stderr, "rwkvcpp_score: %s\n", error.what());
  return 1;
}

// Times llama.cpp on the work of scoring: logits of all positions, log-softmax and gather in f32; and
// decoding.
//
//   llama_score MODEL.gguf TOKENS.txt --threads N [--chunk TOKENS] [--sequences N] [--context N]
//
// TOKENS.txt holds token ids.  --context bounds the cache of a transformer (all sequences together).  --chunk
// is how many tokens one llama_decode takes (their logits are read before the next; llama.cpp computes them
// as one ubatch).  Commands come on stdin, each is answered by one line of JSON:
//   score T       reads the first T tokens from a fresh state, sums log p(token 1…T-1)
//   logits T      the same without the log-softmax
//   decode N B    N steps of B sequences in lockstep, one token each
//   memory        peak resident set of the process
#include <llama.h>
#include <omp.h>
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

// Processor seconds of all threads: what other programs of the machine do not disturb.
double processor() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// log p of `target` under softmax(logits).  Compiled for this machine with reassociation, so both loops are
// vectors.
__attribute__((optimize("O3,fast-math"))) float log_probability(const float* logits, int n, int target) {
  float top = logits[0];
  for (int i = 1; i < n; ++i) top = std::max(top, logits[i]);
  float sum = 0;
  for (int i = 0; i < n; ++i) sum += std::exp(logits[i] - top);
  return logits[target] - top - std::log(sum);
}

class Peer {
 public:
  Peer(const char* path, const char* token_path, int threads, int chunk, int sequences, int context)
      : threads_(threads), chunk_(chunk) {
    std::ifstream in(token_path);
    for (int id; in >> id;) tokens_.push_back(id);
    if (tokens_.empty()) throw std::runtime_error(std::string(token_path) + " has no token ids");
    llama_log_set(
        [](ggml_log_level level, const char* text, void*) {
          if (level >= GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
        },
        nullptr);
    llama_backend_init();
    llama_model_params model_params = llama_model_default_params();
    model_params.n_gpu_layers = 0;
    model_ = llama_model_load_from_file(path, model_params);
    if (model_ == nullptr) throw std::runtime_error(std::string(path) + " was not loaded");
    llama_context_params params = llama_context_default_params();
    params.n_ctx = static_cast<uint32_t>(context);
    params.n_batch = params.n_ubatch = static_cast<uint32_t>(std::max(chunk, sequences));
    params.n_seq_max = static_cast<uint32_t>(sequences);
    params.n_threads = params.n_threads_batch = threads;
    params.no_perf = true;
    context_ = llama_init_from_model(model_, params);
    if (context_ == nullptr) throw std::runtime_error("no context");
    vocabulary_ = llama_vocab_n_tokens(llama_model_get_vocab(model_));
    batch_ = llama_batch_init(std::max(chunk, sequences), 0, 1);
  }
  ~Peer() {
    llama_batch_free(batch_);
    llama_free(context_);
    llama_model_free(model_);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // Sum of log p of tokens 1…length-1, or 0 if they are not asked for.
  double score(int length, bool probabilities) {
    if (length > static_cast<int>(tokens_.size())) throw std::runtime_error("too few token ids");
    llama_memory_clear(llama_get_memory(context_), true);
    double sum = 0;
    std::vector<float> found(static_cast<std::size_t>(chunk_));
    for (int at = 0; at < length; at += chunk_) {
      const int n = std::min(chunk_, length - at);
      batch_.n_tokens = 0;
      for (int i = 0; i < n; ++i) add(tokens_[at + i], at + i, 0);
      run();
      const float* logits = llama_get_logits(context_);
      if (!probabilities) continue;
      const int last = std::min(n, length - 1 - at);
#pragma omp parallel for num_threads(threads_) schedule(static)
      for (int i = 0; i < last; ++i) {
        found[i] = log_probability(logits + static_cast<std::size_t>(i) * vocabulary_, vocabulary_,
                                   tokens_[at + i + 1]);
      }
      for (int i = 0; i < last; ++i) sum += found[i];
    }
    return sum;
  }

  void decode(int steps, int sequences) {
    llama_memory_clear(llama_get_memory(context_), true);
    for (int step = 0; step < steps; ++step) {
      batch_.n_tokens = 0;
      for (int s = 0; s < sequences; ++s) add(tokens_[(step + s * 7) % tokens_.size()], step, s);
      run();
    }
  }

 private:
  void add(llama_token token, int position, int sequence) {
    const int i = batch_.n_tokens++;
    batch_.token[i] = token;
    batch_.pos[i] = position;
    batch_.n_seq_id[i] = 1;
    batch_.seq_id[i][0] = sequence;
    batch_.logits[i] = 1;
  }
  void run() {
    if (llama_decode(context_, batch_) != 0) throw std::runtime_error("llama_decode failed");
  }

  int threads_, chunk_, vocabulary_;
  std::vector<llama_token> tokens_;
  llama_model* model_;
  llama_context* context_;
  llama_batch batch_;
};

int option(int argc, char** argv, const std::string& name, int otherwise) {
  for (int i = 3; i + 1 < argc; ++i) {
    if (argv[i] == name) return std::atoi(argv[i + 1]);
  }
  return otherwise;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 3)
    throw std::runtime_error("usage: llama_score MODEL TOKENS --threads N [--chunk N] [--sequences N]");
  const int threads = option(argc, argv, "--threads", 1);
  omp_set_num_threads(threads);
  Peer peer(argv[1], argv[2], threads, option(argc, argv, "--chunk", 512),
            option(argc, argv, "--sequences", 1), option(argc, argv, "--context", 1 << 20));
  std::puts("{\"ready\": true}");
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string command;
    int n = 0, sequences = 1;
    words >> command >> n >> sequences;
    const double start = now(), used = processor();
    if (command == "score" || command == "logits") {
      const double sum = peer.score(n, command == "score");
      std::printf("{\"seconds\": %.6f, \"processor\": %.6f, \"tokens\": %d, \"logprob\": %.6f}\n",
                  now() - start, processor() - used, n, sum);
    } else if (command == "decode") {
      peer.decode(n, std::max(sequences, 1));
      std::printf("{\"seconds\": %.6f, \"processor\": %.6f, \"tokens\": %d}\n", now() - start,
                  processor() - used, n * std::max(sequences, 1));
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
  std::fprintf(stderr, "llama_score: %s\n", error.what());
  return 1;
}

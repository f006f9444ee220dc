// Speed of whole models on CUDA devices: scoring many documents (all positions) and decoding a batch in
// lockstep, with shares of what the card can do; or the operation of attention alone.
//
//   deciban_bench_cuda --model random:rwkv7-0.1b,random:rwkv7-1.5b --documents 64 --tokens 1024,4096 --batch
//   1,256
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/cuda_attention.h"
#include "bench/model_cost.h"
#include "engine/cuda_module.h"
#include "engine/lm.h"
#include "engine/ops.h"

namespace deciban {
namespace {

constexpr const char* kUsage =
    "usage: deciban_bench_cuda [OPTION VALUE]…\n"
    "\n"
    "  --model          checkpoints or random:SHAPE, separated by commas   random:rwkv7-0.1b\n"
    "  --mode           auto, f32, bf16a, int8, int4, fp8 …                auto\n"
    "  --device         cuda, cuda:1, cuda:0,1                             cuda\n"
    "  --deterministic  yes or no                                          no\n"
    "  --documents      documents scored together; 0 to skip               64\n"
    "  --tokens         lengths of the documents                           1024\n"
    "  --mixed          yes: lengths from a quarter to all of --tokens     no\n"
    "  --batch          sequences decoded in lockstep; 0 to skip           1,256\n"
    "  --steps          tokens decoded of each                             64\n"
    "  --chunk          tokens computed together; 0: the engine's choice   0\n"
    "  --context        tokens that each has read before                   0\n"
    "  --attention      lengths to time attention alone at, and no models\n"
    "  --head-size      sizes of its heads                                 64,128\n"
    "  --kv-share       query heads of a head of keys                      1\n"
    "  --repeats        measurements of each; the best counts              3\n"
    "  --tflops         the card's bf16 products, TFLOP/s                  by its name\n"
    "  --bandwidth      its memory's, GB/s                                 by its name\n"
    "  --json           also write the results to this file\n";

struct Options {
  std::vector<std::string> models{"random:rwkv7-0.1b"}, modes{"auto"};
  std::string device = "cuda", json;
  bool deterministic = false, mixed = false;
  std::vector<int> documents{64}, tokens{1024}, batches{1, 256};
  std::vector<int> attention, head_sizes{64, 128};
  int steps = 64, repeats = 3, chunk = 0, context = 0, kv_share = 1;
  double tflops = 0, bandwidth = 0;
};

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ',');) parts.push_back(part);
  return parts;
}

// A comma separates models; it also separates the parts of one random spec, which hold a '='.
std::vector<std::string> models(const std::string& text) {
  std::vector<std::string> all;
  for (const std::string& part : split(text)) {
    if (part.find('=') != std::string::npos && !all.empty()) {
      all.back() += "," + part;
    } else {
      all.push_back(part);
    }
  }
  return all;
}

int number(const std::string& flag, const std::string& text, int least) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < least) {
    throw std::invalid_argument(fmt::format("{} '{}' is not a whole number from {} on", flag, text, least));
  }
  return value;
}

std::vector<int> numbers(const std::string& flag, const std::string& text, int least) {
  std::vector<int> all;
  for (const std::string& part : split(text)) all.push_back(number(flag, part, least));
  return all;
}

double rate(const std::string& flag, const std::string& text) {
  try {
    return std::stod(text);
  } catch (const std::exception&) {
    throw std::invalid_argument(fmt::format("{} '{}' is not a number", flag, text));
  }
}

bool yes(const std::string& flag, const std::string& text) {
  if (text != "yes" && text != "no") throw std::invalid_argument(fmt::format("{} is yes or no", flag));
  return text == "yes";
}

Options parse(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; i += 2) {
    const std::string flag = argv[i];
    if (i + 1 == argc) throw std::invalid_argument(fmt::format("{} needs a value", flag));
    const std::string value = argv[i + 1];
    if (flag == "--model") {
      o.models = models(value);
    } else if (flag == "--mode") {
      o.modes = split(value);
    } else if (flag == "--device") {
      o.device = value;
    } else if (flag == "--deterministic") {
      o.deterministic = yes(flag, value);
    } else if (flag == "--mixed") {
      o.mixed = yes(flag, value);
    } else if (flag == "--documents") {
      o.documents = numbers(flag, value, 0);
    } else if (flag == "--tokens") {
      o.tokens = numbers(flag, value, 2);
    } else if (flag == "--batch") {
      o.batches = numbers(flag, value, 0);
    } else if (flag == "--steps") {
      o.steps = number(flag, value, 1);
    } else if (flag == "--context") {
      o.context = number(flag, value, 0);
    } else if (flag == "--attention") {
      o.attention = numbers(flag, value, 1);
    } else if (flag == "--head-size") {
      o.head_sizes = numbers(flag, value, 2);
    } else if (flag == "--kv-share") {
      o.kv_share = number(flag, value, 1);
    } else if (flag == "--repeats") {
      o.repeats = number(flag, value, 1);
    } else if (flag == "--chunk") {
      o.chunk = number(flag, value, 0);
    } else if (flag == "--tflops") {
      o.tflops = rate(flag, value);
    } else if (flag == "--bandwidth") {
      o.bandwidth = rate(flag, value);
    } else if (flag == "--json") {
      o.json = value;
    } else {
      throw std::invalid_argument(fmt::format("unknown argument '{}'", flag));
    }
  }
  return o;
}

// What cards did at best when they were measured: bf16 products of the best size, and copying.
struct Ceiling {
  std::string_view name;
  double tflops, bandwidth;
};
constexpr Ceiling kCeilings[] = {{"H100", 801, 2886}, {"H200", 801, 4000}};

void add_ceiling(Options& o) {
  const std::string name = cuda_devices().front().name;
  for (const Ceiling& c : kCeilings) {
    if (name.find(c.name) == std::string::npos) continue;
    if (o.tflops == 0) o.tflops = c.tflops;
    if (o.bandwidth == 0) o.bandwidth = c.bandwidth;
  }
}

Token some_token(std::size_t i, std::size_t vocabulary) {
  return static_cast<Token>((i * 2654435761u + 12345) % vocabulary);
}

class Documents final : public SequenceSource {
 public:
  explicit Documents(const std::vector<std::vector<Token>>& texts) : texts_(texts) {}
  bool next(Sequence& out) override {
    if (next_ == texts_.size()) return false;
    out = {texts_[next_++], 1, 0};
    return true;
  }

 private:
  const std::vector<std::vector<Token>>& texts_;
  std::size_t next_ = 0;
};

class Counter final : public ScoreSink {
 public:
  void scored(std::size_t, std::span<const TokenScore> scores) override { count += scores.size(); }
  void failed(std::size_t, const std::string& reason) override { throw std::runtime_error(reason); }
  std::size_t count = 0;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Best seconds of all repeats of the work, after one that does not count.
template <typename Work>
double best_seconds(int repeats, const Work& work) {
  double best = 1e300;
  work();
  for (int i = 0; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    work();
    best = std::min(best, seconds_since(start));
  }
  return best;
}

class Bench {
 public:
  Bench(const std::string& spec, const std::string& mode, const Options& o) : o_(o), spec_(spec) {
    ModelOptions options;
    options.device = o.device;
    options.format = mode;
    options.deterministic = o.deterministic;
    options.chunk_rows = static_cast<std::size_t>(o.chunk);
    const auto start = std::chrono::steady_clock::now();
    model_ = open_model(spec, options);
    find_cost();
    load_ = seconds_since(start);
  }

  // Elements of all matrices that a token is multiplied with, the weights that a step does not read, and the
  // floats that it reads and writes besides.
  void find_cost() {
    const ModelInfo& info = model_->info();
    const double table = static_cast<double>(info.vocabulary) * static_cast<double>(info.width);
    if (info.constant_state) {
      const RwkvShape shape = model_shape(spec_);
      elements_ = product_elements(shape);
      state_floats_ = 2 * state_floats(shape);
      cards_ = std::max<double>(1, static_cast<double>(info.threads));
    } else {  // biases, norms and learned positions are little beside it
      elements_ = static_cast<double>(info.parameters) - table;
    }
    unread_bytes_ = table * 2;
  }

  void run(nlohmann::json& results) {
    for (const int documents : o_.documents) {
      for (const int tokens : o_.tokens) {
        if (documents > 0) results.push_back(score(documents, tokens));
      }
    }
    for (const int batch : o_.batches) {
      if (batch > 0) results.push_back(decode(batch));
    }
  }

 private:
  nlohmann::json begin(const char* work, double seconds, double tokens) const {
    const ModelInfo& info = model_->info();
    const MemoryUse memory = model_->memory();
    return {{"model", spec_},
            {"mode", info.format},
            {"device", info.device},
            {"kernels", info.kernels},
            {"load_seconds", load_},
            {"work", work},
            {"seconds", seconds},
            {"tokens_per_second", tokens / seconds},
            {"weight_bytes", memory.weights},
            {"device_bytes", memory.device}};
  }

  nlohmann::json score(int documents, int tokens) {
    std::vector<std::vector<Token>> texts(static_cast<std::size_t>(documents));
    std::size_t all = 0;
    for (std::size_t d = 0; d < texts.size(); ++d) {
      const auto whole = static_cast<std::size_t>(tokens);
      texts[d].resize(o_.mixed ? std::max<std::size_t>(2, whole / 4 + (d * 2654435761u) % (whole - whole / 4))
                               : whole);
      for (std::size_t i = 0; i < texts[d].size(); ++i)
        texts[d][i] = some_token(i + 977 * d, model_->info().vocabulary);
      all += texts[d].size();
    }
    const double seconds = best_seconds(o_.repeats, [&] {
      Documents source(texts);
      Counter sink;
      model_->score(source, sink);
      if (sink.count != all - texts.size()) throw std::runtime_error("not all tokens were scored");
    });
    nlohmann::json result = begin("score", seconds, static_cast<double>(all));
    result["documents"] = documents;
    result["tokens"] = tokens;
    result["mixed"] = o_.mixed;
    const double tflops = 2 * elements_ * static_cast<double>(all) / seconds * 1e-12 / cards_;
    result["product_tflops"] = tflops;
    if (o_.tflops > 0) result["share"] = tflops / o_.tflops;
    print(result, fmt::format("score {}x{}", documents, tokens));
    return result;
  }

  nlohmann::json decode(int batch) {
    const auto states = model_->start_batch(static_cast<std::size_t>(batch));
    if (!states) throw std::runtime_error("this model cannot decode");
    std::vector<Token> tokens(static_cast<std::size_t>(batch));
    std::vector<TokenScore> best(tokens.size());
    for (std::size_t i = 0; i < tokens.size(); ++i)
      tokens[i] = some_token(977 * i, model_->info().vocabulary);
    if (o_.context > 0) {
      std::vector<Token> text(static_cast<std::size_t>(o_.context));
      for (std::size_t i = 0; i < text.size(); ++i) text[i] = some_token(i, model_->info().vocabulary);
      for (std::size_t s = 0; s < tokens.size(); ++s) {
        if (!states->read(s, text)) throw std::runtime_error("this model reads no context at once");
      }
    }
    const double seconds = best_seconds(o_.repeats,
                                        [&] {
                                          for (int i = 0; i < o_.steps; ++i) {
                                            states->step_best(tokens, best);
                                            for (std::size_t s = 0; s < tokens.size(); ++s)
                                              tokens[s] = best[s].best;
                                          }
                                        }) /
                           o_.steps;
    nlohmann::json result = begin("decode", seconds, batch);
    result["batch"] = batch;
    result["context"] = o_.context;
    // A step reads all weights but the embedding, and reads and writes the states, or reads the cache.
    double bytes = static_cast<double>(model_->memory().weights) / cards_ - unread_bytes_;
    bytes += model_->info().constant_state ? 4 * state_floats_ * batch
                                           : static_cast<double>(states->state_bytes());
    result["gigabytes_per_second"] = bytes / seconds * 1e-9;
    if (o_.bandwidth > 0) result["share"] = bytes / seconds * 1e-9 / o_.bandwidth;
    print(result,
          o_.context > 0 ? fmt::format("decode {}@{}", batch, o_.context) : fmt::format("decode {}", batch));
    return result;
  }

  static void print(const nlohmann::json& r, const std::string& work) {
    fmt::print("{:<24} {:<6} {:<14} {:>11.0f} tok/s {:>9.3f} ms {:>6} {:>6.2f} GiB load {:.1f} s\n",
               r["model"].get<std::string>(), r["mode"].get<std::string>(), work,
               r["tokens_per_second"].get<double>(), r["seconds"].get<double>() * 1e3,
               r.contains("share") ? fmt::format("{:.0f} %", 100 * r["share"].get<double>()) : "",
               r["device_bytes"].get<double>() / (1 << 30), r["load_seconds"].get<double>());
    std::fflush(stdout);
  }

  const Options& o_;
  std::string spec_;
  std::unique_ptr<LanguageModel> model_;
  double load_ = 0, cards_ = 1, elements_ = 0, state_floats_ = 0, unread_bytes_ = 0;
};

int main_of(int argc, char** argv) {
  if (argc == 2 && (std::string(argv[1]) == "--help" || std::string(argv[1]) == "-h")) {
    std::fputs(kUsage, stdout);
    return 0;
  }
  Options o;
  try {
    o = parse(argc, argv);
  } catch (const std::invalid_argument& e) {
    fmt::print(stderr, "deciban_bench_cuda: {}\n\n{}", e.what(), kUsage);
    return 2;
  }
  add_ceiling(o);
  const CudaDevice card = cuda_devices().front();
  fmt::print("{}, sm_{}{}; shares of {:.0f} TFLOP/s (products, scoring) and {:.0f} GB/s (decoding)\n",
             card.name, card.major, card.minor, o.tflops, o.bandwidth);
  nlohmann::json results = nlohmann::json::array();
  int failures = 0;
  if (!o.attention.empty()) {
    for (const std::string& mode : o.modes) {
      AttentionBench bench{.lengths = o.attention, .head_sizes = o.head_sizes};
      if (mode != "auto") bench.mode = mode;
      bench.kv_share = o.kv_share;
      bench.repeats = o.repeats;
      bench.deterministic = o.deterministic;
      time_attention(bench, results);
    }
    o.models.clear();
  }
  for (const std::string& model : o.models) {
    for (const std::string& mode : o.modes) {
      try {
        Bench(model, mode, o).run(results);
      } catch (const std::exception& e) {
        fmt::print(stderr, "deciban_bench_cuda: {} {}: {}\n", model, mode, e.what());
        ++failures;
      }
    }
  }
  if (!o.json.empty()) {
    std::ofstream out(o.json);
    out << nlohmann::json{{"card", card.name},
                          {"deterministic", o.deterministic},
                          {"tflops", o.tflops},
                          {"bandwidth", o.bandwidth},
                          {"results", results}}
               .dump(1)
        << '\n';
    if (!out) throw std::runtime_error(fmt::format("'{}' cannot be written", o.json));
  }
  return failures > 0 ? 1 : 0;
}

}  // namespace
}  // namespace deciban

int main(int argc, char** argv) {
  try {
    return deciban::main_of(argc, argv);
  } catch (const std::exception& e) {
    fmt::print(stderr, "deciban_bench_cuda: {}\n", e.what());
    return 1;
  }
}

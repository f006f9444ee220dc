// Speed of encoding and decoding real texts on one core: bytes per second of the text, and loading a
// vocabulary.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/tokenizer.h"

namespace deciban {
namespace {

namespace fs = std::filesystem;

constexpr const char* kVocabularies[] = {"data/tokenizers/rwkv_vocab_v20230424.txt",
                                         "data/tokenizers/20B_tokenizer.json"};
constexpr const char* kTexts[] = {"data/uncheatable/wikipedia_english_20250101to20250115.json",
                                  "data/uncheatable/github_cpp_20250101to20250115.json"};

fs::path shared(const std::string& path) {
  const char* set = std::getenv("DECIBAN_SHARED");
  return (set ? fs::path(set) : fs::path(DECIBAN_SOURCE_DIR).parent_path() / "shared") / path;
}

bool skip_without(benchmark::State& state, const char* path) {
  if (fs::exists(shared(path))) return false;
  state.SkipWithError(
      ("needs " + shared(path).string() + " (set DECIBAN_SHARED to the shared data)").c_str());
  return true;
}

// All documents of a JSON list of strings, one after the other.
std::string read_text(const char* path) {
  std::ifstream in(shared(path));
  std::string text;
  for (const auto& document : nlohmann::json::parse(in)) text += document.get<std::string>();
  return text;
}

void encode(benchmark::State& state, const char* vocabulary, const char* path) {
  if (skip_without(state, vocabulary) || skip_without(state, path)) return;
  const auto tokenizer = open_tokenizer(shared(vocabulary));
  const std::string text = read_text(path);
  std::size_t tokens = 0;
  for (auto _ : state) {
    tokens = tokenizer->encode(text).size();
    benchmark::DoNotOptimize(tokens);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * text.size()));
  state.counters["bytes/token"] = static_cast<double>(text.size()) / static_cast<double>(tokens);
}

void decode(benchmark::State& state, const char* vocabulary, const char* path) {
  if (skip_without(state, vocabulary) || skip_without(state, path)) return;
  const auto tokenizer = open_tokenizer(shared(vocabulary));
  const auto tokens = tokenizer->encode(read_text(path));
  std::size_t bytes = 0;
  for (auto _ : state) {
    bytes = tokenizer->decode(tokens).size();
    benchmark::DoNotOptimize(bytes);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * bytes));
}

void load(benchmark::State& state, const char* vocabulary) {
  if (skip_without(state, vocabulary)) return;
  for (auto _ : state) benchmark::DoNotOptimize(open_tokenizer(shared(vocabulary)));
}

}  // namespace
}  // namespace deciban

int main(int argc, char** argv) {
  for (const char* vocabulary : deciban::kVocabularies) {
    const std::string name = std::filesystem::path(vocabulary).stem();
    for (const char* text : deciban::kTexts) {
      const std::string place = name + "/" + std::filesystem::path(text).stem().string();
      benchmark::RegisterBenchmark(("encode/" + place).c_str(), deciban::encode, vocabulary, text)
          ->Unit(benchmark::kMillisecond);
      benchmark::RegisterBenchmark(("decode/" + place).c_str(), deciban::decode, vocabulary, text)
          ->Unit(benchmark::kMillisecond);
    }
    benchmark::RegisterBenchmark(("load/" + name).c_str(), deciban::load, vocabulary)
        ->Unit(benchmark::kMillisecond);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

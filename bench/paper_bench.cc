// How long cleaning a paper takes, HTML and LaTeX alike: the 3 seconds that arXiv asks for between two
// requests should be the only limit.  Papers come from the developers' shared folder.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "datasets/paper.h"

namespace deciban {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void clean(benchmark::State& state, const fs::path& path) {
  const std::string bytes = read(path);
  const bool html = path.extension() == ".html";
  std::size_t text = 0;
  for (auto _ : state) {
    const Paper paper = html ? paper_from_html(bytes) : paper_from_source(bytes);
    text = paper.text().size();
    benchmark::DoNotOptimize(text);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * bytes.size()));
  state.counters["text"] = static_cast<double>(text);
}

void register_papers() {
  const char* set = std::getenv("DECIBAN_SHARED");
  const fs::path shared = set ? fs::path(set) : fs::path(DECIBAN_SOURCE_DIR).parent_path() / "shared";
  std::vector<fs::path> papers;
  for (const char* folder : {"latexml", "eprint"}) {
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(shared / "fixtures/arxiv" / folder, none)) {
      if (entry.is_regular_file()) papers.push_back(entry.path());
    }
  }
  std::sort(papers.begin(), papers.end());
  for (const fs::path& path : papers) {
    benchmark::RegisterBenchmark(path.filename().c_str(), [path](benchmark::State& state) {
      clean(state, path);
    })->Unit(benchmark::kMillisecond);
  }
  if (papers.empty()) {
    benchmark::RegisterBenchmark("papers", [shared](benchmark::State& state) {
      state.SkipWithError(
          ("needs " + (shared / "fixtures/arxiv").string() + " (set DECIBAN_SHARED to the shared data)")
              .c_str());
    });
  }
}

}  // namespace
}  // namespace deciban

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  deciban::register_papers();
  benchmark::RunSpecifiedBenchmarks();
}

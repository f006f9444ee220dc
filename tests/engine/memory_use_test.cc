// What a model holds in memory, by its own account and by the system's: weights in the format they are
// computed in, embedding rows that were met, states, and at most 64 MiB a thread.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "engine/random_model.h"
#include "tests/engine/checkpoint_files.h"
#include "tests/engine/scoring.h"
#include "tests/scratch_directory.h"

namespace deciban {
namespace {

constexpr double kMiB = 1 << 20;
constexpr std::size_t kTokens = 600, kVocabulary = 32768, kModelWidth = 768;

// Four layers of RWKV-7 0.1B as a .pth file in bf16: 158 MB, a third of it the embedding.
void write_model(const std::filesystem::path& path) {
  const Checkpoint model = random_rwkv(random_spec("rwkv7-0.1b,layers=4,vocab=32768"));
  std::vector<testing_files::WrittenTensor> tensors;
  for (const StoredTensor& tensor : model.tensors) {
    std::string data;
    for (const float value : tensor.read_all()) {
      const auto bits = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16);
      data.push_back(static_cast<char>(bits & 0xff));
      data.push_back(static_cast<char>(bits >> 8));
    }
    tensors.push_back({tensor.name, tensor.shape, std::move(data), Encoding::bf16});
  }
  const std::string file = testing_files::torch_file(tensors);
  std::ofstream(path, std::ios::binary).write(file.data(), static_cast<std::streamsize>(file.size()));
  // What was just written lies in the page cache in pieces as large as the writes, of which one touched byte
  // maps all; a file that is read from the disk does not.
  const int disk = ::open(path.c_str(), O_RDONLY);
  ::fsync(disk);
  ::posix_fadvise(disk, 0, 0, POSIX_FADV_DONTNEED);
  ::close(disk);
}

// This process's peak of resident memory, in bytes.
double peak() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) * 1024;
  }
  return 0;
}

struct Answer {
  double peak_before, peak_after, weights, cache, workspace, state;
  bool scored;
};

// In a process of its own, so that nothing else of the test program counts.
Answer measure(const std::filesystem::path& file, const std::string& mode, int threads) {
  std::array<int, 2> ends;
  if (::pipe(ends.data()) != 0) throw std::runtime_error("pipe");
  const pid_t child = ::fork();
  if (child == 0) {
    Answer answer{};
    std::ofstream("/proc/self/clear_refs") << "5";  // the peak starts anew
    answer.peak_before = peak();
    try {
      const auto model = open_golden(file, {.mode = mode, .threads = threads});
      std::vector<Token> text(kTokens);
      for (std::size_t i = 0; i < kTokens; ++i) text[i] = static_cast<Token>(i * 2654435761u % kVocabulary);
      const Collected got = score(*model, {{.tokens = text}, {.tokens = text}});
      answer.scored = got.scores.size() == 2 && got.failures.empty();
      const MemoryUse use = model->memory();
      answer.weights = static_cast<double>(use.weights);
      answer.cache = static_cast<double>(use.cache);
      answer.workspace = static_cast<double>(use.workspace);
      answer.state = static_cast<double>(model->info().state_bytes);
      answer.peak_after = peak();
    } catch (...) {
      answer.scored = false;
    }
    const bool written = ::write(ends[1], &answer, sizeof answer) == sizeof answer;
    ::_exit(written ? 0 : 1);
  }
  ::close(ends[1]);
  Answer answer{};
  const bool read = ::read(ends[0], &answer, sizeof answer) == sizeof answer;
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  if (child < 0 || !read) throw std::runtime_error("the measuring process died");
  return answer;
}

TEST(MemoryUse, IsTheWeightsTheStatesAndLittleElse) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "a sanitizer's own memory counts too";
#endif
  const ScratchDirectory scratch;
  const std::filesystem::path file = scratch.path() / "model.pth";
  write_model(file);
  const double stored = static_cast<double>(std::filesystem::file_size(file));
  const double embedding = 2.0 * kVocabulary * kModelWidth;
  const struct {
    const char* mode;
    double of_stored;  // bytes of a weight as computed by bytes of one as stored
  } modes[] = {{"bf16", 1}, {"bf16a", 1}, {"int8a", 0.5}, {"f32", 2}};
  for (const auto& [mode, of_stored] : modes) {
    for (const int threads : {1, 2}) {
      const Answer a = measure(file, mode, threads);
      ASSERT_TRUE(a.scored) << mode;
      const double used = a.peak_after - a.peak_before;
      // Every token's embedding row may lie on two pages of 4 KiB that nothing else needs.
      const double rows = kTokens * 2 * 4096;
      const double weights = (stored - embedding) * of_stored;
      EXPECT_NEAR(a.weights, weights, 0.03 * weights) << mode;  // padding, scales, vectors
      EXPECT_LE(used, 1.03 * weights + rows + threads * (a.state + 64 * kMiB))
          << mode << ", " << threads << " threads";
      // The account is complete: what it leaves out is the stored file's directory and small vectors.
      EXPECT_LE(used, a.weights + a.cache + a.workspace + rows + 24 * kMiB)
          << mode << ", " << threads << " threads";
      std::cout << mode << ", " << threads << " threads: " << used / kMiB << " MiB at most, weights "
                << a.weights / kMiB << ", states " << a.cache / kMiB << ", workspace " << a.workspace / kMiB
                << "\n";
    }
  }
}

}  // namespace
}  // namespace deciban

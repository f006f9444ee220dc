#include "bench/roofline.h"

#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <new>
#include <numeric>
#include <stdexcept>
#include <thread>

#include "bench/roofline_instructions.h"

namespace deciban {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Of this thread: time in which another process had the core does not count.
double cpu_seconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

// The sum of what `rate(i)` returns in thread i; all threads begin at the same time.
double together(int threads, const std::function<double(int)>& rate) {
  std::atomic<int> waiting{threads};
  std::vector<double> rates(threads);
  {
    std::vector<std::jthread> team;
    for (int i = 0; i < threads; ++i) {
      team.emplace_back([&, i] {
        --waiting;
        while (waiting > 0) relax();
        rates[i] = rate(i);
      });
    }
  }
  return std::accumulate(rates.begin(), rates.end(), 0.0);
}

// Long enough that threads which begin a little apart still compute together nearly all the time.
double gflops_of(const Instruction& instruction, int threads) {
  constexpr long kRounds = 20'000;
  constexpr double kSeconds = 0.01;
  return together(threads, [&](int) {
    const auto begin = Clock::now();
    const double start = cpu_seconds();
    double rounds = 0;
    do {
      instruction.work(kRounds);
      rounds += kRounds;
    } while (seconds_since(begin) < kSeconds);
    return rounds * instruction.chains * instruction.operations / (cpu_seconds() - start) * 1e-9;
  });
}

// Memory of one thread, on huge pages where the system has them, as the engine's weights are.
struct Block {
  static constexpr std::size_t kPage = std::size_t{2} << 20;
  explicit Block(std::size_t bytes)
      : size(bytes), data(static_cast<std::uint64_t*>(::operator new (bytes, std::align_val_t{kPage}))) {
    ::madvise(data.get(), bytes, MADV_HUGEPAGE);  // a wish: without them it is slower, no error
    std::fill_n(data.get(), size / 8, 1);
  }
  struct Free {
    void operator()(std::uint64_t* p) const { ::operator delete (p, std::align_val_t{kPage}); }
  };
  std::size_t size;
  std::unique_ptr<std::uint64_t, Free> data;
};

// GCC's vectors of 16 bytes, which every architecture has.
using Two = std::uint64_t __attribute__((vector_size(16), may_alias));

// Four streams side by side keep more cache lines under way than one.
std::uint64_t read_all(const Block& block) {
  constexpr std::size_t kStreams = 4, kLine = 4;  // vectors of a cache line
  const auto* p = reinterpret_cast<const Two*>(block.data.get());
  const std::size_t part = block.size / sizeof(Two) / kStreams;
  Two sums[kStreams] = {};
  for (std::size_t i = 0; i < part; i += kLine) {
    for (std::size_t s = 0; s < kStreams; ++s) {
      for (std::size_t j = 0; j < kLine; ++j) sums[s] += p[s * part + i + j];
    }
  }
  const Two sum = sums[0] + sums[1] + (sums[2] + sums[3]);
  return sum[0] + sum[1];
}

// By the clock, all threads reading at the same time: memory is what they share.
Rate measure_bandwidth(int threads) {
  constexpr std::size_t kBytes = std::size_t{128} << 20;
  constexpr double kSeconds = 0.02;
  std::vector<Block> blocks;
  for (int i = 0; i < threads; ++i) blocks.emplace_back(kBytes);
  const auto read = [&](int thread) {
    const auto start = Clock::now();
    double bytes = 0;
    do {
      if (read_all(blocks[thread]) != kBytes / 8)
        throw std::logic_error("memory does not hold what was written");
      bytes += kBytes;
    } while (seconds_since(start) < kSeconds);
    return bytes / seconds_since(start) * 1e-9;
  };
  return settle([&] { return together(threads, read); }, 1.0);
}

std::size_t index_of(int threads, std::size_t measured) {
  if (threads < 1 || static_cast<std::size_t>(threads) > measured) {
    throw std::invalid_argument("the roofline was not measured with " + std::to_string(threads) + " threads");
  }
  return static_cast<std::size_t>(threads) - 1;
}

}  // namespace

Rate summarise(std::vector<double> rates) {
  if (rates.empty()) return {};
  std::sort(rates.begin(), rates.end());
  return {rates[rates.size() / 2], rates.front(), rates.back()};
}

Rate settle(const std::function<double()>& sample, double budget) {
  constexpr std::size_t kBest = 5, kLeast = 7;
  const auto start = Clock::now();
  std::vector<double> rates;
  for (;;) {
    rates.push_back(sample());
    if (rates.size() < kLeast) continue;
    std::sort(rates.begin(), rates.end(), std::greater<>());
    if (rates[0] - rates[kBest - 1] <= 0.02 * rates[0] || seconds_since(start) > budget) break;
  }
  return {rates[kBest / 2], rates.back(), rates.front()};
}

Roofline::Roofline(int threads) {
  for (int n = 1; n <= threads; ++n) {
    std::vector<Peak> peaks;
    for (const Instruction& instruction : instructions()) {
      if (!instruction.supported()) continue;
      peaks.push_back({instruction.name, settle([&] { return gflops_of(instruction, n); }, 0.3)});
    }
    peaks_.push_back(std::move(peaks));
    bandwidth_.push_back(measure_bandwidth(n));
  }
}

const std::vector<Peak>& Roofline::peaks(int threads) const {
  return peaks_[index_of(threads, peaks_.size())];
}

const Rate& Roofline::bandwidth(int threads) const {
  return bandwidth_[index_of(threads, bandwidth_.size())];
}

const Peak& Roofline::peak(std::string_view kernels, NumericMode mode, int threads) const {
  const std::string_view wanted = instruction_of(kernels, mode);
  for (const Peak& peak : peaks(threads)) {
    if (peak.instruction == wanted) return peak;
  }
  throw std::runtime_error("this CPU cannot run the kernel table '" + std::string(kernels) + "'");
}

double Roofline::seconds(std::string_view kernels, NumericMode mode, double flops, double bytes,
                         int threads) const {
  return std::max(flops / (peak(kernels, mode, threads).gflops.median * 1e9),
                  bytes / (bandwidth(threads).median * 1e9));
}

}  // namespace deciban

#include "bench/roofline.h"

#include <immintrin.h>
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

// Each function runs `rounds` rounds of kChains independent multiply-adds.  Operands are opaque to the
// compiler and results are kept; values stay finite and normal.
constexpr int kChains = 12;      // covers a latency of six cycles at two a cycle, and fits sixteen registers
constexpr int kWideChains = 24;  // of thirty-two
using Work = void (*)(long rounds);

template <typename T>
inline void opaque(T& value) {
  asm volatile("" : "+v"(value));
}

#define DECIBAN_CHAINS(VECTOR, CHAINS, START, STEP)                           \
  VECTOR acc[CHAINS];                                                         \
  _Pragma("GCC unroll 24") for (int i = 0; i < CHAINS; ++i) acc[i] = START;   \
  for (long round = 0; round < rounds; ++round) {                             \
    _Pragma("GCC unroll 24") for (int i = 0; i < CHAINS; ++i) STEP;           \
    _Pragma("GCC unroll 24") for (int i = 0; i < CHAINS; ++i) opaque(acc[i]); \
  }

void sse2(long rounds) {
  __m128 a = _mm_set1_ps(0.999f), b = _mm_set1_ps(1e-3f);
  opaque(a);
  opaque(b);
  DECIBAN_CHAINS(__m128, kChains, b, acc[i] = _mm_add_ps(_mm_mul_ps(acc[i], a), b))
}
__attribute__((target("avx2,fma"))) void fma256(long rounds) {
  __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(1e-3f);
  opaque(a);
  opaque(b);
  DECIBAN_CHAINS(__m256, kChains, b, acc[i] = _mm256_fmadd_ps(a, b, acc[i]))
}
__attribute__((target("avx512f"))) void fma512(long rounds) {
  __m512 a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(1e-3f);
  opaque(a);
  opaque(b);
  DECIBAN_CHAINS(__m512, kWideChains, b, acc[i] = _mm512_fmadd_ps(a, b, acc[i]))
}
__attribute__((target("avx512f,avx512bf16"))) void dot_bf16(long rounds) {
  __m512 pairs = _mm512_castsi512_ps(_mm512_set1_epi32(0x3c003c00));
  opaque(pairs);
  const __m512bh a = (__m512bh)pairs;
  DECIBAN_CHAINS(__m512, kWideChains, _mm512_set1_ps(1e-3f), acc[i] = _mm512_dpbf16_ps(acc[i], a, a))
}
__attribute__((target("avx512f,avx512vnni"))) void dot_i8(long rounds) {
  __m512i a = _mm512_set1_epi8(1);
  opaque(a);
  // By hand: GCC 12 copies the accumulator at every use of the intrinsic.
  DECIBAN_CHAINS(__m512i, kWideChains, _mm512_setzero_si512(),
                 asm volatile("vpdpbusd %1, %1, %0"
                              : "+v"(acc[i])
                              : "v"(a)))
}
#undef DECIBAN_CHAINS

enum class Instruction { sse2, fma256, fma512, bf16, i8 };
struct Entry {
  Instruction instruction;
  std::string_view name;
  Work work;
  int chains;
  int operations;  // of one instruction
  bool (*supported)();
};
const Entry kEntries[] = {
    {Instruction::sse2, "mulps + addps xmm", sse2, kChains, 4 * 2, [] { return true; }},
    {Instruction::fma256, "vfmadd231ps ymm", fma256, kChains, 8 * 2,
     [] { return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0; }},
    {Instruction::fma512, "vfmadd231ps zmm", fma512, kWideChains, 16 * 2,
     [] { return __builtin_cpu_supports("avx512f") != 0; }},
    {Instruction::bf16, "vdpbf16ps zmm", dot_bf16, kWideChains, 32 * 2,
     [] { return __builtin_cpu_supports("avx512bf16") != 0; }},
    {Instruction::i8, "vpdpbusd zmm", dot_i8, kWideChains, 64 * 2,
     [] { return __builtin_cpu_supports("avx512vnni") != 0; }},
};

// The sum of what `rate(i)` returns in thread i; all threads begin at the same time.
double together(int threads, const std::function<double(int)>& rate) {
  std::atomic<int> waiting{threads};
  std::vector<double> rates(threads);
  {
    std::vector<std::jthread> team;
    for (int i = 0; i < threads; ++i) {
      team.emplace_back([&, i] {
        --waiting;
        while (waiting > 0) _mm_pause();
        rates[i] = rate(i);
      });
    }
  }
  return std::accumulate(rates.begin(), rates.end(), 0.0);
}

// Long enough that threads which begin a little apart still compute together nearly all the time.
double gflops_of(const Entry& entry, int threads) {
  constexpr long kRounds = 20'000;
  constexpr double kSeconds = 0.01;
  return together(threads, [&](int) {
    const auto begin = Clock::now();
    const double start = cpu_seconds();
    double rounds = 0;
    do {
      entry.work(kRounds);
      rounds += kRounds;
    } while (seconds_since(begin) < kSeconds);
    return rounds * entry.chains * entry.operations / (cpu_seconds() - start) * 1e-9;
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

// Four streams side by side keep more cache lines under way than one.
std::uint64_t read_all(const Block& block) {
  constexpr std::size_t kStreams = 4, kLine = 4;  // vectors of a cache line
  const auto* p = reinterpret_cast<const __m128i*>(block.data.get());
  const std::size_t part = block.size / 16 / kStreams;
  __m128i sums[kStreams] = {};
  for (std::size_t i = 0; i < part; i += kLine) {
    for (std::size_t s = 0; s < kStreams; ++s) {
      for (std::size_t j = 0; j < kLine; ++j)
        sums[s] = _mm_add_epi64(sums[s], _mm_load_si128(p + s * part + i + j));
    }
  }
  const __m128i sum = _mm_add_epi64(_mm_add_epi64(sums[0], sums[1]), _mm_add_epi64(sums[2], sums[3]));
  return static_cast<std::uint64_t>(_mm_cvtsi128_si64(sum)) +
         static_cast<std::uint64_t>(_mm_cvtsi128_si64(_mm_unpackhi_epi64(sum, sum)));
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
    for (const Entry& entry : kEntries) {
      if (entry.supported()) peaks.push_back({entry.name, settle([&] { return gflops_of(entry, n); }, 0.3)});
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
  Instruction wanted = Instruction::fma512;
  if (kernels == "baseline") {
    wanted = Instruction::sse2;
  } else if (kernels == "avx2") {
    wanted = Instruction::fma256;
  } else if (kernels == "avx512bf16") {
    if (mode.activations == ActivationFormat::bf16) wanted = Instruction::bf16;
    if (mode.activations == ActivationFormat::i8) wanted = Instruction::i8;
  }
  for (const Entry& entry : kEntries) {
    if (entry.instruction != wanted) continue;
    for (const Peak& peak : peaks(threads)) {
      if (peak.instruction == entry.name) return peak;
    }
  }
  throw std::runtime_error("this CPU cannot run the kernel table '" + std::string(kernels) + "'");
}

double Roofline::seconds(std::string_view kernels, NumericMode mode, double flops, double bytes,
                         int threads) const {
  return std::max(flops / (peak(kernels, mode, threads).gflops.median * 1e9),
                  bytes / (bandwidth(threads).median * 1e9));
}

}  // namespace deciban

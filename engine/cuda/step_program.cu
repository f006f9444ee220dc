// The resident kernel of a step: stages one after the other, all blocks meeting in between.
#include <algorithm>

#include "engine/cuda/check.h"
#include "engine/cuda/step_program.h"
#include "engine/cuda/step_stages.h"
#include "engine/cuda/wkv4.cuh"

namespace deciban::cuda {
namespace {

constexpr int kWarps = StepStage::kWarps, kThreads = 32 * kWarps;
constexpr int kDepth = 4;  // stages whose descriptions lie in shared memory
constexpr int kQuadsOfStage = sizeof(StepStage) / 16;
static_assert(sizeof(StepStage) % 16 == 0 && kQuadsOfStage <= kThreads);
constexpr unsigned kMostAhead = 128 << 10;  // bytes of weights a block has brought to the L2 cache ahead

struct Scratch {
  float sums[kWarps];
  float r[64], w[64], k[64], kk[64], rate[64], v[64], bonus, part[8][64];
};

__device__ float block_sum(float x, Scratch& s) {
  x = warp_sum(x);
  __syncthreads();
  if (threadIdx.x % 32 == 0) s.sums[threadIdx.x / 32] = x;
  __syncthreads();
  float total = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) total += s.sums[w];
  return total;
}

__device__ void bring(const void* at, std::size_t bytes) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  if (at != nullptr && bytes >= 16) {
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(at),
                 "r"(static_cast<unsigned>(bytes / 16 * 16)));
  }
#endif
}

// Outputs [first, end) of a stage's products are this block's.
struct Share {
  int first, end;
};
__device__ Share share(const StepStage& s) {
  const auto at = [&](unsigned block) {
    return static_cast<int>(static_cast<long long>(s.outputs) * block / gridDim.x);
  };
  return {at(blockIdx.x), at(blockIdx.x + 1)};
}

__device__ int bytes_of(WeightFormat format) {
  return format == WeightFormat::f32 ? 4 : format == WeightFormat::i8 ? 1 : 2;
}

// Has what a stage will read of parameters brought to the L2 cache, which does not depend on other stages.
__device__ void bring_parameters(const StepStage& s) {
  const int i = threadIdx.x, block = blockIdx.x;
  if (s.kind == StepStage::Kind::products && i < s.count) {
    const Few& p = s.at[i];
    const Share mine = share(s);
    const int first = max(mine.first, p.end - p.outputs), end = min(mine.end, p.end);
    if (first < end) {
      const std::size_t row = p.w_stride * bytes_of(p.format), from = first - (p.end - p.outputs);
      const std::size_t bytes = min(row * (end - first), static_cast<std::size_t>(kMostAhead));
      bring(static_cast<const char*>(p.w) + from * row, bytes);
    }
    if (p.finish.bias != nullptr && block == 0) bring(p.finish.bias, p.outputs * sizeof(float));
  }
  if (i == 32) {  // a vector a block
    const std::size_t row = s.mix.columns * sizeof(float);
    if (block == 0) bring(s.mix.weight, row);
    if (block == 1) bring(s.mix.bias, row);
    if (block == 2) bring(s.mix.shift, row);
    if (block >= 3 && block < 3 + s.mix.count) bring(s.mix.by[block - 3], row);
    if (s.kind == StepStage::Kind::heads) {
      const std::size_t all = static_cast<std::size_t>(s.heads.heads) * s.heads.size * sizeof(float);
      const float* of[7] = {s.heads.k_k,        s.heads.k_a,   s.heads.r_k,  s.heads.group_weight,
                            s.heads.group_bias, s.heads.decay, s.heads.bonus};
      if (block < 7) bring(of[block], all);
    }
  }
}

// The row's norm in registers: thread i has columns i, i + kThreads, ….
constexpr int kOwned = StepStage::kMostColumns / kThreads;
template <typename F>
__device__ void normalise(const StepStage::Mix& m, Scratch& s, const F& give) {
  float h[kOwned], total = 0, squares = 0;
#pragma unroll
  for (int j = 0; j < kOwned; ++j) {
    const int c = threadIdx.x + j * kThreads;
    h[j] = c < m.columns ? m.x[c] : 0.0f;
    total += h[j];
  }
  const float mean = block_sum(total, s) / m.columns;
#pragma unroll
  for (int j = 0; j < kOwned; ++j) {
    if (static_cast<int>(threadIdx.x) + j * kThreads < m.columns) squares += (h[j] - mean) * (h[j] - mean);
  }
  const float inverse = 1.0f / sqrtf(block_sum(squares, s) / m.columns + m.eps);
#pragma unroll
  for (int j = 0; j < kOwned; ++j) {
    const int c = threadIdx.x + j * kThreads;
    if (c < m.columns) give(c, fmaf((h[j] - mean) * inverse, m.weight[c], m.bias[c]));
  }
}

__device__ void embed(const StepStage& stage, Token token, Scratch& s) {
  if (blockIdx.x != 0) return;
  const std::size_t row = static_cast<std::size_t>(token) * stage.mix.columns;
  for (int c = threadIdx.x; c < stage.mix.columns; c += kThreads) {
    stage.mix.x[c] = stage.table_type == Tensor::Type::f32 ? static_cast<const float*>(stage.table)[row + c]
                     : stage.table_type == Tensor::Type::f16
                         ? to_float(static_cast<const f16*>(stage.table)[row + c])
                         : to_float(static_cast<const bf16*>(stage.table)[row + c]);
  }
  // Each thread reads what it wrote itself.
  if (stage.mix.weight != nullptr) {
    normalise(stage.mix, s, [&](int c, float h) { stage.mix.x[c] = h; });
  }
}

__device__ void mix(const StepStage& stage, Scratch& s) {
  if (blockIdx.x != 0) return;
  const StepStage::Mix& m = stage.mix;
  normalise(m, s, [&](int c, float h) {
    const float before = m.shift == nullptr ? h : m.shift[c];
    for (int i = 0; i < m.count; ++i) {
      store1(m.out[i], 0, c, m.by[i] == nullptr ? h : fmaf(before - h, m.by[i][c], h));
    }
    if (m.normed.data != nullptr) store1(m.normed, 0, c, h);
    if (m.before.data != nullptr) store1(m.before, 0, c, before);
    if (m.shift != nullptr) m.shift[c] = h;
  });
}

template <typename X>
__device__ void products(const StepStage& stage, Scratch& s, X* made) {
  const Share mine = share(stage);
  const StepStage::Mix& m = stage.mix;
  if (m.columns > 0) {
    unsigned needed = 0;
    for (int i = 0; i < stage.count; ++i) {
      const Few& p = stage.at[i];
      if (max(mine.first, p.end - p.outputs) < min(mine.end, p.end)) needed |= 1u << stage.mixed[i];
    }
    normalise(m, s, [&](int c, float h) {
      const float before = m.shift == nullptr ? h : m.shift[c];
      for (int i = 0; i < m.count; ++i) {
        if ((needed >> i & 1) == 0) continue;
        made[i * m.columns + c] = from_float<X>(m.by[i] == nullptr ? h : fmaf(before - h, m.by[i][c], h));
      }
      if (m.h != nullptr && blockIdx.x == 0) m.h[c] = h;
    });
    __syncthreads();
  }
  const int warp = threadIdx.x / 32, part = warp % stage.split, team = warp / stage.split,
            teams = kWarps / stage.split;
  for (int first = mine.first; first < mine.end; first += teams) {
    const int output = first + team;
    float sum[1] = {0};
    int i = 0;
    if (output < mine.end) {
      while (output >= stage.at[i].end) ++i;
      Few p = stage.at[i];
      const X* x = stage.mixed[i] >= 0 ? made + stage.mixed[i] * m.columns : static_cast<const X*>(p.x);
      const int row = output - (p.end - p.outputs);
      if (stage.split > 1) {  // this warp's part of the inputs, a multiple of 16
        const int width = (p.inputs / stage.split + 15) / 16 * 16, from = min(part * width, p.inputs);
        p.w = static_cast<const char*>(p.w) + static_cast<std::size_t>(from) * bytes_of(p.format);
        x += from;
        p.inputs = min(width, p.inputs - from);
      }
      p.x = x;
      dot_any<1, X>(p, row, 1, sum);
    }
    if (stage.split > 1) {
      __syncthreads();
      if (threadIdx.x % 32 == 0) s.sums[warp] = sum[0];
      __syncthreads();
      sum[0] = 0;
      for (int other = 0; other < stage.split; ++other) sum[0] += s.sums[team * stage.split + other];
    }
    if (output < mine.end && part == 0 && threadIdx.x % 32 == 0) {
      const Few& p = stage.at[i];
      write1(p.finish, sum[0], 0, output - (p.end - p.outputs));
    }
  }
}

// A head a block: thread i has value i % 64 and eight keys from 8 (i / 64) on, whose states it was given.
constexpr int kKeys = 8;
__device__ bool has_state(const StepStage& stage, int head) {
  const int value = threadIdx.x % 64, key = threadIdx.x / 64 * kKeys;
  return head < stage.heads.heads && value < stage.heads.size && key < stage.heads.size;
}
__device__ float* state_of(const StepStage& stage, int head) {
  const int n = stage.heads.size;
  return stage.heads.state + static_cast<std::size_t>(head) * n * n + threadIdx.x / 64 * kKeys * n +
         threadIdx.x % 64;
}
__device__ void load_state(const StepStage& stage, int head, float (&x)[kKeys]) {
  if (!has_state(stage, head)) return;
  const float* state = state_of(stage, head);
#pragma unroll
  for (int j = 0; j < kKeys; ++j) x[j] = state[j * stage.heads.size];
}

template <typename T, typename X>
__device__ void head(const StepStage& stage, int head, float (&x)[kKeys], Scratch& s) {
  const HeadsArgs& a = stage.heads;
  const int n = a.size, value = threadIdx.x % 64, group = threadIdx.x / 64, c = head * n + value;
  const bool prepares = group == 0 && value < n, active = has_state(stage, head), seven = stage.version == 7;
  float bonus = 0, squares = 0, k0 = 0;
  if (prepares) {
    const auto load = [&](const void* data) { return to_float(static_cast<const T*>(data)[c]); };
    k0 = load(a.k);
    s.r[value] = load(a.r);
    s.v[value] = load(a.v);
    s.w[value] = a.w != nullptr ? a.w[c] : a.decay[c];
    if (seven) {
      const float rate = load(a.a), kk = k0 * a.k_k[c], key = k0 * fmaf(rate - 1.0f, a.k_a[c], 1.0f);
      s.rate[value] = rate;
      s.kk[value] = kk;
      s.k[value] = key;
      squares = kk * kk;
      bonus = s.r[value] * key * a.r_k[c];
    } else {
      s.k[value] = k0;
      bonus = s.r[value] * a.bonus[c] * k0;
    }
  }
  bonus = block_sum(bonus, s);
  if (seven) {
    const float length = fmaxf(sqrtf(block_sum(squares, s)), 1e-12f);
    if (prepares) s.kk[value] /= length;
  }
  __syncthreads();
  const auto over_keys = [&](float part) {
    __syncthreads();
    s.part[group][value] = part;
    __syncthreads();
    float total = 0;
#pragma unroll
    for (int g = 0; g < 8; ++g) total += g * kKeys < n ? s.part[g][value] : 0.0f;
    return total;
  };
  const int key = group * kKeys;
  float sa = 0, y = 0;
  if (seven) {
    float part = 0;
    if (active) {
#pragma unroll
      for (int j = 0; j < kKeys; ++j) part = fmaf(x[j], -s.kk[key + j], part);
    }
    sa = over_keys(part);
  }
  if (active) {
    const float v = s.v[value];
    float* state = state_of(stage, head);
#pragma unroll
    for (int j = 0; j < kKeys; ++j) {
      const int i = key + j;
      if (seven) {
        x[j] = fmaf(v, s.k[i], fmaf(sa, s.kk[i] * s.rate[i], x[j] * s.w[i]));
        y = fmaf(x[j], s.r[i], y);
      } else {
        y = fmaf(x[j], s.r[i], y);
        x[j] = fmaf(x[j], s.w[i], s.k[i] * v);
      }
      state[j * n] = x[j];
    }
  }
  y = over_keys(y);
  if (!prepares) y = 0;
  if (!seven && prepares) y = fmaf(bonus, s.v[value], y);
  const float mean = block_sum(y, s) / n, off = prepares ? y - mean : 0.0f;
  const float inverse = 1.0f / sqrtf(block_sum(off * off, s) / n + a.group_eps);
  if (prepares) {
    float o = fmaf(off * inverse, a.group_weight[c], a.group_bias[c]);
    if (seven) o = fmaf(bonus, s.v[value], o);
    if (a.g != nullptr) o *= to_float(static_cast<const T*>(a.g)[c]);
    static_cast<X*>(a.out)[c] = from_float<X>(o);
  }
}

template <typename T, typename X>
__device__ void wkv4(const HeadsArgs& a) {
  for (int c = blockIdx.x * kThreads + threadIdx.x; c < a.size; c += gridDim.x * kThreads) {
    const auto load = [&](const void* data) { return to_float(static_cast<const T*>(data)[c]); };
    float* at = a.state + c;
    Wkv4State state{at[0], at[a.size], at[2 * a.size], at[3 * a.size]};
    static_cast<X*>(a.out)[c] =
        from_float<X>(state.step(load(a.r), load(a.k), load(a.v), a.decay[c], a.bonus[c]));
    at[0] = state.aa;
    at[a.size] = state.bb;
    at[2 * a.size] = state.pp;
    at[3 * a.size] = state.lost;
  }
}

// How many blocks have ended their stages so far, over all stages; and how many the kernel.
struct Meeting {
  unsigned arrived, left;
};
__device__ void arrive(unsigned* counter) {
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    atomicAdd(counter, 1);
  }
}
__device__ void meet(const unsigned* counter, unsigned blocks) {
  if (threadIdx.x == 0) {
    unsigned seen = 0;
    do {
#if __CUDA_ARCH__ >= 700
      asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(counter) : "memory");
#endif
    } while (seen < blocks);
    __threadfence();
  }
  __syncthreads();
}

template <typename X>
__global__ __launch_bounds__(kThreads, 1) void step_kernel(const StepStage* stages, int count, Token token,
                                                           Meeting* meeting) {
  using T = std::conditional_t<std::is_same_v<X, float>, float, f16>;
  __shared__ __align__(16) uint4 descriptions[kDepth][kQuadsOfStage];
  __shared__ Scratch scratch;
  extern __shared__ __align__(16) unsigned char memory[];
  auto* made = reinterpret_cast<X*>(memory);
  const auto describe = [&](int i) {
    if (i < count && threadIdx.x < kQuadsOfStage) {
      const auto to = static_cast<unsigned>(__cvta_generic_to_shared(&descriptions[i % kDepth][threadIdx.x]));
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to),
                   "l"(reinterpret_cast<const uint4*>(stages + i) + threadIdx.x));
    }
  };
  const auto described = [&](int i) -> const StepStage& {
    return *reinterpret_cast<const StepStage*>(descriptions[i % kDepth]);
  };
  describe(0);
  describe(1);
  asm volatile("cp.async.wait_all;" ::: "memory");
  __syncthreads();
  for (int i = 0; i < count; ++i) {
    describe(i + 2);
    const StepStage& now = described(i);
    if (i + 1 < count) bring_parameters(described(i + 1));
    float state[kKeys] = {};
    if (now.kind == StepStage::Kind::heads) load_state(now, blockIdx.x, state);
    if (i > 0) meet(&meeting->arrived, static_cast<unsigned>(i) * gridDim.x);
    if (now.moved > 0 && blockIdx.x == gridDim.x - 1) {
      for (int c = threadIdx.x; c < now.moved; c += kThreads) now.moved_to[c] = now.moved_from[c];
    }
    switch (now.kind) {
      case StepStage::Kind::embed:
        embed(now, token, scratch);
        break;
      case StepStage::Kind::mix:
        mix(now, scratch);
        break;
      case StepStage::Kind::products:
        products(now, scratch, made);
        break;
      case StepStage::Kind::heads:
        for (int h = blockIdx.x; h < now.heads.heads; h += gridDim.x) {
          if (h != static_cast<int>(blockIdx.x)) load_state(now, h, state);
          head<T, X>(now, h, state, scratch);
        }
        break;
      case StepStage::Kind::wkv4:
        wkv4<T, X>(now.heads);
    }
    asm volatile("cp.async.wait_all;" ::: "memory");
    arrive(&meeting->arrived);  // also shows all threads the next description
  }
  if (threadIdx.x == 0 && atomicAdd(&meeting->left, 1) == gridDim.x - 1) {  // the last one clears up
    meeting->arrived = 0;
    meeting->left = 0;
  }
}

}  // namespace

StepProgram::StepProgram(const std::vector<StepStage>& stages, Tensor::Type product_type,
                         std::vector<DeviceBuffer> scratch, int multiprocessors)
    : stages_(stages.size() * sizeof(StepStage), "a step"),
      meeting_(sizeof(Meeting), "a step"),
      scratch_(std::move(scratch)),
      count_(static_cast<int>(stages.size())),
      type_(product_type),
      multiprocessors_(multiprocessors) {
  DECIBAN_CUDA(cudaMemcpy(stages_.data(), stages.data(), stages_.bytes(), cudaMemcpyHostToDevice));
  DECIBAN_CUDA(cudaMemset(meeting_.data(), 0, meeting_.bytes()));
  std::size_t floats = 0;
  for (const StepStage& s : stages) {
    if (s.kind == StepStage::Kind::products) {
      floats = std::max(floats, static_cast<std::size_t>(s.mix.columns) * s.mix.count);
    }
  }
  shared_bytes_ = floats * Tensor::element_bytes(product_type);
}

void StepProgram::run(Token token, cudaStream_t stream) const {
  with_type(type_, [&]<typename X>() {
    const auto kernel = step_kernel<X>;
    DECIBAN_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                      static_cast<int>(shared_bytes_)));
    // All blocks must be on the card together.
    cudaLaunchAttribute together{};
    together.id = cudaLaunchAttributeCooperative;
    together.val.cooperative = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = static_cast<unsigned>(multiprocessors_);
    config.blockDim = kThreads;
    config.dynamicSmemBytes = shared_bytes_;
    config.stream = stream;
    config.attrs = &together;
    config.numAttrs = 1;
    DECIBAN_CUDA(cudaLaunchKernelEx(&config, kernel, static_cast<const StepStage*>(stages_.as<StepStage>()),
                                    count_, token, meeting_.as<Meeting>()));
  });
}

}  // namespace deciban::cuda

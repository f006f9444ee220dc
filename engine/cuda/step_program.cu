// The resident kernel of a step: stages one after the other, all blocks meeting in between.
#include <algorithm>

#include "engine/cuda/check.h"
#include "engine/cuda/step_attention.cuh"
#include "engine/cuda/step_products.cuh"
#include "engine/cuda/step_program.h"
#include "engine/cuda/wkv4.cuh"

namespace deciban::cuda {
namespace {

constexpr int kWarps = StepStage::kWarps, kThreads = 32 * kWarps;
constexpr int kDepth = 4;  // stages whose descriptions lie in shared memory
constexpr int kQuadsOfStage = sizeof(StepStage) / 16;
static_assert(sizeof(StepStage) % 16 == 0 && kQuadsOfStage <= kThreads);
constexpr unsigned kMostAhead = 128 << 10;  // bytes of weights a block has brought to the L2 cache ahead

struct Scratch {
  float4 parts[kWarps];
  float sums[kWarps];
  alignas(16) float r[64], w[64], k[64], kk[64], kk_a[64], v[64], sa[8][64], y[8][64];
};

// Mean and variance of a row whose columns the threads own, four in a row (`mine` such each; others are
// zero): the warps' own, joined by Chan's formula, so that the block meets once.
struct Moments {
  float mean, variance;
};
template <int kCount>
__device__ Moments moments(const float4 (&h)[kCount], int mine, int columns, bool centred, Scratch& s) {
  float total = 0, squares = 0;
#pragma unroll
  for (int j = 0; j < kCount; ++j) total += (h[j].x + h[j].y) + (h[j].z + h[j].w);
  total = warp_sum(total);
  const float count = 4.0f * __reduce_add_sync(0xffffffffu, mine);
  const float mean = count > 0 ? total / count : 0.0f;
#pragma unroll
  for (int j = 0; j < kCount; ++j) {
    if (j >= mine) continue;
    const float a = h[j].x - mean, b = h[j].y - mean, c = h[j].z - mean, d = h[j].w - mean;
    squares += fmaf(a, a, b * b) + fmaf(c, c, d * d);
  }
  squares = warp_sum(squares);
  __syncthreads();  // the last use of the scratch is over
  if (threadIdx.x % 32 == 0) s.parts[threadIdx.x / 32] = {total, squares, mean, count};
  __syncthreads();
  float sum = 0, around = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) sum += s.parts[w].x;
  const float all = centred ? sum / columns : 0.0f;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) {
    const float4 p = s.parts[w];
    around += fmaf(p.w * (p.z - all), p.z - all, p.y);
  }
  return {all, around / columns};
}

__device__ void bring(const void* at, std::size_t bytes) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  if (at != nullptr && bytes >= 16) {
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(at),
                 "r"(static_cast<unsigned>(bytes / 16 * 16)));
  }
#endif
}

// Has what a stage will read of parameters brought to the L2 cache, which does not depend on other stages.
template <bool kAttends>
__device__ void bring_parameters(const StepStage& s) {
  const int i = static_cast<int>(threadIdx.x) - (kThreads - 32), block = blockIdx.x;
  if (i < 0) return;
  if constexpr (kAttends) {
    if (s.kind == StepStage::Kind::attention) bring_keys(s.attention, i, bring);
  }
  if (i < s.count) {
    const Few& p = s.at[i];
    const StepShare mine = share(s);
    const int first = max(mine.first, p.end - p.outputs), end = min(mine.end, p.end);
    if (first < end) {
      const std::size_t row = p.w_stride * bytes_of(p.format), from = first - (p.end - p.outputs);
      const std::size_t bytes = min(row * (end - first), static_cast<std::size_t>(kMostAhead));
      bring(static_cast<const char*>(p.w) + from * row, bytes);
    }
    if (p.finish.bias != nullptr && block == 0) bring(p.finish.bias, p.outputs * sizeof(float));
  }
  if (i == 31) {  // a vector a block
    const std::size_t row = s.mix.columns * sizeof(float);
    if (block == 0) bring(s.mix.weight, row);
    if (block == 1) bring(s.mix.bias, row);
    if (block == 2) bring(s.mix.shift != nullptr ? s.mix.shift : s.mix.second_weight, row);
    if (block >= 3 && block < 3 + s.mix.count) bring(s.mix.by[block - 3], row);
    if (s.kind == StepStage::Kind::heads) {
      const std::size_t all = static_cast<std::size_t>(s.heads.heads) * s.heads.size * sizeof(float);
      const float* of[7] = {s.heads.k_k,        s.heads.k_a,   s.heads.r_k,  s.heads.group_weight,
                            s.heads.group_bias, s.heads.decay, s.heads.bonus};
      if (block < 7) bring(of[block], all);
    }
  }
}

__device__ float4 affine(float4 x, const float* weight, const float* bias) {
  const float4 w = load4(weight), b = bias == nullptr ? float4{0, 0, 0, 0} : load4(bias);
  return {fmaf(x.x, w.x, b.x), fmaf(x.y, w.y, b.y), fmaf(x.z, w.z, b.z), fmaf(x.w, w.w, b.w)};
}
// The row's norm: thread i has the columns from 4 i, 4 (i + kThreads), … on, and gives each four with the row
// before, and what they are without weight and bias.
constexpr int kOwned = (StepStage::kMostColumns / 4 + kThreads - 1) / kThreads;
template <typename F>
__device__ void normalise(const StepStage::Mix& m, const float* weight, const float* bias, Scratch& s,
                          const F& give) {
  float4 h[kOwned], before[kOwned];
  const float *x = m.x, *shift = m.shift;
  const int columns = m.columns;
  int mine = 0;
#pragma unroll
  for (int j = 0; j < kOwned; ++j) {
    const int c = 4 * (threadIdx.x + j * kThreads);
    h[j] = before[j] = {0, 0, 0, 0};
    if (c >= columns) continue;
    ++mine;
    h[j] = load4(x + c);
    if (shift != nullptr) before[j] = load4(shift + c);
  }
  const Moments row = moments(h, mine, columns, m.centred, s);
  const float inverse = 1.0f / sqrtf(row.variance + m.eps), mean = row.mean;
#pragma unroll
  for (int j = 0; j < kOwned; ++j) {
    const int c = 4 * (threadIdx.x + j * kThreads);
    if (c >= columns) continue;
    const float4 plain = {(h[j].x - mean) * inverse, (h[j].y - mean) * inverse, (h[j].z - mean) * inverse,
                          (h[j].w - mean) * inverse};
    give(c, affine(plain, weight + c, bias == nullptr ? nullptr : bias + c), before[j], plain);
  }
}
__device__ float4 mixed(float4 h, float4 before, const float* by) {
  const float4 m = load4(by);
  return {fmaf(before.x - h.x, m.x, h.x), fmaf(before.y - h.y, m.y, h.y), fmaf(before.z - h.z, m.z, h.z),
          fmaf(before.w - h.w, m.w, h.w)};
}

__device__ void embed(const StepStage& stage, Token token, Scratch& s) {
  if (blockIdx.x != 0) return;
  const std::size_t row = static_cast<std::size_t>(token) * stage.mix.columns;
  // Each thread later reads what it writes here.
  for (int c = 4 * threadIdx.x; c < stage.mix.columns; c += 4 * kThreads) {
    const View table{const_cast<void*>(stage.table), 0, stage.table_type};
    store4(stage.mix.x + c, load4(table, 0, row + c));
  }
  if (stage.mix.weight != nullptr) {
    normalise(stage.mix, stage.mix.weight, stage.mix.bias, s,
              [&](int c, float4 h, float4, float4) { store4(stage.mix.x + c, h); });
  }
}

__device__ void mix(const StepStage& stage, Scratch& s) {
  if (blockIdx.x != 0) return;
  const StepStage::Mix& m = stage.mix;
  normalise(m, m.weight, m.bias, s, [&](int c, float4 h, float4 before, float4 plain) {
    for (int i = 0; i < m.count; ++i) {
      if (i == 1 && m.second_weight != nullptr) {
        const float* bias = m.second_bias == nullptr ? nullptr : m.second_bias + c;
        store4(m.out[i], 0, c, affine(plain, m.second_weight + c, bias));
        continue;
      }
      store4(m.out[i], 0, c, m.by[i] == nullptr ? h : mixed(h, before, m.by[i] + c));
    }
    if (m.normed.data != nullptr) store4(m.normed, 0, c, h);
    if (m.before.data != nullptr) store4(m.before, 0, c, before);
    if (m.shift != nullptr) store4(m.shift + c, h);
  });
}

// The parameters of a mix that products begin with, on their way to shared memory: the norm's weight and
// bias, then the mixes (or a second norm's); those only that this block's outputs need.
__device__ void fetch_mix(const StepStage& stage, unsigned needed, float* parameters) {
  const StepStage::Mix& m = stage.mix;
  const auto copy = [&](const float* from, int place) {
    const auto to = static_cast<unsigned>(__cvta_generic_to_shared(parameters + place * m.columns));
    for (int c = 4 * threadIdx.x; c < m.columns; c += 4 * kThreads) {
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to + 4 * c), "l"(from + c) : "memory");
    }
  };
  copy(m.weight, 0);
  if (m.bias != nullptr) copy(m.bias, 1);
  if (m.second_weight != nullptr && (needed & 2) != 0) {
    copy(m.second_weight, 2);
    if (m.second_bias != nullptr) copy(m.second_bias, 3);
  }
  for (int i = 0; i < m.count; ++i) {
    if (m.by[i] != nullptr && (needed >> i & 1) != 0) copy(m.by[i], 2 + i);
  }
}

// What the products read, in shared memory: mixes made here, or finished rows.
template <bool kAttends, typename X>
__device__ void gather_inputs(const StepStage& stage, StepShare mine, unsigned needed,
                              const float* parameters, X* inputs, Scratch& s) {
  const StepStage::Mix& m = stage.mix;
  if (m.columns > 0) {
    asm volatile("cp.async.wait_all;" ::: "memory");  // moments() has all threads meet
    const int columns = m.columns;
    const bool norms = m.by[0] == nullptr;  // and no mixes
    const float* bias = m.bias == nullptr ? nullptr : parameters + columns;
    float* kept = blockIdx.x == 0 ? m.h : nullptr;
    normalise(m, parameters, bias, s, [&](int c, float4 h, float4 before, float4 plain) {
      for (unsigned left = needed; left != 0; left &= left - 1) {
        const int i = __ffs(left) - 1;
        const float* of = parameters + (2 + i) * columns + c;
        store4(inputs + i * columns + c,
               !norms   ? mixed(h, before, of)
               : i == 0 ? h
                        : affine(plain, of - columns, m.second_bias == nullptr ? nullptr : of));
      }
      if (kept != nullptr) store4(kept + c, h);
    });
  } else {
    for (int i = 0; i < stage.count; ++i) {
      if (!has_part(stage, mine, i)) continue;
      if constexpr (kAttends) {
        if (i == stage.joined) {
          join_shares(stage.shares, stage.at[i].inputs, inputs + stage.place[i]);
          continue;
        }
      }
      const auto* from = static_cast<const uint4*>(stage.at[i].x);
      auto* to = reinterpret_cast<uint4*>(inputs + stage.place[i]);
      const int quads = (stage.at[i].inputs + 15) / 16 * static_cast<int>(sizeof(X));
      for (int q = threadIdx.x; q < quads; q += kThreads) to[q] = from[q];
    }
  }
  __syncthreads();
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

// Of two channels of a lane of the first warp, which prepares and finishes: i and i + 32.
struct HeadParameters {
  float k_k[2] = {}, k_a[2] = {}, r_k[2] = {}, weight[2] = {}, bias[2] = {}, decay[2] = {}, bonus[2] = {};
};
__device__ void load_parameters(const StepStage& stage, int head, HeadParameters& p) {
  const HeadsArgs& a = stage.heads;
#pragma unroll
  for (int e = 0; e < 2; ++e) {
    const int i = threadIdx.x + 32 * e, c = head * a.size + i;
    if (threadIdx.x >= 32 || i >= a.size || head >= a.heads) continue;
    p.weight[e] = a.group_weight[c], p.bias[e] = a.group_bias[c];
    if (stage.version == 7) {
      p.k_k[e] = a.k_k[c], p.k_a[e] = a.k_a[c], p.r_k[e] = a.r_k[c];
    } else {
      p.bonus[e] = a.bonus[c];
    }
    if (a.w == nullptr) p.decay[e] = a.decay[c];
  }
}

template <typename T, typename X>
__device__ void head(const StepStage& stage, int head, float (&x)[kKeys], const HeadParameters& parameters,
                     Scratch& s) {
  const HeadsArgs& a = stage.heads;
  const int n = a.size, value = threadIdx.x % 64, group = threadIdx.x / 64, lane = threadIdx.x % 32;
  const bool first_warp = threadIdx.x < 32, active = has_state(stage, head), seven = stage.version == 7;
  float bonus = 0, g[2] = {1, 1}, v[2] = {};
  __syncthreads();  // the head before is done with the scratch
  if (first_warp) {
    // All loads before the first use, and none behind a decision: a lane without a channel reads the last
    // one.
    float k0[2], r[2], w[2], rate[2], kk[2], squares = 0;
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int c = head * n + min(lane + 32 * e, n - 1);
      const auto load = [&](const void* data) {
        return to_float(static_cast<const T*>(data != nullptr ? data : a.k)[c]);
      };
      k0[e] = load(a.k), r[e] = load(a.r), v[e] = load(a.v), rate[e] = load(a.a), g[e] = load(a.g);
      w[e] = (a.w != nullptr ? a.w : a.group_weight)[c];
    }
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int i = lane + 32 * e;
      const bool mine = i < n;
      if (a.g == nullptr) g[e] = 1;
      if (a.w == nullptr) w[e] = parameters.decay[e];
      kk[e] = mine ? k0[e] * parameters.k_k[e] : 0.0f;
      const float key = seven ? k0[e] * fmaf(rate[e] - 1.0f, parameters.k_a[e], 1.0f) : k0[e];
      squares = fmaf(kk[e], kk[e], squares);
      bonus += mine ? r[e] * key * (seven ? parameters.r_k[e] : parameters.bonus[e]) : 0.0f;
      s.r[i] = r[e], s.v[i] = v[e], s.w[i] = w[e], s.k[i] = key;
    }
    bonus = warp_sum(bonus);
    const float inverse = 1.0f / fmaxf(sqrtf(warp_sum(squares)), 1e-12f);
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      s.kk[lane + 32 * e] = kk[e] * inverse;
      s.kk_a[lane + 32 * e] = kk[e] * inverse * rate[e];
    }
  }
  __syncthreads();
  const int key = group * kKeys;
  const auto over_groups = [&](const float(&part)[8][64], int i) {
    float total = 0;
#pragma unroll
    for (int g = 0; g < 8; ++g) total += g * kKeys < n ? part[g][i] : 0.0f;
    return total;
  };
  float sa = 0, y = 0;
  if (seven) {
    if (active) {
      float part = 0;
#pragma unroll
      for (int j = 0; j < kKeys; j += 4) {
        const float4 kk = load4(s.kk + key + j);
        part -= fmaf(x[j], kk.x, x[j + 1] * kk.y) + fmaf(x[j + 2], kk.z, x[j + 3] * kk.w);
      }
      s.sa[group][value] = part;
    }
    __syncthreads();
    if (active) sa = over_groups(s.sa, value);
  }
  if (active) {
    const float mine = s.v[value];
    float* state = state_of(stage, head);
#pragma unroll
    for (int j = 0; j < kKeys; j += 4) {
      const int i = key + j;
      const float4 k4 = load4(s.k + i), w4 = load4(s.w + i), r4 = load4(s.r + i), b4 = load4(s.kk_a + i);
      const float ks[4] = {k4.x, k4.y, k4.z, k4.w}, ws[4] = {w4.x, w4.y, w4.z, w4.w},
                  rs[4] = {r4.x, r4.y, r4.z, r4.w}, bs[4] = {b4.x, b4.y, b4.z, b4.w};
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        float& state_now = x[j + e];
        if (seven) {
          state_now = fmaf(mine, ks[e], fmaf(sa, bs[e], state_now * ws[e]));
          y = fmaf(state_now, rs[e], y);
        } else {
          y = fmaf(state_now, rs[e], y);
          state_now = fmaf(state_now, ws[e], ks[e] * mine);
        }
        state[(j + e) * n] = state_now;
      }
    }
    s.y[group][value] = y;
  }
  __syncthreads();
  if (!first_warp) return;
  float out[2] = {}, total = 0, squares = 0;
#pragma unroll
  for (int e = 0; e < 2; ++e) {
    if (lane + 32 * e >= n) continue;
    out[e] = over_groups(s.y, lane + 32 * e);
    if (!seven) out[e] = fmaf(bonus, v[e], out[e]);  // the bonus is part of what is normalised
    total += out[e];
  }
  const float mean = warp_sum(total) / n;
#pragma unroll
  for (int e = 0; e < 2; ++e) {
    if (lane + 32 * e >= n) continue;
    out[e] -= mean;
    squares = fmaf(out[e], out[e], squares);
  }
  const float inverse = 1.0f / sqrtf(warp_sum(squares) / n + a.group_eps);
#pragma unroll
  for (int e = 0; e < 2; ++e) {
    if (lane + 32 * e >= n) continue;
    float o = fmaf(out[e] * inverse, parameters.weight[e], parameters.bias[e]);
    if (seven) o = fmaf(bonus, v[e], o);
    static_cast<X*>(a.out)[head * n + lane + 32 * e] = from_float<X>(o * g[e]);
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
  if (threadIdx.x == 0) asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(counter) : "memory");
}
__device__ void meet(const unsigned* counter, unsigned blocks) {
  if (threadIdx.x == 0) {
    unsigned seen = 0;
    do {
      asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(counter) : "memory");
    } while (seen < blocks);
  }
  __syncthreads();
}

__device__ void move_state(const StepStage& now) {
  if (now.moved == 0 || blockIdx.x != gridDim.x - 1) return;
  for (int c = threadIdx.x; c < now.moved; c += kThreads) now.moved_to[c] = now.moved_from[c];
}

// kAttends: a transformer's; else an RWKV's.  Each has registers for its own stages alone.
template <typename X, bool kAttends>
__global__ __launch_bounds__(kThreads, 1) void step_kernel(const StepStage* stages, int count, Token token,
                                                           Meeting* meeting) {
  using T = std::conditional_t<std::is_same_v<X, float>, float, f16>;
  __shared__ __align__(16) uint4 descriptions[kDepth][kQuadsOfStage];
  __shared__ Scratch scratch;
  extern __shared__ __align__(16) unsigned char memory[];
  auto* inputs = reinterpret_cast<X*>(memory);
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
  describe(2);
  asm volatile("cp.async.wait_all;" ::: "memory");
  __syncthreads();
  if (count > 1) bring_parameters<kAttends>(described(1));
  for (int i = 0; i < count; ++i) {
    describe(i + 3);
    const StepStage& now = described(i);
    if (i + 2 < count) bring_parameters<kAttends>(described(i + 2));
    if (now.kind == StepStage::Kind::products || now.kind == StepStage::Kind::attention) {
      bool met = i == 0;
      if constexpr (kAttends) {
        if (now.kind == StepStage::Kind::attention) {  // before the weights: their registers are needed
          attend_stage<T, X>(now, memory,
                             [&] { meet(&meeting->arrived, static_cast<unsigned>(i) * gridDim.x); });
          met = true;
        }
      }
      if (now.count > 0) {
        const StepShare mine = share(now);
        const unsigned needed = now.needed[blockIdx.x];
        auto* parameters = reinterpret_cast<float*>(memory + now.parameters);
        uint4 first[kStepPieces], second[kStepPieces];
        WeightReader ahead(now, mine);
        ahead.fetch(first);
        if (ahead.more()) ahead.advance();
        ahead.fetch(second);
        if (ahead.more()) ahead.advance();
        if (now.mix.columns > 0) fetch_mix(now, needed, parameters);
        OutputWriter writer(now, mine);
        writer.before();
        if (!met) meet(&meeting->arrived, static_cast<unsigned>(i) * gridDim.x);
        writer.after();
        move_state(now);
        gather_inputs<kAttends>(now, mine, needed, parameters, inputs, scratch);
        multiply(now, mine, ahead, first, second, writer, inputs, scratch.sums);
      }
      asm volatile("cp.async.wait_all;" ::: "memory");
      if (i + 1 < count) arrive(&meeting->arrived);  // nobody meets behind the last stage
      continue;
    }
    if constexpr (kAttends) {
      if (i > 0) meet(&meeting->arrived, static_cast<unsigned>(i) * gridDim.x);
      now.kind == StepStage::Kind::embed ? embed(now, token, scratch) : mix(now, scratch);
    } else {
      float state[kKeys] = {};
      HeadParameters parameters;
      if (now.kind == StepStage::Kind::heads) {
        load_state(now, blockIdx.x, state);
        load_parameters(now, blockIdx.x, parameters);
      }
      if (i > 0) meet(&meeting->arrived, static_cast<unsigned>(i) * gridDim.x);
      move_state(now);
      switch (now.kind) {
        case StepStage::Kind::embed:
          embed(now, token, scratch);
          break;
        case StepStage::Kind::mix:
          mix(now, scratch);
          break;
        case StepStage::Kind::products:
        case StepStage::Kind::attention:
          break;
        case StepStage::Kind::heads:
          for (int h = blockIdx.x; h < now.heads.heads; h += gridDim.x) {
            if (h != static_cast<int>(blockIdx.x)) {
              load_state(now, h, state);
              load_parameters(now, h, parameters);
            }
            head<T, X>(now, h, state, parameters, scratch);
          }
          break;
        case StepStage::Kind::wkv4:
          wkv4<T, X>(now.heads);
      }
    }
    asm volatile("cp.async.wait_all;" ::: "memory");
    if (i + 1 < count) arrive(&meeting->arrived);  // also shows all threads the next description
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
  DECIBAN_CUDA(cudaStreamSynchronize(cudaStreamLegacy));  // other streams do not wait for it
  shared_bytes_ = 0;
  for (const StepStage& s : stages) {
    shared_bytes_ = std::max<std::size_t>(shared_bytes_, s.shared);
    attends_ = attends_ || s.kind == StepStage::Kind::attention;
  }
}

void StepProgram::run(Token token, cudaStream_t stream) const {
  const auto launch = [&](void (*kernel)(const StepStage*, int, Token, Meeting*)) {
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
  };
  with_type(type_, [&]<typename X>() {
    if constexpr (!std::is_same_v<X, float>) {  // keys of 16 bits alone
      if (attends_) return launch(step_kernel<X, true>);
    }
    launch(step_kernel<X, false>);
  });
}

}  // namespace deciban::cuda

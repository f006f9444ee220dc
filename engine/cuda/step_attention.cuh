// Attention of one row as a stage of a step: blocks share a head's keys, each reads its share (on the way
// before the stage before has ended), and leaves sums and their maximum; who reads the row joins the shares.
#pragma once

#include "engine/cuda/attention_tile.cuh"
#include "engine/cuda/step_stages.h"

namespace deciban::cuda {

// A key's channels lie with `lanes` neighbouring lanes, eight each; a thread has kKeysAhead keys at a time.
constexpr int kKeysAhead = 4, kStepThreads = 32 * StepStage::kWarps;

// What one block reads: keys [first, end) of the cache, and (newest) the row's own, which is not there yet.
struct KeyShare {
  int head, split, first, end, slot, position;
  bool newest;
};
__device__ inline KeyShare key_share(const StepAttention& a, int item) {
  KeyShare s;
  const int2 at = a.kv.rows[0];
  s.slot = at.x, s.position = at.y;
  s.head = item / a.splits, s.split = item % a.splits;
  const int begin = a.window != 0 && s.position + 1 > a.window ? s.position + 1 - a.window : 0;
  const int share = (s.position + 1 - begin + a.splits - 1) / a.splits;
  s.first = begin + s.split * share;
  const int end = min(s.first + share, s.position + 1);
  s.newest = s.first <= s.position && end == s.position + 1;
  s.end = min(end, s.position);
  return s;
}
// Where a head's keys of a page begin.
__device__ inline std::byte* page_of(const StepAttention& a, const KeyShare& s, int key) {
  std::byte* page = a.kv.pages[static_cast<std::size_t>(s.slot) * a.kv.page_stride + key / kPageTokens];
  return page + a.kv.offset + static_cast<std::size_t>(s.head / a.group) * a.kv.head_bytes;
}

struct KeysAhead {
  uint4 keys[kKeysAhead], values[kKeysAhead];
};
// Those of the thread from `from` on; zeros behind the end.
__device__ inline void fetch_keys(const StepAttention& a, const KeyShare& s, int from, KeysAhead& ahead) {
  const int piece = threadIdx.x % a.lanes, groups = kStepThreads / a.lanes;
  int key = from + static_cast<int>(threadIdx.x) / a.lanes;
#pragma unroll
  for (int i = 0; i < kKeysAhead; ++i, key += groups) {
    ahead.keys[i] = ahead.values[i] = {0, 0, 0, 0};
    if (key >= s.end || piece >= a.kv.padded / 8) continue;
    const std::byte* at = page_of(a, s, key) + piece_offset(a.kv.padded, key % kPageTokens, piece);
    ahead.keys[i] = __ldcs(reinterpret_cast<const uint4*>(at));
    ahead.values[i] = __ldcs(reinterpret_cast<const uint4*>(at + a.kv.value_offset));
  }
}

// The angles of the row, which depend on no other stage.
__device__ inline void prepare_turns(const StepAttention& a, StepAttentionMemory& m) {
  const int i = threadIdx.x;
  if (i >= a.rotary / 2) return;
  float sine, cosine;
  sincosf(__fmul_rn(static_cast<float>(a.kv.rows[0].y), a.frequencies[i]), &sine, &cosine);
  m.turns[i] = {cosine * a.magnitude, sine * a.magnitude};
}

// The row's query, and with the newest key that key and its value, which the first head of a group puts into
// the cache.  In: elements between products and what follows them; X: the cache's.
template <typename In, typename X>
__device__ void prepare_row(const StepAttention& a, const KeyShare& s, StepAttentionMemory& m) {
  const int size = a.kv.size, half = a.rotary / 2, kv_head = s.head / a.group;
  const bool keeps = s.head % a.group == 0;
  for (int i = threadIdx.x; i < (s.newest ? 3 : 1) * size; i += kStepThreads) {
    const int kind = i / size, c = i % size;  // q, k, v
    const void* from = kind == 0 ? a.q : kind == 1 ? a.k : a.v;
    const In* x = static_cast<const In*>(from) + (kind == 0 ? s.head : kv_head) * size;
    float value = to_float(x[c]);
    if (kind < 2 && c < a.rotary) {
      const bool front = a.interleaved ? c % 2 == 0 : c < half;
      const int other = a.interleaved ? c ^ 1 : front ? c + half : c - half;
      const float2 turn = m.turns[a.interleaved ? c / 2 : front ? c : c - half];
      const float across = to_float(x[other]) * turn.y;
      value = front ? value * turn.x - across : value * turn.x + across;
    }
    if (kind == 0) {
      m.q[c] = value * a.scale;
      continue;
    }
    const X kept = from_float<X>(value);
    (kind == 1 ? m.k : m.v)[c] = to_float(kept);
    if (keeps) {
      *reinterpret_cast<X*>(page_of(a, s, s.position) + (kind == 1 ? 0 : a.kv.value_offset) +
                            element_offset(a.kv.padded, true, s.position % kPageTokens, c)) = kept;
    }
  }
}

// A running softmax over the keys of a thread's group of lanes.
struct RunningSum {
  float most = -INFINITY, total = 0, sum[8] = {};
  __device__ void join(float other_most, float other_total, const float (&other)[8]) {
    const float top = fmaxf(most, other_most), base = top == -INFINITY ? 0.0f : top;
    const float mine = exp2_fast((most - base) * kLog2e), others = exp2_fast((other_most - base) * kLog2e);
    most = top;
    total = total * mine + other_total * others;
#pragma unroll
    for (int e = 0; e < 8; ++e) sum[e] = sum[e] * mine + other[e] * others;
  }
};

// Sum over the lanes of a key, the same in all of them.
__device__ inline float lanes_sum(float x, int lanes) {
  x += __shfl_xor_sync(0xffffffffu, x, 1);
  x += __shfl_xor_sync(0xffffffffu, x, 2);
  x += __shfl_xor_sync(0xffffffffu, x, 4);
  if (lanes > 8) x += __shfl_xor_sync(0xffffffffu, x, 8);
  if (lanes > 16) x += __shfl_xor_sync(0xffffffffu, x, 16);
  return x;
}

template <typename X>
__device__ inline void add_keys(const StepAttention& a, const KeyShare& s, int from, const KeysAhead& ahead,
                                const float (&q)[8], float slope, RunningSum& running) {
  const int groups = kStepThreads / a.lanes, key = from + static_cast<int>(threadIdx.x) / a.lanes;
  float score[kKeysAhead], top = running.most;
#pragma unroll
  for (int i = 0; i < kKeysAhead; ++i) {
    float k[8], part = 0;
    unpack(ahead.keys[i], k, static_cast<const X*>(nullptr));
#pragma unroll
    for (int e = 0; e < 8; ++e) part = fmaf(q[e], k[e], part);
    const int at = key + i * groups;
    score[i] = fmaf(slope, static_cast<float>(at - s.position), lanes_sum(part, a.lanes));
    if (at >= s.end) score[i] = -INFINITY;
    top = fmaxf(top, score[i]);
  }
  const float base = top == -INFINITY ? 0.0f : top, shrink = exp2_fast((running.most - base) * kLog2e);
  running.most = top;
  running.total *= shrink;
#pragma unroll
  for (int e = 0; e < 8; ++e) running.sum[e] *= shrink;
#pragma unroll
  for (int i = 0; i < kKeysAhead; ++i) {
    float v[8];
    unpack(ahead.values[i], v, static_cast<const X*>(nullptr));
    const float weight = exp2_fast((score[i] - base) * kLog2e);
    running.total += weight;
#pragma unroll
    for (int e = 0; e < 8; ++e) running.sum[e] = fmaf(weight, v[e], running.sum[e]);
  }
}

// All shares of this block, the first of which `ahead` has begun to bring.
template <typename In, typename X>
__device__ void attend(const StepAttention& a, KeysAhead& ahead, StepAttentionMemory& m) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, size = a.kv.size, first_item = blockIdx.x;
  const int piece = threadIdx.x % a.lanes, groups = kStepThreads / a.lanes;
  for (int item = first_item; item < a.heads * a.splits; item += gridDim.x) {
    const KeyShare s = key_share(a, item);
    if (item != first_item) {
      __syncthreads();  // all are done with the item before
      fetch_keys(a, s, s.first, ahead);
    }
    prepare_row<In, X>(a, s, m);
    __syncthreads();
    float q[8];
#pragma unroll
    for (int e = 0; e < 8; ++e) q[e] = 8 * piece < size ? m.q[8 * piece + e] : 0.0f;
    const float slope = a.slopes == nullptr ? 0.0f : a.slopes[s.head];
    RunningSum running;
    for (int from = s.first; from < s.end; from += groups * kKeysAhead) {
      add_keys<X>(a, s, from, ahead, q, slope, running);
      if (from + groups * kKeysAhead < s.end) fetch_keys(a, s, from + groups * kKeysAhead, ahead);
    }
    if (s.newest && warp == 0) {
      float part = 0, value[8];
#pragma unroll
      for (int e = 0; e < 8; ++e) {
        const bool there = 8 * piece < size;
        part = fmaf(q[e], there ? m.k[8 * piece + e] : 0.0f, part);
        value[e] = there ? m.v[8 * piece + e] : 0.0f;
      }
      const float score = lanes_sum(part, a.lanes);
      const bool counts = lane < a.lanes;  // once
      running.join(counts ? score : -INFINITY, counts ? 1.0f : 0.0f, value);
    }
    for (int apart = a.lanes; apart < 32; apart *= 2) {
      const float most = __shfl_xor_sync(0xffffffffu, running.most, apart);
      const float total = __shfl_xor_sync(0xffffffffu, running.total, apart);
      float sum[8];
#pragma unroll
      for (int e = 0; e < 8; ++e) sum[e] = __shfl_xor_sync(0xffffffffu, running.sum[e], apart);
      running.join(most, total, sum);
    }
    if (lane == 0) m.ends[warp] = {running.most, running.total};
    if (lane < a.lanes && 8 * piece < size) {
#pragma unroll
      for (int e = 0; e < 8; e += 4) {
        store4(m.sums[warp] + 8 * piece + e,
               float4{running.sum[e], running.sum[e + 1], running.sum[e + 2], running.sum[e + 3]});
      }
    }
    __syncthreads();
    if (static_cast<int>(threadIdx.x) < size) {
      float most = -INFINITY, total = 0, sum = 0;
#pragma unroll
      for (int w = 0; w < StepStage::kWarps; ++w) most = fmaxf(most, m.ends[w].x);
      const float base = most == -INFINITY ? 0.0f : most;
#pragma unroll
      for (int w = 0; w < StepStage::kWarps; ++w) {
        const float2 end = m.ends[w];
        const float factor = exp2_fast((end.x - base) * kLog2e);
        total = fmaf(end.y, factor, total);
        sum = fmaf(m.sums[w][threadIdx.x], factor, sum);
      }
      a.sums[static_cast<std::size_t>(item) * size + threadIdx.x] = sum;
      if (threadIdx.x == 0) a.ends[item] = {most, total};
    }
  }
}

// A stage's attention; `meet` waits for the stage before.
template <typename In, typename X, typename Meet>
__device__ void attend_stage(const StepStage& stage, unsigned char* memory, const Meet& meet) {
  const StepAttention& a = stage.attention;
  auto& own = *reinterpret_cast<StepAttentionMemory*>(memory + a.memory);
  KeysAhead ahead;
  const bool some = static_cast<int>(blockIdx.x) < a.heads * a.splits;
  if (some) {
    const KeyShare share = key_share(a, blockIdx.x);
    fetch_keys(a, share, share.first, ahead);
    prepare_turns(a, own);
  }
  meet();
  if (some) attend<In, X>(a, ahead, own);
}

// The row that a stage of attention found, from the shares of all blocks.
template <typename X>
__device__ void join_shares(const StepShares& shares, int columns, X* row) {
  constexpr int kTogether = 4;
  for (int c = 4 * threadIdx.x; c < columns; c += 4 * kStepThreads) {
    const int first = c / shares.size * shares.splits;
    float most = -INFINITY, total = 0;
    float4 sum = {0, 0, 0, 0};
    for (int n = 0; n < shares.splits; n += kTogether) {
      float2 ends[kTogether];
      float4 parts[kTogether];
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
        const auto at = static_cast<std::size_t>(first + min(n + i, shares.splits - 1));
        ends[i] = __ldcg(shares.ends + at);
        parts[i] = __ldcg(reinterpret_cast<const float4*>(shares.sums + at * shares.size + c % shares.size));
        if (n + i >= shares.splits) ends[i].x = -INFINITY;
      }
      float top = most;
#pragma unroll
      for (int i = 0; i < kTogether; ++i) top = fmaxf(top, ends[i].x);
      const float base = top == -INFINITY ? 0.0f : top, shrink = exp2_fast((most - base) * kLog2e);
      most = top;
      total *= shrink;
      sum = {sum.x * shrink, sum.y * shrink, sum.z * shrink, sum.w * shrink};
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
        const float factor = exp2_fast((ends[i].x - base) * kLog2e);
        total = fmaf(ends[i].y, factor, total);
        sum = {fmaf(parts[i].x, factor, sum.x), fmaf(parts[i].y, factor, sum.y),
               fmaf(parts[i].z, factor, sum.z), fmaf(parts[i].w, factor, sum.w)};
      }
    }
    const float inverse = 1.0f / total;
    store4(row + c, float4{sum.x * inverse, sum.y * inverse, sum.z * inverse, sum.w * inverse});
  }
}

// Has a block's share of keys and values brought to the L2 cache, by one warp; the most that is worth it.
__device__ inline void bring_keys(const StepAttention& a, int lane, void (*bring)(const void*, std::size_t)) {
  const int item = blockIdx.x;
  if (item >= a.heads * a.splits) return;
  const KeyShare s = key_share(a, item);
  const int parts = (a.kv.padded + 63) / 64, pieces = 2 * parts;  // of each page: keys and values
  const int page = s.first / kPageTokens + lane / pieces, part = lane % pieces % parts;
  const bool value = lane % pieces >= parts;
  const int begin = max(s.first, page * kPageTokens), end = min(s.end, (page + 1) * kPageTokens);
  if (lane >= 32 / pieces * pieces || begin >= end) return;
  const int first = piece_offset(a.kv.padded, 0, 8 * part), row = min(8, a.kv.padded / 8 - 8 * part) * 16;
  bring(page_of(a, s, begin) + (value ? a.kv.value_offset : 0) + first + begin % kPageTokens * row,
        static_cast<std::size_t>(end - begin) * row);
}

}  // namespace deciban::cuda

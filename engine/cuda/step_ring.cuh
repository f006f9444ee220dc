// Weights of a step on their way to shared memory: each warp has a ring of chunks of its own, which it keeps
// full across stages, so that memory has work while blocks meet and while rows are normalised.
#pragma once

#include "engine/cuda/step_products.cuh"
#include "engine/cuda/tma.cuh"

namespace deciban::cuda {

constexpr int kMostRingSlots = 8, kLeastRingSlots = 2;  // chunks of a warp
constexpr unsigned kRingSlotBytes = StepStage::kWarps * kStepChunk;

class WeightRing {
 public:
  // `memory`: slots * kRingSlotBytes; `barriers`: [warps][kMostRingSlots].
  __device__ WeightRing(unsigned char* memory, std::uint64_t* barriers, int slots)
      : chunks_(memory + threadIdx.x / 32 * slots * kStepChunk),
        full_(barriers + threadIdx.x / 32 * kMostRingSlots),
        slots_(slots) {
    if (threadIdx.x % 32 == 0) {
      for (int i = 0; i < slots; ++i) barrier_init(full_ + i, 1);
      asm volatile("fence.mbarrier_init.release.cluster;\nfence.proxy.async.shared::cta;" ::: "memory");
    }
    __syncwarp();
  }
  __device__ bool has_room() const { return filled_ < slots_; }
  // The next chunk of `from`, which has more.
  __device__ void fill(const WeightReader& from) {
    if (threadIdx.x % 32 == 0) {
      const int bytes = min(kStepChunk, from.end() - from.at());
      barrier_expect(full_ + next_, bytes);
      copy_bytes(chunks_ + next_ * kStepChunk, from.data(), bytes, full_ + next_);
    }
    if (++next_ == slots_) next_ = 0;
    ++filled_;
  }
  // The oldest chunk, whose place may be filled again afterwards.
  __device__ void take(const WeightReader& at, uint4 (&raw)[kStepPieces]) {
    barrier_wait(full_ + oldest_, parity_);
    const unsigned char* chunk = chunks_ + oldest_ * kStepChunk + threadIdx.x % 32 * 16;
#pragma unroll
    for (int i = 0; i < kStepPieces; ++i) {
      raw[i] =
          at.at() + i * 512 < at.end() ? *reinterpret_cast<const uint4*>(chunk + i * 512) : uint4{0, 0, 0, 0};
    }
    __syncwarp();
    if (++oldest_ == slots_) {
      oldest_ = 0;
      parity_ ^= 1;
    }
    --filled_;
  }

 private:
  unsigned char* chunks_;
  std::uint64_t* full_;
  int slots_, next_ = 0, oldest_ = 0, filled_ = 0, parity_ = 0;
};

// Multiplies from inputs in shared memory, as multiply() does, with weights from the ring, which refill()
// keeps full.
template <typename X, typename Refill>
__device__ void multiply_from_ring(const StepStage& stage, StepShare mine, WeightRing& ring,
                                   OutputWriter writer, const X* inputs, float* sums, const Refill& refill) {
  WeightReader now(stage, mine);
  float sum = 0;
  while (now.more()) {
    uint4 raw[kStepPieces];
    ring.take(now, raw);
    refill();
    sum += chunk_sum(raw, now, inputs + stage.place[now.product()]);
    if (now.advance() && stage.split == 0) {
      writer.take(warp_sum(sum));
      sum = 0;
    }
  }
  finish_outputs(stage, sum, writer, sums);
}

}  // namespace deciban::cuda

// The products of a step's stage: each block has a share of the outputs, each warp some of its rows.  Weights
// depend on nobody, so the first of them are on their way before the stage before has ended.
#pragma once

#include "engine/cuda/step_stages.h"

namespace deciban::cuda {

// Outputs [first, end) of a stage's products are this block's.
struct StepShare {
  int first, end;
};
__device__ inline StepShare share(const StepStage& s) {
  const unsigned outputs = s.outputs;  // times the blocks of any card: below 2^32
  return {static_cast<int>(outputs * blockIdx.x / gridDim.x),
          static_cast<int>(outputs * (blockIdx.x + 1) / gridDim.x)};
}

__device__ inline int bytes_of(WeightFormat format) {
  return format == WeightFormat::f32 ? 4 : format == WeightFormat::i8 ? 1 : 2;
}

// A warp's place in the weights of its outputs: rows in chunks of 2 KiB, 16 bytes a lane four times.
constexpr int kStepPieces = 4, kStepChunk = kStepPieces * 512;
class WeightReader {
 public:
  __device__ WeightReader(const StepStage& stage, StepShare mine)
      : stage_(&stage),
        end_output_(mine.end),
        part_(threadIdx.x / 32 % stage.split),
        teams_(StepStage::kWarps / stage.split),
        output_(mine.first + threadIdx.x / 32 / stage.split) {
    seek();
  }
  __device__ bool more() const { return output_ < end_output_; }
  __device__ int product() const { return product_; }
  __device__ const Few& few() const { return stage_->at[product_]; }
  __device__ int row() const { return output_ - (few().end - few().outputs); }
  __device__ int at() const { return at_ + static_cast<int>(threadIdx.x % 32) * 16; }  // the lane's bytes
  __device__ int end() const { return end_; }
  // Zeros behind the end.
  __device__ void fetch(uint4 (&raw)[kStepPieces]) const {
    if (!more()) return;
    const char* from =
        static_cast<const char*>(few().w) + static_cast<std::size_t>(row()) * row_bytes_ + at();
#pragma unroll
    for (int i = 0; i < kStepPieces; ++i) {
      raw[i] =
          at() + i * 512 < end_ ? __ldcs(reinterpret_cast<const uint4*>(from + i * 512)) : uint4{0, 0, 0, 0};
    }
  }
  // Whether an output is complete.
  __device__ bool advance() {
    at_ += kStepChunk;
    if (at_ < end_) return false;
    output_ += teams_;
    seek();
    return true;
  }

 private:
  __device__ void seek() {
    if (!more()) return;
    while (output_ >= few().end) ++product_;
    row_bytes_ = static_cast<int>(few().w_stride) * bytes_of(few().format);
    const int width = (row_bytes_ / 16 + stage_->split - 1) / stage_->split * 16;
    at_ = part_ * width;
    end_ = min(at_ + width, row_bytes_);
  }
  const StepStage* stage_;
  int end_output_, part_, teams_, output_, product_ = 0;
  int row_bytes_ = 0, at_ = 0, end_ = 0;
};

// The lane's part of a chunk; x begins at the row's first input.
template <typename W, typename X>
__device__ float chunk_sum(const uint4 (&raw)[kStepPieces], const WeightReader& r, const X* x) {
  constexpr int kPiece = 16 / sizeof(W);
  float even = 0, odd = 0;
#pragma unroll
  for (int i = 0; i < kStepPieces; ++i) {
    const int at = r.at() + i * 512;
    if (at >= r.end()) continue;
    float wv[kPiece], xv[kPiece];
    unpack(raw[i], wv, static_cast<const W*>(nullptr));
    load_x(x + at / static_cast<int>(sizeof(W)), xv);
#pragma unroll
    for (int e = 0; e < kPiece; e += 2) {
      even = fmaf(wv[e], xv[e], even);
      odd = fmaf(wv[e + 1], xv[e + 1], odd);
    }
  }
  return even + odd;
}
template <typename X>
__device__ float chunk_sum(const uint4 (&raw)[kStepPieces], const WeightReader& r, const X* x) {
  switch (r.few().format) {
    case WeightFormat::f32:
      return chunk_sum<float, X>(raw, r, x);
    case WeightFormat::bf16:
      return chunk_sum<bf16, X>(raw, r, x);
    case WeightFormat::f16:
      return chunk_sum<f16, X>(raw, r, x);
    default:
      return chunk_sum<std::int8_t, X>(raw, r, x);
  }
}

// Which of the stage's products this block has outputs of.
__device__ inline bool has_part(const StepStage& s, StepShare mine, int i) {
  return max(mine.first, s.at[i].end - s.at[i].outputs) < min(mine.end, s.at[i].end);
}

// Multiplies from inputs in shared memory (`inputs` + place of the product); `ahead` has fetched `first` and
// `second`.  `sums`: a float a warp.
template <typename X>
__device__ void multiply(const StepStage& stage, StepShare mine, WeightReader ahead,
                         uint4 (&first)[kStepPieces], uint4 (&second)[kStepPieces], const X* inputs,
                         float* sums) {
  WeightReader now(stage, mine);
  const int lane = threadIdx.x % 32;
  float sum = 0;
  const auto step = [&](uint4(&raw)[kStepPieces]) {
    if (!now.more()) return;
    const int product = now.product(), row = now.row();
    sum += chunk_sum(raw, now, inputs + stage.place[product]);
    ahead.fetch(raw);
    if (ahead.more()) ahead.advance();
    if (now.advance() && stage.split == 1) {
      sum = warp_sum(sum);
      if (lane == 0) write1(stage.at[product].finish, sum, 0, row);
      sum = 0;
    }
  };
  while (now.more()) {
    step(first);
    step(second);
  }
  if (stage.split > 1) {  // a team has one output at most
    sum = warp_sum(sum);
    const int warp = threadIdx.x / 32;
    if (lane == 0) sums[warp] = sum;
    __syncthreads();
    const WeightReader it(stage, mine);
    if (it.more() && warp % stage.split == 0 && lane == 0) {
      float total = 0;
      for (int part = 0; part < stage.split; ++part) total += sums[warp + part];
      write1(it.few().finish, total, 0, it.row());
    }
  }
}

}  // namespace deciban::cuda

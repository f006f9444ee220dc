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
  const int first = min(static_cast<int>(blockIdx.x) * s.a_block, s.outputs);
  return {first, min(first + s.a_block, s.outputs)};
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
        output_(mine.first + (threadIdx.x / 32 >> stage.split)),
        product_(stage.first_product[blockIdx.x]) {
    seek();
  }
  __device__ bool more() const { return output_ < end_output_; }
  __device__ int product() const { return product_; }
  __device__ WeightFormat format() const { return format_; }
  __device__ int at() const { return at_; }  // the lane's bytes of a row
  __device__ int end() const { return end_; }
  // Zeros behind the end.
  __device__ void fetch(uint4 (&raw)[kStepPieces]) const {
    if (!more()) return;
#pragma unroll
    for (int i = 0; i < kStepPieces; ++i) {
      raw[i] = at_ + i * 512 < end_ ? __ldcs(reinterpret_cast<const uint4*>(row_ + at_ + i * 512))
                                    : uint4{0, 0, 0, 0};
    }
  }
  // Whether an output is complete.
  __device__ bool advance() {
    at_ += kStepChunk;
    if (at_ - static_cast<int>(threadIdx.x % 32) * 16 < end_) return false;
    output_ += StepStage::kWarps >> stage_->split;
    seek();
    return true;
  }

 private:
  __device__ void seek() {
    if (!more()) return;
    while (output_ >= stage_->at[product_].end) ++product_;
    const Few& p = stage_->at[product_];
    format_ = p.format;
    const int bytes = static_cast<int>(p.w_stride) * bytes_of(format_), split = stage_->split;
    row_ = static_cast<const char*>(p.w) + static_cast<std::size_t>(output_ - (p.end - p.outputs)) * bytes;
    const int width = ((bytes / 16 + (1 << split) - 1) >> split) * 16;
    const int part = (threadIdx.x / 32) & ((1 << split) - 1);
    end_ = min((part + 1) * width, bytes);
    at_ = part * width + static_cast<int>(threadIdx.x % 32) * 16;
  }
  const StepStage* stage_;
  const char* row_ = nullptr;
  int end_output_, output_, product_, at_ = 0, end_ = 0;
  WeightFormat format_ = WeightFormat::bf16;
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
  switch (r.format()) {
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

// What an output's product is combined with, loaded before the product is known.
struct Operands {
  float scale = 1, bias = 0, old = 0, gate = 0, base = 0, target = 0;
};
__device__ inline Operands parameters_of(const Finish& f, int column) {
  Operands o;
  if (f.scales != nullptr) o.scale = f.scales[column];
  if (f.bias != nullptr) o.bias = f.bias[column];
  return o;
}
__device__ inline void load_operands(const Finish& f, int column, Operands& o) {
  using enum Epilogue::Combine;
  if (f.combine == add || f.combine == gate_add) o.old = load1(f.y, 0, column);
  if (f.combine == gate_add || f.combine == gate) o.gate = load1(f.gate, 0, column);
  if (f.combine == lerp) {
    o.base = load1(f.base, 0, column);
    o.target = load1(f.target, 0, column);
  }
}
__device__ inline void write_output(const Finish& f, const Operands& o, float p, int column) {
  using enum Epilogue::Combine;
  p = activate(f.act, fmaf(p, o.scale, o.bias));
  if (f.combine == add) {
    p += o.old;
  } else if (f.combine == gate_add) {
    p = fmaf(o.gate, p, o.old);
  } else if (f.combine == lerp) {
    p = fmaf(o.target - o.base, p, o.base);
  } else if (f.combine == gate) {
    p *= o.gate;
  }
  store1(f.y, 0, column, p);
}

// A lane writes one of its warp's outputs: those that the warp finishes are kept until there are 32.
class OutputWriter {
 public:
  __device__ OutputWriter(const StepStage& stage, StepShare mine)
      : stage_(&stage), mine_(mine), product_(stage.first_product[blockIdx.x]) {
    choose();
  }
  __device__ bool has() const { return output_ < mine_.end; }
  __device__ void before() {  // does not depend on other stages
    if (has()) operands_ = parameters_of(finish(), column_);
  }
  __device__ void after() {
    if (has()) load_operands(finish(), column_, operands_);
  }
  // `sum`: the same in all lanes.
  __device__ void take(float sum) {
    if (static_cast<int>(threadIdx.x % 32) == taken_) sum_ = sum;
    if (++taken_ == 32) {
      write();
      choose();
      before();
      after();
    }
  }
  __device__ void write() {
    if (static_cast<int>(threadIdx.x % 32) < taken_ && has())
      write_output(finish(), operands_, sum_, column_);
    written_ += taken_;
    taken_ = 0;
  }

 private:
  __device__ const Finish& finish() const { return stage_->at[product_].finish; }
  __device__ void choose() {
    const int teams = StepStage::kWarps >> stage_->split, team = threadIdx.x / 32 >> stage_->split;
    output_ = mine_.first + team + teams * (written_ + static_cast<int>(threadIdx.x % 32));
    if (!has()) return;
    while (output_ >= stage_->at[product_].end) ++product_;
    column_ = output_ - (stage_->at[product_].end - stage_->at[product_].outputs);
  }
  const StepStage* stage_;
  StepShare mine_;
  int written_ = 0, taken_ = 0, output_ = 0, product_, column_ = 0;
  float sum_ = 0;
  Operands operands_;
};

// Multiplies from inputs in shared memory (`inputs` + place of the product); `ahead` has fetched `first` and
// `second`.  `sums`: a float a warp.
template <typename X>
__device__ void multiply(const StepStage& stage, StepShare mine, WeightReader ahead,
                         uint4 (&first)[kStepPieces], uint4 (&second)[kStepPieces], OutputWriter writer,
                         const X* inputs, float* sums) {
  WeightReader now(stage, mine);
  float sum = 0;
  const auto step = [&](uint4(&raw)[kStepPieces]) {
    if (!now.more()) return;
    sum += chunk_sum(raw, now, inputs + stage.place[now.product()]);
    ahead.fetch(raw);
    if (ahead.more()) ahead.advance();
    if (now.advance() && stage.split == 0) {
      writer.take(warp_sum(sum));
      sum = 0;
    }
  };
  while (now.more()) {
    step(first);
    step(second);
  }
  if (stage.split > 0) {  // a team has one output at most
    const int warp = threadIdx.x / 32, parts = 1 << stage.split;
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) sums[warp] = sum;
    __syncthreads();
    if ((warp & (parts - 1)) != 0) return;
    sum = 0;
    for (int part = 0; part < parts; ++part) sum += sums[warp + part];
    writer.take(sum);
  }
  writer.write();
}

}  // namespace deciban::cuda

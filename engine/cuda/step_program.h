// Steps of one sequence in one launch: the operations of a step are recorded once, as stages of a kernel that
// stays on the card for the whole step, has the weights of the next stage brought to the L2 cache meanwhile,
// and so waits neither for launches nor, between operations, for memory.
#pragma once

#include <memory>
#include <vector>

#include "engine/cuda/kv_layout.h"
#include "engine/cuda/memory.h"
#include "engine/cuda/parameters.h"
#include "engine/ops.h"

namespace deciban::cuda {

struct StepStage;

// The step has an operation, or a shape, that stages do not know.
struct NotRecorded {};

class StepProgram {
 public:
  // `scratch` keeps what stages leave for the next ones.
  StepProgram(const std::vector<StepStage>& stages, Tensor::Type product_type,
              std::vector<DeviceBuffer> scratch, int multiprocessors);
  void run(Token token, cudaStream_t stream) const;

 private:
  DeviceBuffer stages_, meeting_;
  std::vector<DeviceBuffer> scratch_;
  int count_;
  Tensor::Type type_;
  bool attends_ = false;
  int multiprocessors_;
  std::size_t shared_bytes_;
};

// Takes the operations of a step, as Ops defines them, for one row.  All throw NotRecorded for what a program
// cannot do; nothing has run then.
class StepRecorder {
 public:
  explicit StepRecorder(int multiprocessors);
  ~StepRecorder();
  void embed(const CudaTable& table, const Norm* norm, const Tensor& x);
  void norm_mix(const Tensor& x, const Norm& norm, Layout layout, StateView shift,
                std::span<const Vector* const> mixes, std::span<const Tensor> outs, const Tensor* h,
                const Tensor* h_prev);
  void norm_rows(const Tensor& x, std::span<const std::size_t> rows, const Norm& norm, const Tensor& out);
  void products(std::span<const Product> group);
  void wkv4(const Tensor& r, const Tensor& k, const Tensor& v, const Vector& w, const Vector& u,
            Layout layout, StateView state, const Tensor& out);
  void wkv5(const Wkv5Params& params, const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w,
            const Tensor& g, Layout layout, StateView state, const Tensor& out);
  void wkv7(const Wkv7Params& params, const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v,
            const Tensor& a, const Tensor& g, Layout layout, StateView state, const Tensor& out);
  void attention(const Attention& params, const Tensor& q, const Tensor& k, const Tensor& v, Layout layout,
                 const KvView& kv, const Tensor& out);
  std::unique_ptr<StepProgram> finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace deciban::cuda

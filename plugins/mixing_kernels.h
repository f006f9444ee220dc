// What Mamba and Hyena do along time, once for each instruction set: short and long causal convolutions and
// the selective scan.  Everything here is f32 and time-major: row t holds all channels at time t.
#pragma once

#include <cstddef>
#include <string>

namespace deciban {

// A depthwise causal convolution of few taps: y[t] = act(bias + sum_j weight[j] * x[t - (taps - 1) + j]).
struct ShortConvolution {
  const float* x = nullptr;  // [rows], x_stride apart
  std::size_t x_stride = 0, rows = 0, channels = 0, taps = 0;
  const float* weight = nullptr;  // [taps][channels]
  const float* bias = nullptr;    // [channels], or null
  bool silu = false;
  float* state = nullptr;  // [taps - 1][channels]: the rows before the first; becomes those before the next
  float* y = nullptr;      // [rows], y_stride apart; not x
  std::size_t y_stride = 0;
};

// Mamba's recurrence (arXiv 2312.00752, algorithm 2) with its gate, for a piece of one sequence:
//   dt = softplus(step),  h = exp(dt A) h + dt B x,  y = (C h + D x) silu(z).
struct SelectiveScan {
  std::size_t rows = 0, channels = 0, states = 0;
  const float *x = nullptr, *step = nullptr, *z = nullptr;  // [rows][channels], strides below
  const float *b = nullptr, *c = nullptr;                   // [rows][states], bc_stride apart
  std::size_t x_stride = 0, step_stride = 0, z_stride = 0, bc_stride = 0;
  const float* a = nullptr;  // [states][channels], negative
  const float* d = nullptr;  // [channels]
  float* h = nullptr;        // [states][channels], moves on
  float* y = nullptr;        // [rows][channels], y_stride apart
  std::size_t y_stride = 0;
};

// y[t] = sum over j <= t of kernel[t - j] * u[j] for t = from … total - 1, by FFT, or directly where few
// outputs are wanted.
struct LongConvolution {
  const float* u = nullptr;       // [total][channels]
  const float* kernel = nullptr;  // [at least total][channels]
  std::size_t total = 0, from = 0, channels = 0;
  float* y = nullptr;  // [total - from], y_stride apart
  std::size_t y_stride = 0;
};

// All work on channels [first, last), so that threads may share a call.
struct MixingKernels {
  const char* name;  // of the instruction set
  void (*short_convolution)(const ShortConvolution& work, std::size_t first, std::size_t last);
  void (*selective_scan)(const SelectiveScan& work, std::size_t first, std::size_t last);
  // Returns the bytes of scratch it took.
  std::size_t (*long_convolution)(const LongConvolution& work, std::size_t first, std::size_t last);
};

// The best table for a backend whose kernels have this name (Backend::kernels()).
const MixingKernels& mixing_kernels(const std::string& isa);

}  // namespace deciban

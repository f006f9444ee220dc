// Compiled once for each instruction set (plugins/CMakeLists.txt); KERNELS is the name of the table it
// exports.
#include "plugins/mixing_kernels.h"

#include <Eigen/Core>
#include <algorithm>
#include <cstring>

#include "engine/causal_convolution.h"

#define DECIBAN_TEXT(name) #name
#define DECIBAN_STRING(name) DECIBAN_TEXT(name)

namespace deciban {
namespace {

using Eigen::Index;
using Values = Eigen::Map<Eigen::ArrayXf>;
using Constants = Eigen::Map<const Eigen::ArrayXf>;

void short_convolution(const ShortConvolution& w, std::size_t first, std::size_t last) {
  const auto width = static_cast<Index>(last - first);
  const std::size_t before = w.taps - 1;
  const auto input = [&](std::size_t t) {  // at time t - before
    return t < before ? w.state + t * w.channels + first : w.x + (t - before) * w.x_stride + first;
  };
  for (std::size_t t = 0; t < w.rows; ++t) {
    Values y(w.y + t * w.y_stride + first, width);
    if (w.bias) {
      y = Constants(w.bias + first, width);
    } else {
      y.setZero();
    }
    for (std::size_t j = 0; j < w.taps; ++j)
      y += Constants(w.weight + j * w.channels + first, width) * Constants(input(t + j), width);
    if (w.silu) y = y / (1 + (-y).exp());
  }
  for (std::size_t j = 0; j < before; ++j)
    std::memmove(w.state + j * w.channels + first, input(w.rows + j), (last - first) * sizeof(float));
}

// kWidth channels at once, so that their states stay in the first cache through all rows.
template <int kWidth>
void scan_block(const SelectiveScan& w, std::size_t first, Index width) {
  using Block = Eigen::Array<float, kWidth, 1>;
  using In = Eigen::Map<const Block>;
  using Out = Eigen::Map<Block>;
  Block dt(width), dx(width), y(width);
  for (std::size_t t = 0; t < w.rows; ++t) {
    const In step(w.step + t * w.step_stride + first, width), x(w.x + t * w.x_stride + first, width),
        z(w.z + t * w.z_stride + first, width);
    dt = (step > 20.0f).select(step, step.min(20.0f).exp().log1p());
    dx = dt * x;
    y = In(w.d + first, width) * x;
    const float *b = w.b + t * w.bc_stride, *c = w.c + t * w.bc_stride;
    for (std::size_t n = 0; n < w.states; ++n) {
      Out h(w.h + n * w.channels + first, width);
      h = (dt * In(w.a + n * w.channels + first, width)).exp() * h + dx * b[n];
      y += h * c[n];
    }
    Out(w.y + t * w.y_stride + first, width) = y * z / (1 + (-z).exp());
  }
}

void selective_scan(const SelectiveScan& w, std::size_t first, std::size_t last) {
  constexpr int kWidth = 64;
  for (; first + kWidth <= last; first += kWidth) scan_block<kWidth>(w, first, kWidth);
  if (first < last) scan_block<Eigen::Dynamic>(w, first, static_cast<Index>(last - first));
}

// Sums over the channels of a row, in blocks whose sums stay in registers or the first cache.
void direct_convolution(const LongConvolution& w, std::size_t first, std::size_t last) {
  constexpr std::size_t kWidth = 256;
  for (; first < last; first += kWidth) {
    const auto width = static_cast<Index>(std::min(kWidth, last - first));
    for (std::size_t t = w.from; t < w.total; ++t) {
      Eigen::Array<float, Eigen::Dynamic, 1, 0, kWidth, 1> y(width);
      y.setZero();
      for (std::size_t j = 0; j <= t; ++j)
        y += Constants(w.u + j * w.channels + first, width) *
             Constants(w.kernel + (t - j) * w.channels + first, width);
      Values(w.y + (t - w.from) * w.y_stride + first, width) = y;
    }
  }
}

std::size_t long_convolution(const LongConvolution& w, std::size_t first, std::size_t last) {
  constexpr std::size_t kFewOutputs = 32;  // a transform costs more than so many direct sums
  if (w.total - w.from <= kFewOutputs) {
    direct_convolution(w, first, last);
    return 0;
  }
  CausalConvolution convolution(w.total, w.from);
  for (std::size_t c = first; c < last; c += CausalConvolution::kChannels) {
    convolution.run(w.u + c, w.channels, w.kernel + c, w.channels,
                    std::min(CausalConvolution::kChannels, last - c), w.y + c, w.y_stride);
  }
  return convolution.bytes();
}

}  // namespace

extern "C" {
extern const MixingKernels KERNELS;
const MixingKernels KERNELS = {DECIBAN_STRING(KERNELS) + sizeof("kernels_mixing_") - 1, short_convolution,
                               selective_scan, long_convolution};
}

}  // namespace deciban

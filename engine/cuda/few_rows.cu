// Products of few rows: a warp an output, weights read once in 16-byte pieces, several in flight.
#include <algorithm>

#include "engine/cuda/check.h"
#include "engine/cuda/few_dot.cuh"
#include "engine/cuda/launch_after.cuh"
#include "engine/cuda/packed.h"
#include "engine/cuda/products.h"

namespace deciban::cuda {
namespace {

constexpr int kWarps = 8, kMostProducts = 8;

struct FewArgs {
  Few at[kMostProducts];
  int outputs;
};

// All products of a launch read one type X and have the same rows; with weights in groups, all have these.
template <int kRows, typename X, bool kGroups>
__global__ __launch_bounds__(32 * kWarps) void few_kernel(const __grid_constant__ FewArgs a, int rows) {
  int output = blockIdx.x * kWarps + threadIdx.x / 32;
  if (output >= a.outputs) {
    predecessors_done();
    return;
  }
  int i = 0, first = 0;
  while (output >= a.at[i].end) first = a.at[i++].end;
  const Few& p = a.at[i];
  output -= first;
  float sum[kRows] = {};
  if constexpr (kGroups) {
    dot_groups<kRows>(p, output, rows, sum);
  } else {
    dot_any<kRows, X>(p, output, rows, sum);
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    if (static_cast<int>(threadIdx.x % 32) == r && r < rows) write1(p.finish, sum[r], r, output);
  }
}

template <typename X>
void launch(const FewArgs& a, std::size_t rows, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>((a.outputs + kWarps - 1) / kWarps);
  const int threads = 32 * kWarps, count = static_cast<int>(rows);
  if (group_of(a.at[0].format) != 0) {  // of one row, by bf16
    launch_after(few_kernel<1, bf16, true>, blocks, threads, 0, stream, a, count);
  } else if (rows == 1) {
    launch_after(few_kernel<1, X, false>, blocks, threads, 0, stream, a, count);
  } else if (rows == 2) {
    launch_after(few_kernel<2, X, false>, blocks, threads, 0, stream, a, count);
  } else if (rows <= 4) {
    launch_after(few_kernel<4, X, false>, blocks, threads, 0, stream, a, count);
  } else {
    launch_after(few_kernel<8, X, false>, blocks, threads, 0, stream, a, count);
  }
}

}  // namespace

void products_few(std::span<const FewProduct> group, cudaStream_t stream) {
  for (std::size_t first = 0; first < group.size(); first += kMostProducts) {
    FewArgs a{};
    const auto part = group.subspan(first, std::min<std::size_t>(kMostProducts, group.size() - first));
    for (std::size_t i = 0; i < part.size(); ++i) {
      const FewProduct& p = part[i];
      a.outputs += static_cast<int>(p.w->rows());
      const bool groups = group_of(p.w->format()) != 0;
      const PackedRows packed = groups ? p.w->packed() : PackedRows{};
      a.at[i] = {p.w->data(),
                 groups ? packed.row_bytes : p.w->stride(),
                 p.x.data,
                 p.x.stride,
                 static_cast<int>(p.w->columns()),
                 static_cast<int>(p.w->rows()),
                 a.outputs,
                 p.w->format(),
                 p.x.type,
                 finish(p.epilogue, p.y, p.w->scales()),
                 packed.heads,
                 packed.groups};
    }
    with_type(part[0].x.type, [&]<typename X>() { launch<X>(a, part[0].x.rows, stream); });
  }
}

}  // namespace deciban::cuda

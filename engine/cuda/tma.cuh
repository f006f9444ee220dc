// Hopper's bulk copies of tiles into shared memory, the barriers that tell of their arrival, and what Wgmma
// reads there.
#pragma once

#include <cuda.h>
#include <cudaTypedefs.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <stdexcept>

#include "engine/cuda/check.h"
#include "engine/cuda/gemm90.h"

namespace deciban::cuda {

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define DECIBAN_HOPPER 1
#endif

constexpr int kTileBytes = 128;              // a tile's row: what the swizzle spans
constexpr int kTileInputs = kTileBytes / 2;  // of 16-bit elements

__device__ inline unsigned shared_address(const void* p) {
  return static_cast<unsigned>(__cvta_generic_to_shared(p));
}
__device__ inline void barrier_init(std::uint64_t* b, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(b)), "r"(arrivals));
}
__device__ inline void barrier_expect(std::uint64_t* b, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(b)), "r"(bytes)
               : "memory");
}
// Arrives at the same barrier of the cluster's block `rank`.  No release: who arrives has only read, and
// ordering memory for the whole cluster would cost more than the products.
__device__ inline void barrier_arrive(std::uint64_t* b, int rank) {
  asm volatile(
      "{\n.reg .b32 there;\nmapa.shared::cluster.u32 there, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [there];\n}" ::"r"(shared_address(b)),
      "r"(rank)
      : "memory");
}
__device__ inline void barrier_wait(std::uint64_t* b, int parity) {
  asm volatile(
      "{\n.reg .pred done;\nagain:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@done bra over;\nbra again;\nover:\n}" ::"r"(shared_address(b)),
      "r"(parity)
      : "memory");
}
__device__ inline void copy_tile(void* to, const CUtensorMap* map, int column, int row, std::uint64_t* b) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, "
      "%3}], "
      "[%4];" ::"r"(shared_address(to)),
      "l"(map), "r"(column), "r"(row), "r"(shared_address(b))
      : "memory");
}
// The same into every block of a pair, at the same place, each block's barrier being told.
__device__ inline void copy_tile_to_pair(void* to, const CUtensorMap* map, int column, int row,
                                         std::uint64_t* b) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster "
      "[%0], [%1, {%2, %3}], [%4], %5;" ::"r"(shared_address(to)),
      "l"(map), "r"(column), "r"(row), "r"(shared_address(b)), "h"(static_cast<unsigned short>(3))
      : "memory");
}
__device__ inline void cluster_sync() {
  asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory");
}
// K-major operand, 128-byte swizzle: atoms of 8 rows lie 1024 bytes apart.
__device__ inline std::uint64_t operand(const void* p) {
  return (static_cast<std::uint64_t>(shared_address(p)) & 0x3ffff) >> 4 | std::uint64_t{1} << 16 |
         std::uint64_t{64} << 32 | std::uint64_t{1} << 62;
}

inline PFN_cuTensorMapEncodeTiled_v12000 encoder() {
  static const auto function = [] {
    void* address = nullptr;
    cudaDriverEntryPointQueryResult found{};
    DECIBAN_CUDA(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &address, 12000,
                                                  cudaEnableDefault, &found));
    if (found != cudaDriverEntryPointSuccess) {
      throw std::runtime_error("CUDA: the driver has no cuTensorMapEncodeTiled: it is too old");
    }
    return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(address);
  }();
  return function;
}

// Tiles of `height` rows by 128 bytes; what lies outside reads as zero.
inline CUtensorMap tile_map(Operands type, const void* data, std::size_t rows, std::size_t columns,
                            std::size_t stride, int height) {
  CUtensorMap map;
  const std::size_t bytes = type == Operands::e4m3 ? 1 : 2;
  const cuuint64_t sizes[2] = {columns, rows}, strides[1] = {stride * bytes};
  const cuuint32_t box[2] = {static_cast<cuuint32_t>(kTileBytes / bytes), static_cast<cuuint32_t>(height)},
                   steps[2] = {1, 1};
  const CUtensorMapDataType element = type == Operands::bf16  ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                      : type == Operands::f16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                                                              : CU_TENSOR_MAP_DATA_TYPE_UINT8;
  const CUresult result = encoder()(&map, element, 2, const_cast<void*>(data), sizes, strides, box, steps,
                                    CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                    CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) throw std::runtime_error("CUDA: cuTensorMapEncodeTiled failed");
  return map;
}

}  // namespace deciban::cuda

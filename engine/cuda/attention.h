// Attention on a device: which kernels compute it, and their host sides.
//
// Three kernels read many rows: Hopper's (16-bit keys, heads of 64 or 128 channels), one of mma instructions
// (16-bit keys, heads of 64, 80, 128 or 256), and a plain one for f32 and for all other sizes.  Each passes
// over a row's keys in ascending tiles that begin at multiples of the tile's length, and what a row does not
// see changes nothing: a row's bits depend on no other row.  A fourth one reads single rows, with the keys
// shared out over blocks; it is not used where results must be deterministic.
#pragma once

#include <cuda_runtime.h>

#include "engine/cuda/cuda_ops.h"
#include "engine/cuda/kv_layout.h"
#include "engine/cuda/memory.h"
#include "engine/cuda/parameters.h"
#include "engine/ops.h"

namespace deciban::cuda {

class PagedCache;

enum class AttentionKernel { plain, mma, hopper };
// The kernel for many rows of this device.  DECIBAN_CUDA_ATTENTION (plain, mma) chooses a lesser one, for
// tests.
AttentionKernel attention_kernel(const Device& device, Tensor::Type type, std::size_t head_size);
int attention_tile_rows(AttentionKernel kernel);  // queries of a tile

// Throws std::logic_error where shapes do not fit.
void check_attention(const Attention& params, const Tensor& q, const Tensor& k, const Tensor& v,
                     const PagedCache& cache, std::size_t layer, const Tensor& out);
// Appends keys and values and attends: Ops::attention().
void attention(const Device& device, Arena& arena, const Attention& params, const Tensor& q, const Tensor& k,
               const Tensor& v, Layout layout, PagedCache& cache, std::size_t layer, const Tensor& out,
               cudaStream_t stream);

// What the kernels below read and write.
struct AttentionArgs {
  KvView kv;
  // [rows][heads][padded], of kv.type: normed, turned, scaled; or (raw) as products left it.
  const void* q = nullptr;
  int rows = 0, heads = 0, group = 1;  // query heads of a head of keys
  int window = 0;
  const float* slopes = nullptr;
  void* out = nullptr;
  std::size_t out_stride = 0;
  Tensor::Type out_type = Tensor::Type::f32;
  // attention90() alone: what makes raw queries ready, and a zero, which it counts up.
  bool raw = false;  // of f16, q_stride apart
  std::size_t q_stride = 0;
  float scale = 1;
  int rotary = 0;
  bool interleaved = false;
  const float2* turns = nullptr;  // [rows][rotary / 2]: cosine and sine
  int* counter = nullptr;
};

// attention_rows.cu: rows of k and v into the cache, of q to q_out.  Heads in whole pieces without norms:
// then q_out may be null, and `turns` ([rows][rotary / 2], or null) takes what queries are to be turned by.
// `counter` (or null) is made zero.
bool appends_pieces(const Attention& params, const KvView& kv);
void append_rows(const Attention& params, const KvView& kv, const Tensor& q, const Tensor& k, const Tensor& v,
                 void* q_out, float2* turns, int* counter, cudaStream_t stream);
// x[i] += table[positions of the chunk's rows + offset], or table[rows[i]].
void add_table_rows(const CudaTable& table, const Token* rows, const Tensor& x, cudaStream_t stream);
void add_table_positions(const CudaTable& table, const KvView& kv, std::size_t offset, const Tensor& x,
                         cudaStream_t stream);

// attention_plain.cu, attention_mma.cu, attention90.cu
void attention_plain(const AttentionArgs& args, cudaStream_t stream);
void attention_mma(const AttentionArgs& args, cudaStream_t stream);
void attention90(const AttentionArgs& args, int multiprocessors, cudaStream_t stream);

// attention_step.cu: one row of each of `rows` sequences; 16-bit keys of heads that attention_mma() has.
// `scratch`: step_scratch_bytes().
std::size_t step_scratch_bytes(const AttentionArgs& args, int multiprocessors);
void attention_step(const AttentionArgs& args, int multiprocessors, void* scratch, cudaStream_t stream);
bool has_attention_mma(Tensor::Type type, std::size_t head_size);

}  // namespace deciban::cuda

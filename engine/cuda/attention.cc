#include "engine/cuda/attention.h"

#include <cstdlib>
#include <stdexcept>
#include <string_view>

#include "engine/cuda/kv_cache.h"

namespace deciban::cuda {
namespace {

void check(const Attention& p, const Tensor& q, const Tensor& k, const Tensor& v, const PagedCache& cache,
           std::size_t layer, const Tensor& out) {
  const KvShape& s = cache.shape();
  if (p.kv_heads == 0 || p.heads % p.kv_heads != 0 || p.kv_heads != s.kv_heads ||
      p.head_size != s.head_size || p.rotary > p.head_size || p.rotary % 2 != 0 || layer >= s.layers ||
      q.columns != p.heads * p.head_size || k.columns != p.kv_heads * p.head_size || v.columns != k.columns ||
      out.columns != q.columns || q.type != k.type || q.type != v.type ||
      (s.window != 0 && (p.window == 0 || p.window > s.window))) {
    throw std::logic_error("attention: shapes do not fit");
  }
}

}  // namespace

AttentionKernel attention_kernel(const Device& device, Tensor::Type type, std::size_t head_size) {
  const char* set = std::getenv("DECIBAN_CUDA_ATTENTION");
  const std::string_view word = set == nullptr ? "" : set;
  if (word == "plain" || !has_attention_mma(type, head_size)) return AttentionKernel::plain;
  const bool hopper = device.major == 9 && device.minor == 0 && (head_size == 64 || head_size == 128);
  return hopper && word != "mma" ? AttentionKernel::hopper : AttentionKernel::mma;
}

int attention_tile_rows(AttentionKernel kernel) { return kernel == AttentionKernel::hopper ? 128 : 64; }

void attention(const Device& device, Arena& arena, const Attention& params, const Tensor& q, const Tensor& k,
               const Tensor& v, Layout layout, PagedCache& cache, std::size_t layer, const Tensor& out,
               cudaStream_t stream) {
  check(params, q, k, v, cache, layer, out);
  if (q.rows == 0) return;
  const std::size_t mark = arena.mark();
  AttentionArgs a;
  a.kv = cache.view(layout, layer);
  const std::size_t q_row = params.heads * static_cast<std::size_t>(a.kv.padded);
  void* prepared = arena.allocate(q.rows * q_row * Tensor::element_bytes(a.kv.type));
  append_rows(params, a.kv, q, k, v, prepared, stream);
  a.q = prepared;
  a.rows = static_cast<int>(q.rows);
  a.heads = static_cast<int>(params.heads);
  a.group = static_cast<int>(params.heads / params.kv_heads);
  a.window = static_cast<int>(params.window);
  a.slopes = params.slopes == nullptr ? nullptr : params.slopes->data();
  a.out = out.data;
  a.out_stride = out.stride;
  a.out_type = out.type;
  const AttentionKernel kernel = attention_kernel(device, a.kv.type, params.head_size);
  const bool singles = layout.size() == q.rows;
  if (singles && !device.deterministic && kernel != AttentionKernel::plain) {
    void* scratch = arena.allocate(step_scratch_bytes(a, device.multiprocessors));
    attention_step(a, device.multiprocessors, scratch, stream);
  } else if (kernel == AttentionKernel::hopper) {
    attention90(a, device.multiprocessors, stream);
  } else if (kernel == AttentionKernel::mma) {
    attention_mma(a, stream);
  } else {
    attention_plain(a, stream);
  }
  arena.release(mark);
}

}  // namespace deciban::cuda

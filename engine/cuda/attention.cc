#include "engine/cuda/attention.h"

#include <cstdlib>
#include <stdexcept>
#include <string_view>

#include "engine/cuda/kv_cache.h"

namespace deciban::cuda {
void check_attention(const Attention& p, const Tensor& q, const Tensor& k, const Tensor& v,
                     const PagedCache& cache, std::size_t layer, const Tensor& out) {
  const KvShape& s = cache.shape();
  if (p.kv_heads == 0 || p.heads % p.kv_heads != 0 || p.kv_heads != s.kv_heads ||
      p.head_size != s.head_size || p.rotary > p.head_size || p.rotary % 2 != 0 || layer >= s.layers ||
      q.columns != p.heads * p.head_size || k.columns != p.kv_heads * p.head_size || v.columns != k.columns ||
      out.columns != q.columns || q.type != k.type || q.type != v.type ||
      (s.window != 0 && (p.window == 0 || p.window > s.window))) {
    throw std::logic_error("attention: shapes do not fit");
  }
}

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
  check_attention(params, q, k, v, cache, layer, out);
  if (q.rows == 0) return;
  const std::size_t mark = arena.mark();
  AttentionArgs a;
  a.kv = cache.view(layout, layer);
  const AttentionKernel kernel = attention_kernel(device, a.kv.type, params.head_size);
  const bool singles = layout.size() == q.rows && !device.deterministic && kernel != AttentionKernel::plain;
  const bool hopper = kernel == AttentionKernel::hopper && !singles;
  a.raw = hopper && q.type == Tensor::Type::f16 && q.stride % 8 == 0 && appends_pieces(params, a.kv);
  float2* turns = nullptr;
  if (a.raw) {  // queries are read once: nobody writes them before
    turns = reinterpret_cast<float2*>(arena.allocate(q.rows * params.rotary / 2 * sizeof(float2)));
    a.q = q.data;
    a.q_stride = q.stride;
    a.scale = params.scale;
    a.rotary = static_cast<int>(params.rotary);
    a.interleaved = params.interleaved;
    a.turns = turns;
  } else {
    a.q_stride = params.heads * static_cast<std::size_t>(a.kv.padded);
    a.q = arena.allocate(q.rows * a.q_stride * Tensor::element_bytes(a.kv.type));
  }
  if (hopper) a.counter = reinterpret_cast<int*>(arena.allocate(sizeof(int)));
  append_rows(params, a.kv, q, k, v, a.raw ? nullptr : const_cast<void*>(a.q), turns, a.counter, stream);
  a.rows = static_cast<int>(q.rows);
  a.heads = static_cast<int>(params.heads);
  a.group = static_cast<int>(params.heads / params.kv_heads);
  a.window = static_cast<int>(params.window);
  a.slopes = params.slopes == nullptr ? nullptr : params.slopes->data();
  a.out = out.data;
  a.out_stride = out.stride;
  a.out_type = out.type;
  if (singles) {
    void* scratch = arena.allocate(step_scratch_bytes(a, device.multiprocessors));
    attention_step(a, device.multiprocessors, scratch, stream);
  } else if (hopper) {
    attention90(a, device.multiprocessors, stream);
  } else if (kernel == AttentionKernel::mma) {
    attention_mma(a, stream);
  } else {
    attention_plain(a, stream);
  }
  arena.release(mark);
}

}  // namespace deciban::cuda

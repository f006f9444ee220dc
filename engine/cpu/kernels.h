// The table of CPU kernels that one instruction set provides.  kernels.cc is compiled once per ISA and
// exports one table each; dispatch.cc picks one.  Kernels are single-threaded and work on the ranges they are
// given.
//
// Layouts.  Activation rows are f32, or bf16 as uint16_t, `stride` elements apart (a multiple of 32, padding
// finite). A weight matrix [N outputs, K inputs] is packed in panels of `panel` outputs, each holding the
// inputs one after the other: f32 and f16 as [K][panel], bf16 as [ceil(K / 2)][panel][2], i8 as [ceil(K /
// 4)][panel][4] (padded with zeros), followed for i8 by the outputs' scales, f32 [panel], and 128 times the
// sums of their weights, i32 [panel].  A packed panel is panel_bytes(format, K) long.  In the formats with
// groups scales come before the weights they belong to: [panel] words of a group's scale (the lower half) and
// minimum (the upper) for i4, of two groups' scales for i8g32; then words of eight inputs (i4, the first in
// the lowest bits) or four (i8g32, 128 added), [panel] each.  i8 activations are kept as u8, 128 added (what
// vpdpbusd takes); their rows are a multiple of 64 apart and filled up with 128.
//
// Summation order of a product, the same for any number of rows: f32 activations: k = 0, 1, … in one f32
// accumulator per output, with i4 weights of fma(1 + q / 16, 16 s, m - 16 s); bf16 activations: pairs (2i,
// 2i + 1) in ascending i, as vdpbf16ps or bfdot do where there is one; i8: exact.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "engine/ops.h"

namespace deciban::cpu {

// y = epilogue(W x) for outputs of panels [panel_begin, panel_end) and all `rows`.
struct LinearArgs {
  WeightFormat format;
  const std::byte* packed;  // of the whole matrix
  std::size_t inputs, outputs;
  const void* x;
  bool x_bf16;
  const float* x_scales;  // [rows] if x is i8, else null
  std::size_t x_stride, rows;
  void* y;
  bool y_bf16;
  std::size_t y_stride;
  std::size_t panel_begin, panel_end;
  Epilogue::Act act;
  Epilogue::Combine combine;
  const float* bias;  // or null
  const float* gate;  // f32, gate_stride apart
  const float* base;
  const float* target;
  std::size_t gate_stride, base_stride, target_stride;
  float* scratch;  // linear_scratch_floats(inputs, rows)
};

// Running log-sum-exp, maximum and target logit of each row over a block of the vocabulary.
struct HeadPartial {
  float max;     // of the block's logits
  float sum;     // of exp(logit - max)
  Token best;    // lowest id with logit == max
  float target;  // logit of the row's target, if it lies in the block
};
struct HeadArgs {
  WeightFormat format;
  const std::byte* packed;
  std::size_t inputs, outputs;
  const void* x;
  bool x_bf16;
  const float* x_scales;  // [rows] if x is i8, else null
  std::size_t x_stride, rows;
  const Token* targets;
  std::size_t panel_begin, panel_end;  // one block
  HeadPartial* partials;               // [rows]
  float* scratch;                      // head_scratch_floats(inputs, rows)
};

struct NormArgs {
  const float *weight, *bias;  // bias may be null
  float eps;
  bool rms;
};

struct NormMixArgs {
  const float* x;
  std::size_t x_stride, columns;
  const float *weight, *bias;
  float eps;
  // Rows [row_begin, row_end) of the chunk.  starts[i] is null where row i follows row i - 1 of its sequence,
  // else the state's h to use as h_prev.
  std::size_t row_begin, row_end;
  const float* const* starts;
  std::size_t mixes;
  const float* const* mix;  // [mixes] vectors
  void* const* out;         // [mixes]
  const bool* out_bf16;
  const std::size_t* out_stride;
  float *h, *h_prev;  // or null
  std::size_t h_stride, h_prev_stride;
  float* scratch;  // 2 * round_up(columns, 32)
};

struct Wkv4Args {
  const float *r, *k, *v;
  std::size_t r_stride, k_stride, v_stride, rows;
  const float *w, *u;
  float* state;                                            // aa, bb, pp, lost: `channels_total` apart
  std::size_t channels_total, channel_begin, channel_end;  // begin a multiple of 16
  void* out;
  bool out_bf16;
  std::size_t out_stride;
};

// One head of one piece.  Pointers are to the piece's first row and the head's first channel.
struct WkvHeadArgs {
  std::size_t rows, size;              // tokens, N
  const float *r, *w, *k, *v, *a, *g;  // w: stride 0 if constant over time; a: wkv7 only; g or null
  std::size_t r_stride, w_stride, k_stride, v_stride, a_stride, g_stride;
  const float* bonus;            // wkv5: [N]
  const float *k_k, *k_a, *r_k;  // wkv7: [N]
  const float *group_weight, *group_bias;
  float group_eps;
  float* state;  // [N key][N value]
  void* out;
  bool out_bf16;
  std::size_t out_stride;
  float* scratch;  // wkv_scratch_floats(size)
};

// One row of attention's operands: heads normed and turned, q scaled and rounded, k and v put into their
// page. A page holds, for each layer and each head of keys, the keys by channel and then the values by token:
// f32 as [size][kPage] and [kPage][padded]; bf16 in pairs, [size / 2][kPage][2] of channels and [kPage /
// 2][padded][2] of tokens.  `padded` is the head size rounded up to 16.
struct AttentionRowArgs {
  const float *q, *k, *v;
  std::size_t heads, kv_heads, size, padded;
  float scale;
  const float *q_norm, *k_norm;  // [size], or null
  float q_eps, k_eps;
  std::size_t rotary;
  bool interleaved;
  const float* turns;  // [rotary / 2][2]: cosine and sine
  bool bf16;
  void* q_out;          // [heads * size]
  std::byte* page;      // the layer's part of it
  std::size_t in_page;  // the token's place there
  float* scratch;       // padded
};

// Query tokens [0, tokens) of one sequence, at positions first, first + 1, …, and the `group` heads that
// share one head of keys.
struct AttentionArgs {
  std::size_t size, padded, group, tokens, first;
  bool bf16;
  const std::byte* q;  // of token t and head g: q + t * q_stride + g * size * element bytes
  std::size_t q_stride;
  const std::byte* const* pages;  // the sequence's
  std::size_t offset;             // bytes from a page's begin to this layer's and head's keys
  const float* slopes;            // [group], or null
  std::size_t window;             // 0: none
  std::byte* out;                 // of token t and head g: out + t * out_stride + g * size * element bytes
  std::size_t out_stride;
  bool out_bf16;
  float* scratch;  // attention_scratch_floats(padded, tokens * group)
};
inline constexpr std::size_t kPage = KvCache::kPage;
inline std::size_t attention_scratch_floats(std::size_t padded, std::size_t rows) {
  return rows * (padded + 16 + 1) + 16 + 8 * (kPage + kPage / 2 + 1) + padded;
}

inline constexpr std::size_t kWkvTile = 16;  // tokens prepared together in the wkv kernels
inline std::size_t wkv_scratch_floats(std::size_t head_size) { return (7 * kWkvTile + 8) * (head_size + 16); }

struct Kernels {
  const char* name;
  std::size_t panel;     // outputs per packed panel
  std::size_t k_block;   // inputs summed before the accumulators are set aside
  bool multiplies_bf16;  // by an instruction of its own, much faster than by f32
  bool (*pack)(WeightFormat format, const float* rows, std::size_t row_stride, std::size_t outputs,
               std::size_t inputs,
               std::byte* panel);  // one panel from `outputs` <= panel rows; false if a value is not finite
  // The same for bf16 from rows stored so, their number of inputs and stride even.
  bool (*pack_pairs)(const std::uint16_t* rows, std::size_t row_stride, std::size_t outputs,
                     std::size_t inputs, std::byte* panel);
  // One row of f32 to i8 + 128, filled up to a multiple of 64; returns the scale.
  float (*quantise)(const float* x, std::size_t columns, std::uint8_t* out);
  void (*linear)(const LinearArgs& args);
  void (*head)(const HeadArgs& args);
  void (*norm_mix)(const NormMixArgs& args);
  void (*norm)(const float* x, std::size_t columns, const NormArgs& norm, void* out, bool out_bf16);
  void (*wkv4)(const Wkv4Args& args);
  void (*wkv5)(const WkvHeadArgs& args);
  void (*wkv7)(const WkvHeadArgs& args);
  void (*attention_row)(const AttentionRowArgs& args);
  void (*attention)(const AttentionArgs& args);
  // out[i] = f(in[i]) for tests of the functions' accuracy: 0 exp, 1 sigmoid, 2 tanh, 3 exp_term, 4 gelu.
  void (*function)(int which, const float* in, float* out, std::size_t count);
};

inline std::size_t panel_bytes(WeightFormat format, std::size_t inputs, std::size_t panel) {
  switch (format) {
    case WeightFormat::f32:
      return inputs * panel * 4;
    case WeightFormat::f16:
      return inputs * panel * 2;
    case WeightFormat::i8:
      return (inputs + 3) / 4 * panel * 4 + panel * 8;
    case WeightFormat::i4:
    case WeightFormat::i4g64: {
      const std::size_t group = group_of(format);
      return (inputs + group - 1) / group * (1 + group / 8) * panel * 4;
    }
    case WeightFormat::i8g32:
      return (inputs + 63) / 64 * (1 + 64 / 4) * panel * 4;
    case WeightFormat::bf16:
    case WeightFormat::f8:  // refused before
      break;
  }
  return (inputs + 1) / 2 * panel * 4;
}

// Scratch of one thread: an expanded block of weights, the accumulators set aside between blocks of inputs,
// and (for the head) the running partials by lane.
inline std::size_t linear_scratch_floats(const Kernels& kernels, std::size_t inputs, std::size_t rows) {
  const std::size_t block = inputs < kernels.k_block ? inputs + 1 : kernels.k_block;
  return (block + rows + 16) * kernels.panel;
}
inline std::size_t head_scratch_floats(const Kernels& kernels, std::size_t inputs, std::size_t rows) {
  return linear_scratch_floats(kernels, inputs, rows) + rows * 4 * 16;
}

// The table of the instruction set named (supported_isas() of ops.h lists what this machine has).  Throws
// std::invalid_argument for an unknown name, std::runtime_error for one that this CPU lacks.
DECIBAN_API const Kernels& find_kernels(const std::string& isa);

}  // namespace deciban::cpu

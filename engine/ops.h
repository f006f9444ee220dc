// The operations that models are written in.  A backend (cpu/, the CUDA module) implements each once; models
// know nothing of kernels, packing or devices.
//
// Operations are as coarse as the best fusion a backend can do, and are defined by the formulas below in
// exact arithmetic.  On the CPU every row of every result is computed by one fixed sequence of roundings,
// whatever rows share the call, so that chunking, batching and threads never change a log-probability.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/checkpoint.h"
#include "engine/lm.h"

namespace deciban {

// What a matrix product's weights are kept as and what its inputs are rounded to; sums are f32 (i32 for i8 by
// i8). i8 weights have one scale per output; i8 activations one per token, found when a product reads its
// input (symmetric, to nearest), and products of two i8 operands are summed exactly in i32.  f8 is e4m3,
// with scales like those of i8.  i4 weights are q s + m, q from 0 to 15, with a scale s and a minimum m, both
// bf16, for each group of an output's inputs: 32 of them, or 64 for i4g64.  i8g32 are q s with a bf16 scale
// for each 32 inputs: what backends make of i8 weights by f32 activations.
enum class WeightFormat { f32, bf16, f16, i8, f8, i4, i4g64, i8g32 };
enum class ActivationFormat { f32, bf16, f16, i8, f8 };

struct NumericMode {
  WeightFormat weights = WeightFormat::f32;
  ActivationFormat activations = ActivationFormat::f32;
};
DECIBAN_API NumericMode
numeric_mode(const std::string& word);  // throws std::invalid_argument naming the known ones
DECIBAN_API std::string name(WeightFormat format);
DECIBAN_API std::string name(ActivationFormat format);
// Inputs that share a scale; 0 for formats without groups.
constexpr std::size_t group_of(WeightFormat format) {
  if (format == WeightFormat::i4 || format == WeightFormat::i8g32) return 32;
  return format == WeightFormat::i4g64 ? 64 : 0;
}

// A dense row-major array in memory of the Ops that made it.  `stride` >= columns, in elements, a multiple of
// 32; the padding of a row holds finite values.  A plain handle: the arena or the Buffer behind it owns the
// memory.
struct Tensor {
  enum class Type { f32, bf16, f16 };
  void* data = nullptr;
  Type type = Type::f32;
  std::size_t rows = 0, columns = 0, stride = 0;

  static std::size_t element_bytes(Type type) { return type == Type::f32 ? 4 : 2; }
  float* f32() const { return static_cast<float*>(data); }
  // Columns [first, first + count) of all rows.  `first` must be a multiple of 16.
  DECIBAN_API Tensor slice(std::size_t first, std::size_t count) const;
};

// A matrix [rows = outputs, columns = inputs] in a backend's own packing.
class DECIBAN_API Weight {
 public:
  virtual ~Weight() = default;
  virtual std::size_t rows() const = 0;
  virtual std::size_t columns() const = 0;
  virtual std::uint64_t bytes() const = 0;
};

// A parameter vector, f32, padded with zeros like a Tensor's row.
class DECIBAN_API Vector {
 public:
  virtual ~Vector() = default;
  virtual std::size_t size() const = 0;
  virtual const float* data() const = 0;  // in the backend's memory
};

// The embedding table; stays in its file, rows are read when they are met.
class DECIBAN_API EmbeddingTable {
 public:
  virtual ~EmbeddingTable() = default;
};

// Many sequences side by side without padding: piece i is rows [row, row + count) of every tensor of a chunk,
// `count` consecutive tokens of the sequence whose state is in `slot`.  Pieces are in ascending row order and
// cover all rows; no slot appears twice.
struct Piece {
  std::size_t row = 0, count = 0, slot = 0;
};
using Layout = std::span<const Piece>;

// The part of the recurrent state that an operation works on: `offset` floats into each slot's block of
// `stride`.
struct StateView {
  float* data = nullptr;
  std::size_t stride = 0, offset = 0;
  float* slot(std::size_t i) const { return data + i * stride + offset; }
  StateView at(std::size_t more) const { return {data, stride, offset + more}; }
};

// layer: y = (x - mean) / sqrt(variance + eps) * weight + bias, biased variance (rwkv.md §0); rms: y = x /
// sqrt(mean of x^2 + eps) * weight + bias.  The bias may be null.
struct Norm {
  enum class Kind { layer, rms };
  const Vector* weight = nullptr;
  const Vector* bias = nullptr;
  float eps = 1e-5f;
  Kind kind = Kind::layer;
};

// What happens to a product p (f32) before it is written: v = act(p + bias), then combined into y.
struct Epilogue {
  enum class Act {
    none,
    relu2,  // max(p, 0)^2
    sigmoid,
    tanh,
    silu,         // p * sigmoid(p)
    exp_neg_exp,  // exp(-exp(p)): the decay of RWKV-5/6
    decay7,       // exp(-0.606531 sigmoid(p)): the decay of RWKV-7
    relu,         // max(p, 0)
    gelu,         // p (1 + erf(p / sqrt 2)) / 2
    gelu_tanh     // p (1 + tanh(sqrt(2 / pi) (p + 0.044715 p^3))) / 2
  };
  enum class Combine {
    store,     // y = v
    add,       // y = y + v
    gate_add,  // y = y + gate * v
    lerp,      // y = base + (target - base) * v
    gate       // y = gate * v
  };
  Act act = Act::none;
  Combine combine = Combine::store;
  const Vector* bias = nullptr;
  Tensor gate{}, base{}, target{};  // f32, as many rows and columns as y
};

// One matrix product of a group: y[i] = epilogue(W x[i]).
struct Product {
  const Weight* w = nullptr;
  Tensor x, y;
  Epilogue epilogue{};
};

// Parameters of the wkv operations, all f32; H heads of N channels, A = H * N.
struct Wkv5Params {
  std::size_t heads = 0, head_size = 0;
  const Vector* decay = nullptr;  // [A] w in (0, 1), constant over time; null where `w` is given per token
  const Vector* bonus = nullptr;  // [A] u
  Norm group;                     // per head, eps 64e-5
};
struct Wkv7Params {
  std::size_t heads = 0, head_size = 0;
  const Vector* k_k = nullptr;  // [A]
  const Vector* k_a = nullptr;  // [A]
  const Vector* r_k = nullptr;  // [A]
  Norm group;
};

// Attention over what a sequence has read so far: H query heads of N channels, and H_kv heads of keys and
// values, each of which serves H / H_kv query heads in a row.  For the token at position t (from 0 in its
// sequence) and head h:
//   q' = rope(norm(q), t) * scale,  k' = rope(norm(k), t),
//   out = sum_j softmax_j(q' k'_j + slope_h (j - t)) v_j   over j = max(0, t - window + 1) … t.
// rope() turns channel pairs of the first `rotary` channels of a head, (i, i + rotary / 2), or (2 i, 2 i + 1)
// if `interleaved`, by the angle t * frequencies[i], rounded to f32 as the published models' own code does,
// and multiplies them by `magnitude`.
struct Attention {
  std::size_t heads = 0, kv_heads = 0, head_size = 0;  // head_size even
  float scale = 1;
  std::size_t rotary = 0;  // even, at most head_size; 0: nothing is turned
  bool interleaved = false;
  const Vector* frequencies = nullptr;  // [rotary / 2], radians a token
  float magnitude = 1;
  Norm q_norm, k_norm;             // over a head's channels, weights [head_size]; no weight: none
  const Vector* slopes = nullptr;  // [H], of ALiBi; null: none
  std::size_t window = 0;          // tokens seen, the one itself included; 0: all
};

struct KvShape {
  std::size_t layers = 0, kv_heads = 0, head_size = 0;
  ActivationFormat format = ActivationFormat::f32;  // what keys and values are rounded to: product_type()
  std::size_t window = 0;  // no layer looks further back: what lies before may be dropped; 0: all is kept
};

// Keys and values of sequences, by slot, in pages of kPage tokens that are taken as a sequence grows.  Made
// by an Ops and used by it alone; may outlive it.  A chunk is: reserve(), attention() of every layer,
// advance().  A chunk that fails in between leaves all sequences as they were.
class DECIBAN_API KvCache {
 public:
  static constexpr std::size_t kPage = 64;
  virtual ~KvCache() = default;
  virtual std::size_t slots() const = 0;
  virtual std::size_t length(std::size_t slot) const = 0;  // tokens read
  virtual void reset(std::size_t slot) = 0;                // gives its pages back
  // `to` continues where `from` is: full pages are shared, the last one is copied.
  virtual void copy(std::size_t from, std::size_t to) = 0;
  // Makes room for the pieces' tokens behind what their sequences have read.  Throws OutOfDeviceMemory, or
  // std::runtime_error where memory is the system's affair; nothing has changed then.
  virtual void reserve(Layout layout) = 0;
  // The pieces' tokens are read: later ones come behind them.
  virtual void advance(Layout layout) = 0;
  virtual std::uint64_t bytes() const = 0;  // of pages in use; any thread may ask
};

// One stream of operations: an arena, a thread team, nothing shared but the weights.  One thread at a time.
class DECIBAN_API Ops {
 public:
  virtual ~Ops() = default;

  // Tensors of the current chunk; release() frees all made since mark().
  virtual Tensor allocate(std::size_t rows, std::size_t columns, Tensor::Type type = Tensor::Type::f32) = 0;
  virtual std::size_t mark() = 0;
  virtual void release(std::size_t mark) = 0;
  virtual std::uint64_t workspace_bytes() const = 0;  // held by the arena now
  // The type that products read under the given activation format; they make i8 and f8 of it themselves.
  static Tensor::Type product_type(ActivationFormat format) {
    switch (format) {
      case ActivationFormat::bf16:
      case ActivationFormat::f8:
        return Tensor::Type::bf16;
      case ActivationFormat::f16:
        return Tensor::Type::f16;
      case ActivationFormat::f32:
      case ActivationFormat::i8:
        return Tensor::Type::f32;
    }
    return Tensor::Type::f32;
  }
  // The type in which this backend best keeps what passes between products and recurrences (r, k, v, gates):
  // f32, or a narrow one where memory traffic is what limits it.
  virtual Tensor::Type inner_type(ActivationFormat) const { return Tensor::Type::f32; }

  // Recurrent state: `slots` blocks of `floats`, zeroed, on the device; freed with the Ops.
  virtual StateView allocate_state(std::size_t slots, std::size_t floats) = 0;
  virtual void write_state(StateView state, std::size_t slot, std::span<const float> values) = 0;
  virtual void read_state(StateView state, std::size_t slot, std::span<float> values) = 0;
  virtual void copy_state(StateView state, std::size_t floats, std::size_t from, std::size_t to) = 0;
  // Brings rows [row, row + count) of a tensor to the host as f32, `columns` apart.
  virtual void read(const Tensor& tensor, std::size_t row, std::size_t count, float* out) = 0;
  // The reverse: fills rows [row, row + count) from values `columns` apart, rounded to nearest even where the
  // tensor is bf16, and zeros their padding.
  virtual void write(const Tensor& tensor, std::size_t row, std::size_t count, const float* values) = 0;

  // x[i] = LN(table[tokens[i]]; norm) if a norm is given, else table[tokens[i]].
  virtual void embed(const EmbeddingTable& table, std::span<const Token> tokens, const Norm* norm,
                     Tensor x) = 0;

  // h = LN(x); d = h_prev - h, where h_prev of a piece's first row is the state's (C floats) and of the
  // others the row before; outs[i] = h + d * mixes[i] (f32 or product type).  The state becomes the piece's
  // last h.  If wanted, h and h_prev themselves are written too (f32).  C must be a multiple of 16, at most 8
  // mixes.
  virtual void norm_mix(const Tensor& x, const Norm& norm, Layout layout, StateView shift,
                        std::span<const Vector* const> mixes, std::span<const Tensor> outs,
                        Tensor* h = nullptr, Tensor* h_prev = nullptr) = 0;

  // y[i] = epilogue(W x[i]).  x f32 (rounded to i8 here if the weight was made for i8 activations), or bf16
  // where W is bf16 too; y f32, or bf16 where the combine does not read y.  y may be epilogue.base.
  virtual void linear(const Weight& w, const Tensor& x, Tensor y, const Epilogue& epilogue = {}) = 0;
  // Products that do not read each other's results: a backend may compute them together.
  virtual void products(std::span<const Product> group) {
    for (const Product& p : group) linear(*p.w, p.x, p.y, p.epilogue);
  }

  // RWKV-4 (rwkv.md §3.2): out = r * wkv, with r after its sigmoid, w = -exp(time_decay), u = time_first.
  // State: aa, bb, pp and what pp lost to rounding, A floats each.
  virtual void wkv4(const Tensor& r, const Tensor& k, const Tensor& v, const Vector& w, const Vector& u,
                    Layout layout, StateView state, Tensor out) = 0;

  // RWKV-5/6 (§4, §5.2): out = GN(y) * g, with y from r, k, v, the decay (params.decay, or w per token) and
  // the bonus; g (after its silu) may be absent (data null).  State: S[H][N key][N value].
  virtual void wkv5(const Wkv5Params& params, const Tensor& r, const Tensor& k, const Tensor& v,
                    const Tensor& w, const Tensor& g, Layout layout, StateView state, Tensor out) = 0;

  // RWKV-7 (§6.2): from r, w (the decay itself), k0, v (after the value residual), a, g to (GN(y) + bonus) *
  // g. State: S[H][N key][N value] (the transpose of the official [value][key], so that values are
  // contiguous).
  virtual void wkv7(const Wkv7Params& params, const Tensor& r, const Tensor& w, const Tensor& k,
                    const Tensor& v, const Tensor& a, const Tensor& g, Layout layout, StateView state,
                    Tensor out) = 0;

  // x[i] += table[rows[i]]: learned positions.
  virtual void add_rows(const EmbeddingTable& table, std::span<const Token> rows, Tensor x);

  // The same with the row of each token's position plus `offset`: what the pieces' sequences have read, and
  // on.  The cache has room for the pieces.  May be part of a repeated step, as positions come from the
  // cache.
  virtual void add_positions(const EmbeddingTable& table, std::size_t offset, Layout layout, KvCache& cache,
                             Tensor x);

  virtual std::unique_ptr<KvCache> allocate_cache(const KvShape& shape, std::size_t slots);
  // Appends the pieces' k and v ([rows, kv_heads * head_size]) to `layer` of the cache, which has room for
  // them, and writes what each row's q ([rows, heads * head_size]) finds there to `out` (f32 or product
  // type). Never in memory that grows with the square of a sequence's length.
  virtual void attention(const Attention& params, const Tensor& q, const Tensor& k, const Tensor& v,
                         Layout layout, KvCache& cache, std::size_t layer, Tensor out);

  // out[i] = norm(x[i]), in the product type of `out`.
  void norm(const Tensor& x, const Norm& norm, Tensor out);
  // out[i] = norm(x[rows[i]]), in the product type of `out`.
  virtual void norm_rows(const Tensor& x, std::span<const std::size_t> rows, const Norm& norm,
                         Tensor out) = 0;

  // For each row: log softmax(W x)[target], the best token and its log-probability.  Logits are never stored.
  virtual void score_head(const Weight& w, const Tensor& x, std::span<const Token> targets,
                          std::span<TokenScore> scores) = 0;

  // From logits, f32: each row's best token and its log-probability (logprob = best_logprob).
  virtual void row_best(const Tensor& logits, std::span<TokenScore> scores);

  // Runs `body`, a step over `tokens` that is repeated with other tokens: a backend may record the operations
  // of the first calls with a `key` and replay them later, without calling `body` again.  So the body must do
  // the same operations on the same tensors each time, embed exactly these tokens, and bring nothing to the
  // host (read() what it left behind afterwards).
  virtual void repeat(std::uint64_t /*key*/, std::span<const Token> /*tokens*/,
                      const std::function<void()>& body) {
    body();
  }
};

// An accelerator's or a plugin's memory did not suffice; what() says for what, of an accelerator also how
// much was asked for and how much was free. The operation had no effect: smaller chunks may fit.
class DECIBAN_API OutOfDeviceMemory : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  ~OutOfDeviceMemory() override;
};

// A device with its memory: makes weights, which any of its Ops may use at once.
class DECIBAN_API Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string device() const = 0;  // "cpu", "cuda:0"
  // What results may depend on: "avx512bf16", "sm_90", "sm_90 deterministic".  No index: equal cards agree.
  virtual std::string kernels() const = 0;
  // Packs a matrix stored as [outputs, inputs] (any strides; on the CPU the outputs may be spread over
  // several leading dimensions).  The mapped pages are released as they are packed. Throws std::runtime_error
  // naming the tensor if a value is not finite.
  virtual std::unique_ptr<Weight> matrix(const StoredTensor& tensor, NumericMode mode) = 0;
  virtual std::unique_ptr<Vector> vector(std::span<const float> values) = 0;
  virtual std::unique_ptr<EmbeddingTable> table(const StoredTensor& tensor) = 0;
  virtual std::unique_ptr<Ops> open(int threads) = 0;
  virtual std::uint64_t weight_bytes() const = 0;  // packed, now alive
  // Whether its Ops have add_rows(), add_positions(), allocate_cache(), attention(), RMS norms and norms
  // without bias: what transformers need beyond RWKV.  Elsewhere these throw std::logic_error.
  virtual bool computes_attention() const { return false; }
  // Why this device does not compute in `mode`, in words; empty if it does.
  virtual std::string refusal(NumericMode mode) const = 0;
  // What this device computes where `asked` was asked for by its word: accelerators read bf16 activations in
  // the modes of quantised weights.
  virtual NumericMode computed(NumericMode asked) const { return asked; }
  // The mode in which this device usually computes weights stored as f32, bf16 or f16 (the word): what "auto"
  // means.
  virtual std::string usual_mode(const std::string& stored) const { return stored; }
  // Bytes for one stream's activations and for its states, at which it works best.
  virtual std::size_t activation_budget() const { return std::size_t{40} << 20; }
  virtual std::size_t state_budget() const { return std::size_t{64} << 20; }
  // Most tokens of a chunk that are worth having.
  virtual std::size_t most_chunk_rows() const { return 512; }
  // Free memory that weights and workspaces must fit into; none where that is the system's affair.
  virtual std::optional<std::uint64_t> free_bytes() const { return std::nullopt; }
};

// The CPU backend with the best kernel table this machine supports, or the one that DECIBAN_ISA names
// (baseline | avx2 | avx512 | avx512bf16 on x86-64; neon | neon_dot | neon_bf16 on aarch64).  Throws for an
// unknown or unsupported one.
DECIBAN_API std::unique_ptr<Backend> cpu_backend();
DECIBAN_API std::unique_ptr<Backend> cpu_backend(const std::string& isa);
DECIBAN_API std::vector<std::string> supported_isas();
// How many threads the system lets this process run at once.
DECIBAN_API int usable_threads();

}  // namespace deciban

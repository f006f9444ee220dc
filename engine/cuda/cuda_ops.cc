#include "engine/cuda/cuda_ops.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <optional>
#include <stdexcept>
#include <utility>

#include "engine/cuda/attention.h"
#include "engine/cuda/check.h"
#include "engine/cuda/kv_cache.h"
#include "engine/cuda/launch.h"
#include "engine/cuda/layout.h"
#include "engine/cuda/packed.h"
#include "engine/cuda/products.h"
#include "engine/cuda/step_program.h"

namespace deciban::cuda {
namespace {

constexpr std::size_t kLogitTileBytes = std::size_t{32} << 20;  // stays inside the L2 cache

std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }
const CudaWeight& parameters(const Weight& w) { return static_cast<const CudaWeight&>(w); }
bool narrow(Tensor::Type type) { return type != Tensor::Type::f32; }

std::byte* row_of(const Tensor& t, std::size_t row) {
  return static_cast<std::byte*>(t.data) + row * t.stride * Tensor::element_bytes(t.type);
}
Tensor rows_of(Tensor t, std::size_t first, std::size_t count) {
  t.data = row_of(t, first);
  t.rows = count;
  return t;
}

// What x was rounded to; null if it was not.
const E4m3Rows* rounded_of(std::span<const E4m3Rows> all, const Tensor& x) {
  for (const E4m3Rows& one : all) {
    if (one.x.data == x.data && one.x.columns == x.columns && one.x.stride == x.stride) return &one;
  }
  return nullptr;
}

class Stream {
 public:
  Stream() { DECIBAN_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

// A step that is repeated: one sequence's as a program, others as a graph.
struct Graph {
  std::unique_ptr<StepProgram> program;
  bool no_program = false;
  std::uint64_t cache = 0;  // the caches' addresses that it was recorded with
  cudaGraphExec_t exec = nullptr;
  std::uint64_t layout = 0;  // the layout it was recorded with
  int calls = 0;
  ~Graph() {
    if (exec != nullptr) cudaGraphExecDestroy(exec);
  }
};

class CudaOps final : public Ops {
 public:
  explicit CudaOps(const Device& device) : device_(device), layouts_(stream_), blas_(device.deterministic) {}
  ~CudaOps() override {
    cudaSetDevice(device_.index);
    cudaStreamSynchronize(stream_);
  }

  Tensor allocate(std::size_t rows, std::size_t columns, Tensor::Type type) override {
    use();
    const std::size_t stride = round_up(columns, 32);
    return {arena_.allocate(rows * stride * Tensor::element_bytes(type)), type, rows, columns, stride};
  }
  std::size_t mark() override { return arena_.mark(); }
  void release(std::size_t mark) override { arena_.release(mark); }
  std::uint64_t workspace_bytes() const override {
    return arena_.bytes() + layouts_.bytes() + tokens_.bytes() + blas_workspace_.bytes() +
           cache_beside_->load(std::memory_order_relaxed);
  }
  Tensor::Type inner_type(ActivationFormat format) const override {
    // f16 has three bits more than bf16, and what passes here is far from its ends.
    return narrow(product_type(format)) ? Tensor::Type::f16 : Tensor::Type::f32;
  }

  StateView allocate_state(std::size_t slots, std::size_t floats) override {
    use();
    states_.emplace_back(slots * floats * sizeof(float), "recurrent states");
    DECIBAN_CUDA(cudaMemsetAsync(states_.back().data(), 0, states_.back().bytes(), stream_));
    return {states_.back().as<float>(), floats, 0};
  }
  void write_state(StateView state, std::size_t slot, std::span<const float> values) override {
    use();
    DECIBAN_CUDA(cudaMemcpyAsync(state.slot(slot), values.data(), values.size_bytes(), cudaMemcpyHostToDevice,
                                 stream_));
  }
  void read_state(StateView state, std::size_t slot, std::span<float> values) override {
    use();
    DECIBAN_CUDA(cudaMemcpyAsync(values.data(), state.slot(slot), values.size_bytes(), cudaMemcpyDeviceToHost,
                                 stream_));
    wait();
  }
  void copy_state(StateView state, std::size_t floats, std::size_t from, std::size_t to) override {
    use();
    DECIBAN_CUDA(cudaMemcpyAsync(state.slot(to), state.slot(from), floats * sizeof(float),
                                 cudaMemcpyDeviceToDevice, stream_));
  }
  void read(const Tensor& tensor, std::size_t row, std::size_t count, float* out) override;
  void write(const Tensor& tensor, std::size_t row, std::size_t count, const float* values) override;

  void embed(const EmbeddingTable& table, std::span<const Token> tokens, const Norm* norm,
             Tensor x) override {
    use();
    if (recorder_) return recorder_->embed(static_cast<const CudaTable&>(table), norm, x);
    if (!repeating_) upload(tokens);
    embed_rows(static_cast<const CudaTable&>(table), tokens_.as<Token>(), norm, x, stream_);
  }
  void norm_mix(const Tensor& x, const Norm& norm, Layout layout, StateView shift,
                std::span<const Vector* const> mixes, std::span<const Tensor> outs, Tensor* h,
                Tensor* h_prev) override {
    use();
    if (recorder_) return recorder_->norm_mix(x, norm, layout, shift, mixes, outs, h, h_prev);
    cuda::norm_mix(x, norm, layouts_.on_device(layout), shift, mixes, outs, h, h_prev, stream_);
  }
  void linear(const Weight& w, const Tensor& x, Tensor y, const Epilogue& epilogue) override {
    const Product one{&w, x, y, epilogue};
    products({&one, 1});
  }
  void products(std::span<const Product> group) override;
  void wkv4(const Tensor& r, const Tensor& k, const Tensor& v, const Vector& w, const Vector& u,
            Layout layout, StateView state, Tensor out) override {
    use();
    if (recorder_) return recorder_->wkv4(r, k, v, w, u, layout, state, out);
    cuda::wkv4(r, k, v, w, u, layouts_.on_device(layout), state, out, stream_);
  }
  void wkv5(const Wkv5Params& params, const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w,
            const Tensor& g, Layout layout, StateView state, Tensor out) override {
    use();
    if (recorder_) return recorder_->wkv5(params, r, k, v, w, g, layout, state, out);
    cuda::wkv5(params, r, k, v, w, g, layouts_.on_device(layout), state, out, stream_);
  }
  void wkv7(const Wkv7Params& params, const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v,
            const Tensor& a, const Tensor& g, Layout layout, StateView state, Tensor out) override {
    use();
    if (recorder_) return recorder_->wkv7(params, r, w, k, v, a, g, layout, state, out);
    cuda::wkv7(params, r, w, k, v, a, g, layouts_.on_device(layout), state, out, stream_);
  }
  void add_rows(const EmbeddingTable& table, std::span<const Token> rows, Tensor x) override {
    use();
    if (recorder_) throw NotRecorded();
    const std::size_t mark = arena_.mark();
    auto* chosen = reinterpret_cast<Token*>(arena_.allocate(rows.size_bytes()));
    DECIBAN_CUDA(cudaMemcpyAsync(chosen, rows.data(), rows.size_bytes(), cudaMemcpyHostToDevice, stream_));
    add_table_rows(static_cast<const CudaTable&>(table), chosen, x, stream_);
    arena_.release(mark);
  }
  void add_positions(const EmbeddingTable& table, std::size_t offset, Layout layout, KvCache& cache,
                     Tensor x) override {
    use();
    if (recorder_) throw NotRecorded();
    const KvView view = static_cast<PagedCache&>(cache).view(layout, 0);
    add_table_positions(static_cast<const CudaTable&>(table), view, offset, x, stream_);
  }
  std::unique_ptr<KvCache> allocate_cache(const KvShape& shape, std::size_t slots) override {
    const AttentionKernel kernel = attention_kernel(device_, product_type(shape.format), shape.head_size);
    return std::make_unique<PagedCache>(shape, slots, device_.index, attention_tile_rows(kernel), stream_,
                                        cache_addresses_, cache_beside_);
  }
  void attention(const Attention& params, const Tensor& q, const Tensor& k, const Tensor& v, Layout layout,
                 KvCache& cache, std::size_t layer, Tensor out) override {
    use();
    auto& paged = static_cast<PagedCache&>(cache);
    if (recorder_) {
      check_attention(params, q, k, v, paged, layer, out);
      return recorder_->attention(params, q, k, v, layout, paged.view(layout, layer), out);
    }
    cuda::attention(device_, arena_, params, q, k, v, layout, paged, layer, out, stream_);
  }
  void norm_rows(const Tensor& x, std::span<const std::size_t> rows, const Norm& norm, Tensor out) override {
    use();
    if (rows.size() == 0) return;
    if (recorder_) return recorder_->norm_rows(x, rows, norm, out);
    auto* chosen = reinterpret_cast<std::size_t*>(arena_.allocate(rows.size_bytes()));
    bool all = rows.size() == x.rows;
    for (std::size_t i = 0; all && i < rows.size(); ++i) all = rows[i] == i;
    // The identity is made once and kept, so that a recorded step copies nothing from the host.
    chosen = all ? layouts_.identity(rows.size()) : chosen;
    if (!all)
      DECIBAN_CUDA(cudaMemcpyAsync(chosen, rows.data(), rows.size_bytes(), cudaMemcpyHostToDevice, stream_));
    cuda::norm_rows(x, chosen, norm, out, stream_);
  }
  void score_head(const Weight& w, const Tensor& x, std::span<const Token> targets,
                  std::span<TokenScore> scores) override;
  void row_best(const Tensor& logits, std::span<TokenScore> scores) override;
  void repeat(std::uint64_t key, std::span<const Token> tokens, const std::function<void()>& body) override;

 private:
  void use() const { DECIBAN_CUDA(cudaSetDevice(device_.index)); }
  void wait() { DECIBAN_CUDA(cudaStreamSynchronize(stream_)); }
  void upload(std::span<const Token> tokens) {
    if (tokens_.bytes() < tokens.size_bytes()) {
      wait();
      tokens_ = DeviceBuffer(round_up(tokens.size_bytes(), 1 << 16), "tokens");
      ++addresses_;
    }
    DECIBAN_CUDA(
        cudaMemcpyAsync(tokens_.data(), tokens.data(), tokens.size_bytes(), cudaMemcpyHostToDevice, stream_));
  }
  bool hopper() const { return has_gemm90(device_.major, device_.minor); }
  // A product of narrow operands as kernels take it; i8 weights and those in groups are widened into the
  // arena, and for f8 weights x must be among `rounded`.
  NarrowProduct narrowed(const Product& p, std::span<const E4m3Rows> rounded = {});
  // Each distinct x of products with f8 weights as e4m3, in the arena.
  std::vector<E4m3Rows> round_inputs(std::span<const Product> group);
  // A weight's rows [first, first + count) in f32, in the arena unless they lie there already.
  const float* wide(const CudaWeight& w, std::size_t* stride);
  void narrow_products(std::span<const Product> group, std::span<const E4m3Rows> rounded);
  void record(Graph& graph, const std::function<void()>& body);
  void product_into(const CudaWeight& w, const NarrowProduct& narrowed, const float* wide_weights,
                    std::size_t wide_stride, std::size_t first, std::size_t count, const Tensor& x,
                    const Tensor& p);

  Device device_;
  Stream stream_;
  Arena arena_;
  Layouts layouts_;
  BlasLt blas_;
  DeviceBuffer blas_workspace_, tokens_;
  std::vector<DeviceBuffer> states_;
  std::map<std::uint64_t, Graph> graphs_;
  std::optional<StepRecorder> recorder_;  // while a step is recorded as a program
  std::uint64_t addresses_ = 0;           // raised when something that graphs know moves
  std::shared_ptr<std::uint64_t> cache_addresses_ =
      std::make_shared<std::uint64_t>(0);  // the same, of caches
  std::shared_ptr<std::atomic<std::uint64_t>> cache_beside_ =
      std::make_shared<std::atomic<std::uint64_t>>(0);  // their bytes beside pages in use
  bool repeating_ = false;
};

void CudaOps::read(const Tensor& tensor, std::size_t row, std::size_t count, float* out) {
  use();
  if (!narrow(tensor.type)) {
    DECIBAN_CUDA(cudaMemcpy2DAsync(out, tensor.columns * 4, row_of(tensor, row), tensor.stride * 4,
                                   tensor.columns * 4, count, cudaMemcpyDeviceToHost, stream_));
    return wait();
  }
  const std::size_t mark = arena_.mark();
  const Tensor wide = allocate(count, tensor.columns, Tensor::Type::f32);
  cast(rows_of(tensor, row, count), wide, stream_);
  read(wide, 0, count, out);
  arena_.release(mark);
}

void CudaOps::write(const Tensor& tensor, std::size_t row, std::size_t count, const float* values) {
  use();
  const std::size_t bytes = Tensor::element_bytes(tensor.type);
  DECIBAN_CUDA(cudaMemsetAsync(row_of(tensor, row), 0, count * tensor.stride * bytes, stream_));
  if (!narrow(tensor.type)) {
    DECIBAN_CUDA(cudaMemcpy2DAsync(row_of(tensor, row), tensor.stride * 4, values, tensor.columns * 4,
                                   tensor.columns * 4, count, cudaMemcpyHostToDevice, stream_));
    return wait();  // the caller's values may go
  }
  const std::size_t mark = arena_.mark();
  const Tensor wide = allocate(count, tensor.columns, Tensor::Type::f32);
  write(wide, 0, count, values);
  cast(wide, rows_of(tensor, row, count), stream_);
  arena_.release(mark);
}

std::vector<E4m3Rows> CudaOps::round_inputs(std::span<const Product> group) {
  std::vector<E4m3Rows> all;
  for (const Product& p : group) {
    if (parameters(*p.w).format() != WeightFormat::f8 || rounded_of(all, p.x) != nullptr) continue;
    const std::size_t stride = round_up(p.x.columns, 16);
    auto* out = reinterpret_cast<std::uint8_t*>(arena_.allocate(p.x.rows * stride));
    all.push_back({p.x, out, stride, reinterpret_cast<float*>(arena_.allocate(p.x.rows * sizeof(float)))});
  }
  round_to_e4m3(all, stream_);
  return all;
}

NarrowProduct CudaOps::narrowed(const Product& p, std::span<const E4m3Rows> rounded) {
  const CudaWeight& w = parameters(*p.w);
  NarrowProduct n{.type = p.x.type == Tensor::Type::bf16 ? Operands::bf16 : Operands::f16,
                  .weights = w.data(),
                  .outputs = w.rows(),
                  .inputs = w.columns(),
                  .weight_stride = w.stride(),
                  .scales = w.scales(),
                  .x = p.x,
                  .y = p.y,
                  .epilogue = p.epilogue};
  if (const E4m3Rows* x = w.format() == WeightFormat::f8 ? rounded_of(rounded, p.x) : nullptr) {
    n.type = Operands::e4m3;
    n.x.data = x->out;
    n.x.stride = x->stride;
    n.x_scales = x->scales;
  }
  if (w.format() == WeightFormat::i8 || group_of(w.format()) != 0) {
    if (n.type != Operands::bf16) throw std::logic_error("quantised weights are multiplied by bf16 or f32");
    n.weight_stride = round_up(w.columns(), 8);
    std::byte* wide = arena_.allocate(w.rows() * n.weight_stride * 2);
    widen_bf16(w, wide, n.weight_stride, stream_);
    n.weights = wide;
  }
  return n;
}

const float* CudaOps::wide(const CudaWeight& w, std::size_t* stride) {
  if (w.format() == WeightFormat::f32) {
    *stride = w.stride();
    return static_cast<const float*>(w.data());
  }
  *stride = w.columns();
  auto* out = reinterpret_cast<float*>(arena_.allocate(w.rows() * w.columns() * sizeof(float)));
  widen_f32(w, out, *stride, stream_);
  return out;
}

void CudaOps::products(std::span<const Product> group) {
  use();
  for (const Product& p : group) {
    if (p.w->columns() != p.x.columns || p.w->rows() != p.y.columns || p.x.rows != p.y.rows) {
      throw std::logic_error("linear: shapes do not fit");
    }
  }
  if (group.empty() || group[0].x.rows == 0) return;
  if (recorder_) return recorder_->products(group);
  const std::size_t mark = arena_.mark();
  const bool few = group[0].x.rows <= kFewRows && !device_.deterministic;
  const bool few_packed = group[0].x.rows <= kFewPackedRows && !device_.deterministic;
  std::vector<FewProduct> few_products;
  std::vector<Product> narrow_group;
  std::vector<FewPacked> packed;
  const std::vector<E4m3Rows> rounded = round_inputs(group);
  for (const Product& p : group) {
    const CudaWeight& w = parameters(*p.w);
    const bool in_groups = group_of(w.format()) != 0;
    const bool bf16_groups = in_groups && p.x.type == Tensor::Type::bf16;
    if (few_packed && (w.format() == WeightFormat::f8 || (bf16_groups && p.x.rows > 1))) {
      FewPacked& one = packed.emplace_back(&w, p.x, nullptr, p.y, p.epilogue);
      if (const E4m3Rows* x = rounded_of(rounded, p.x)) {
        one.x.data = x->out;
        one.x.stride = x->stride;
        one.x_scales = x->scales;
      }
    } else if (few && (!in_groups || bf16_groups) && w.format() != WeightFormat::f8) {
      few_products.push_back({&w, p.x, p.y, p.epilogue});
    } else if (narrow(p.x.type)) {
      narrow_group.push_back(p);
    } else {
      std::size_t stride = 0;
      const float* weights = wide(w, &stride);
      product_f32(weights, w.rows(), w.columns(), stride, w.scales(), p.x, p.y, p.epilogue, stream_);
    }
  }
  // One launch reads one type of x, and weights all of which are in groups or none.
  const auto kind = [](const FewProduct& p) { return std::pair(p.x.type, group_of(p.w->format()) != 0); };
  std::stable_sort(few_products.begin(), few_products.end(),
                   [&](const FewProduct& a, const FewProduct& b) { return kind(a) < kind(b); });
  for (std::size_t first = 0; first < few_products.size();) {
    std::size_t end = first + 1;
    while (end < few_products.size() && kind(few_products[end]) == kind(few_products[first])) ++end;
    products_few(std::span(few_products).subspan(first, end - first), stream_);
    first = end;
  }
  products_few_packed(packed, stream_);
  narrow_products(narrow_group, rounded);
  arena_.release(mark);
}

void CudaOps::narrow_products(std::span<const Product> group, std::span<const E4m3Rows> rounded) {
  if (group.empty()) return;
  if (hopper()) {
    std::vector<NarrowProduct> bytes, halves;  // a launch is of one type
    for (const Product& p : group) {
      NarrowProduct n = narrowed(p, rounded);
      (n.type == Operands::e4m3 ? bytes : halves).push_back(std::move(n));
    }
    gemm90(bytes, device_.multiprocessors, stream_);
    return gemm90(halves, device_.multiprocessors, stream_);
  }
  for (const Product& p : group) {
    const std::size_t mark = arena_.mark();
    const NarrowProduct n = narrowed(p);
    if (blas_workspace_.bytes() == 0)
      blas_workspace_ = DeviceBuffer(BlasLt::kWorkspace, "cuBLASLt's workspace");
    const bool plain = p.epilogue.act == Epilogue::Act::none && p.epilogue.bias == nullptr &&
                       n.scales == nullptr && p.epilogue.combine == Epilogue::Combine::store &&
                       p.y.type == Tensor::Type::f32;
    const Tensor out = plain ? p.y : allocate(p.y.rows, p.y.columns, Tensor::Type::f32);
    blas_.product(n, out, blas_workspace_.data(), blas_workspace_.bytes(), stream_);
    if (!plain) apply_epilogue(out, n.scales, p.y, p.epilogue, stream_);
    arena_.release(mark);
  }
}

void CudaOps::score_head(const Weight& weight, const Tensor& x, std::span<const Token> targets,
                         std::span<TokenScore> scores) {
  use();
  const CudaWeight& w = parameters(weight);
  if (w.columns() != x.columns) throw std::logic_error("score_head: shapes do not fit");
  if (x.rows == 0) return;
  const std::size_t mark = arena_.mark();
  auto* wanted = reinterpret_cast<Token*>(arena_.allocate(targets.size_bytes()));
  DECIBAN_CUDA(
      cudaMemcpyAsync(wanted, targets.data(), targets.size_bytes(), cudaMemcpyHostToDevice, stream_));
  auto* target_logits = reinterpret_cast<float*>(arena_.allocate(x.rows * sizeof(float)));
  auto* results = reinterpret_cast<TokenScore*>(arena_.allocate(x.rows * sizeof(TokenScore)));
  const bool fused = narrow(x.type) && hopper();
  const std::size_t columns = fused ? kHeadTile : kLogitTileColumns,
                    tiles = (w.rows() + columns - 1) / columns;
  auto* partials = reinterpret_cast<HeadPartial*>(arena_.allocate(x.rows * tiles * sizeof(HeadPartial)));
  if (fused) {
    const Product head{&weight, x, {}, {}};
    const std::vector<E4m3Rows> rounded = round_inputs({&head, 1});
    head90(narrowed(head, rounded), wanted, partials, target_logits, device_.multiprocessors, stream_);
  } else {
    const std::size_t rows = std::min<std::size_t>(x.rows, kLogitTileBytes / (kLogitTileColumns * 4));
    const Tensor logits = allocate(rows, columns, Tensor::Type::f32);
    std::size_t stride = 0;
    const float* weights = narrow(x.type) ? nullptr : wide(w, &stride);
    const NarrowProduct all = narrow(x.type) ? narrowed({&weight, x, {}, {}}) : NarrowProduct{};
    if (narrow(x.type) && blas_workspace_.bytes() == 0) {
      blas_workspace_ = DeviceBuffer(BlasLt::kWorkspace, "cuBLASLt's workspace");
    }
    for (std::size_t first = 0; first < x.rows; first += rows) {
      const Tensor part = rows_of(x, first, std::min(rows, x.rows - first));
      for (std::size_t tile = 0; tile < tiles; ++tile) {
        Tensor out = logits;
        out.rows = part.rows;
        out.columns = std::min(columns, w.rows() - tile * columns);
        if (narrow(x.type)) {
          NarrowProduct n = all;
          n.weights = static_cast<const std::byte*>(all.weights) + tile * columns * all.weight_stride * 2;
          n.outputs = out.columns;
          n.x = part;
          blas_.product(n, out, blas_workspace_.data(), blas_workspace_.bytes(), stream_);
        } else {
          product_f32(weights + tile * columns * stride, out.columns, w.columns(), stride, nullptr, part, out,
                      {}, stream_);
        }
        score_logits(out, w.scales(), wanted + first, partials + first * tiles, tile, tiles,
                     target_logits + first, stream_);
      }
    }
  }
  combine_scores(partials, x.rows, tiles, wanted, target_logits, results, stream_);
  DECIBAN_CUDA(
      cudaMemcpyAsync(scores.data(), results, x.rows * sizeof(TokenScore), cudaMemcpyDeviceToHost, stream_));
  arena_.release(mark);
  wait();
}

void CudaOps::row_best(const Tensor& logits, std::span<TokenScore> scores) {
  use();
  const std::size_t mark = arena_.mark(),
                    tiles = (logits.columns + kLogitTileColumns - 1) / kLogitTileColumns;
  auto* partials = reinterpret_cast<HeadPartial*>(arena_.allocate(logits.rows * tiles * sizeof(HeadPartial)));
  auto* results = reinterpret_cast<TokenScore*>(arena_.allocate(logits.rows * sizeof(TokenScore)));
  score_logits(logits, nullptr, nullptr, partials, 0, tiles, nullptr, stream_);
  combine_scores(partials, logits.rows, tiles, nullptr, nullptr, results, stream_);
  DECIBAN_CUDA(cudaMemcpyAsync(scores.data(), results, logits.rows * sizeof(TokenScore),
                               cudaMemcpyDeviceToHost, stream_));
  arena_.release(mark);
  wait();
}

void CudaOps::record(Graph& graph, const std::function<void()>& body) {
  recorder_.emplace(device_.multiprocessors);
  const struct Reset {
    std::optional<StepRecorder>& recorder;
    ~Reset() { recorder.reset(); }
  } reset{recorder_};
  try {
    body();
    graph.program = recorder_->finish();
  } catch (const NotRecorded&) {
    graph.no_program = true;
  }
}

// The first call runs eagerly, which brings buffers to their size; the second is recorded.
void CudaOps::repeat(std::uint64_t key, std::span<const Token> tokens, const std::function<void()>& body) {
  use();
  if (tokens.size() == 1 && !device_.deterministic) {
    Graph& graph = graphs_[key];
    if (graph.cache != *cache_addresses_) {
      graph.program.reset();
      graph.no_program = false;
      graph.cache = *cache_addresses_;
    }
    if (graph.program == nullptr && !graph.no_program) record(graph, body);
    if (graph.program != nullptr) return graph.program->run(tokens[0], stream_);
  }
  upload(tokens);
  repeating_ = true;
  const struct Reset {
    bool& flag;
    ~Reset() { flag = false; }
  } reset{repeating_};
  Graph& graph = graphs_[key];
  const std::uint64_t now = layouts_.version() + addresses_ + *cache_addresses_;
  if (graph.exec != nullptr && graph.layout == now) {
    DECIBAN_CUDA(cudaGraphLaunch(graph.exec, stream_));
    return;
  }
  if (graph.exec != nullptr) {
    DECIBAN_CUDA(cudaGraphExecDestroy(graph.exec));
    graph.exec = nullptr;
    graph.calls = 0;
  }
  if (graph.calls++ == 0) return body();
  cudaGraph_t recorded = nullptr;
  DECIBAN_CUDA(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
  try {
    body();
  } catch (...) {
    cudaStreamEndCapture(stream_, &recorded);
    if (recorded != nullptr) cudaGraphDestroy(recorded);
    throw;
  }
  DECIBAN_CUDA(cudaStreamEndCapture(stream_, &recorded));
  const cudaError_t made = cudaGraphInstantiate(&graph.exec, recorded, 0);
  cudaGraphDestroy(recorded);
  check(made, "cudaGraphInstantiate");
  graph.layout = layouts_.version() + addresses_ + *cache_addresses_;
  DECIBAN_CUDA(cudaGraphLaunch(graph.exec, stream_));
}

}  // namespace

std::unique_ptr<Ops> cuda_ops(const Device& device) {
  DECIBAN_CUDA(cudaSetDevice(device.index));
  return std::make_unique<CudaOps>(device);
}

}  // namespace deciban::cuda

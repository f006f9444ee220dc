#include "engine/cpu/cpu_ops.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "engine/cpu/attention.h"
#include "engine/cpu/memory.h"
#include "engine/cpu/team.h"
#include "engine/cpu/weights.h"

namespace deciban::cpu {
namespace {

constexpr std::size_t kHeadBlock =
    4096;                             // outputs whose partial log-sum-exp is kept apart, whatever the threads
constexpr std::size_t kRowUnit = 12;  // rows are split between threads in multiples of this

std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }
bool is_bf16(const Tensor& t) { return t.type == Tensor::Type::bf16; }
const float* values(const Vector* v) { return v == nullptr ? nullptr : v->data(); }
NormArgs arguments(const Norm& norm) {
  return {norm.weight->data(), values(norm.bias), norm.eps, norm.kind == Norm::Kind::rms};
}
const CpuWeight& packed(const Weight& w) { return static_cast<const CpuWeight&>(w); }

std::byte* at(const Tensor& t, std::size_t row, std::size_t column = 0) {
  return static_cast<std::byte*>(t.data) + (row * t.stride + column) * (is_bf16(t) ? 2 : 4);
}

const float* floats(const Tensor& t, const Piece& piece, std::size_t column = 0) {
  return t.f32() + piece.row * t.stride + column;
}

class CpuOps final : public Ops {
 public:
  CpuOps(const Kernels& kernels, int threads)
      : kernels_(kernels), threads_(threads), team_(threads), scratch_(threads) {}

  Tensor allocate(std::size_t rows, std::size_t columns, Tensor::Type type) override {
    const std::size_t stride = round_up(columns, 32);
    return {arena_.allocate(rows * stride * (type == Tensor::Type::bf16 ? 2 : 4)), type, rows, columns,
            stride};
  }
  std::size_t mark() override { return arena_.mark(); }
  void release(std::size_t mark) override { arena_.release(mark); }
  std::uint64_t workspace_bytes() const override {
    std::uint64_t bytes = arena_.bytes();
    for (const Pages& pages : scratch_) bytes += pages.bytes();
    return bytes + turns_.bytes();
  }

  StateView allocate_state(std::size_t slots, std::size_t floats) override {
    states_.emplace_back(slots * floats * sizeof(float));
    return {reinterpret_cast<float*>(states_.back().data()), floats, 0};
  }
  void write_state(StateView state, std::size_t slot, std::span<const float> values) override {
    std::copy(values.begin(), values.end(), state.slot(slot));
  }
  void read_state(StateView state, std::size_t slot, std::span<float> values) override {
    std::copy_n(state.slot(slot), values.size(), values.begin());
  }
  void copy_state(StateView state, std::size_t floats, std::size_t from, std::size_t to) override {
    std::memcpy(state.slot(to), state.slot(from), floats * sizeof(float));
  }
  void read(const Tensor& tensor, std::size_t row, std::size_t count, float* out) override {
    for (std::size_t r = 0; r < count; ++r) {
      if (!is_bf16(tensor)) {
        std::memcpy(out + r * tensor.columns, at(tensor, row + r), tensor.columns * 4);
        continue;
      }
      const auto* narrow = reinterpret_cast<const std::uint16_t*>(at(tensor, row + r));
      for (std::size_t c = 0; c < tensor.columns; ++c) {
        const std::uint32_t bits = static_cast<std::uint32_t>(narrow[c]) << 16;
        std::memcpy(out + r * tensor.columns + c, &bits, 4);
      }
    }
  }
  void write(const Tensor& tensor, std::size_t row, std::size_t count, const float* values) override {
    for (std::size_t r = 0; r < count; ++r) {
      const float* from = values + r * tensor.columns;
      std::byte* to = at(tensor, row + r);
      if (is_bf16(tensor)) {
        for (std::size_t c = 0; c < tensor.columns; ++c) {
          const auto bits = std::bit_cast<std::uint32_t>(from[c]);
          reinterpret_cast<std::uint16_t*>(to)[c] =
              static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
        }
      } else {
        std::memcpy(to, from, tensor.columns * 4);
      }
      std::memset(at(tensor, row + r, tensor.columns), 0,
                  (tensor.stride - tensor.columns) * (is_bf16(tensor) ? 2 : 4));
    }
  }

  void embed(const Table& table, std::span<const Token> tokens, const Norm* norm, Tensor x) override {
    const auto& source = static_cast<const CpuTable&>(table);
    need_scratch(x.stride);
    team_.run(tokens.size(), [&](std::size_t i, int thread) {
      float* row = x.f32() + i * x.stride;
      if (norm == nullptr) {
        source.row(static_cast<std::size_t>(tokens[i]), row);
        return;
      }
      source.row(static_cast<std::size_t>(tokens[i]), scratch(thread));
      kernels_.norm(scratch(thread), x.columns, arguments(*norm), row, false);
    });
  }
  void add_rows(const Table& table, std::span<const Token> rows, Tensor x) override {
    const auto& source = static_cast<const CpuTable&>(table);
    need_scratch(x.stride);
    team_.run(rows.size(), [&](std::size_t i, int thread) {
      const float* row = scratch(thread);
      source.row(static_cast<std::size_t>(rows[i]), scratch(thread));
      for (std::size_t c = 0; c < x.columns; ++c) x.f32()[i * x.stride + c] += row[c];
    });
  }

  std::unique_ptr<KvCache> allocate_cache(const KvShape& shape, std::size_t slots) override {
    return std::make_unique<PagedCache>(shape, slots);
  }
  void attention(const Attention& params, const Tensor& q, const Tensor& k, const Tensor& v, Layout layout,
                 KvCache& cache, std::size_t layer, Tensor out) override {
    const AttentionCall call{params, q, k, v, layout, static_cast<PagedCache&>(cache), layer, out};
    need_scratch(call.scratch_floats());
    const std::size_t mark = arena_.mark();
    call.run(kernels_, team_, arena_, turns_, [this](int thread) { return scratch(thread); });
    arena_.release(mark);
  }

  void norm_mix(const Tensor& x, const Norm& norm, Layout layout, StateView shift,
                std::span<const Vector* const> mixes, std::span<const Tensor> outs, Tensor* h,
                Tensor* h_prev) override;
  void linear(const Weight& w, const Tensor& x, Tensor y, const Epilogue& epilogue) override {
    const Product call{&w, x, y, epilogue};
    products({&call, 1});
  }
  void products(std::span<const Product> calls) override;
  void wkv4(const Tensor& r, const Tensor& k, const Tensor& v, const Vector& w, const Vector& u,
            Layout layout, StateView state, Tensor out) override;
  void wkv5(const Wkv5Params& params, const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w,
            const Tensor& g, Layout layout, StateView state, Tensor out) override;
  void wkv7(const Wkv7Params& params, const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v,
            const Tensor& a, const Tensor& g, Layout layout, StateView state, Tensor out) override;

  void norm_rows(const Tensor& x, std::span<const std::size_t> rows, const Norm& norm, Tensor out) override {
    team_.run(rows.size(), [&](std::size_t i, int) {
      kernels_.norm(x.f32() + rows[i] * x.stride, x.columns, arguments(norm), at(out, i), is_bf16(out));
    });
  }
  void score_head(const Weight& w, const Tensor& x, std::span<const Token> targets,
                  std::span<TokenScore> scores) override;

 private:
  // Scratch of each thread; grown outside parallel regions only.
  void need_scratch(std::size_t floats) {
    for (Pages& pages : scratch_) {
      if (pages.bytes() < floats * sizeof(float)) pages = Pages(round_up(floats * sizeof(float), 1 << 16));
    }
  }
  float* scratch(int thread) const { return reinterpret_cast<float*>(scratch_[thread].data()); }

  // How many parts the rows are split into so that `units` of other work times the parts keep all threads
  // busy.
  std::size_t row_parts(std::size_t units, std::size_t rows) const {
    if (threads_ == 1 || units >= 4 * static_cast<std::size_t>(threads_)) return 1;
    const std::size_t wanted = (4 * threads_ + units - 1) / units;
    return std::clamp<std::size_t>(rows / (4 * kRowUnit), 1, wanted);
  }

  // The rows of x as a weight's product reads them: x itself, or its i8 form in the arena (release it
  // afterwards).
  struct Rows {
    const std::byte* data;
    const float* scales;
    std::size_t stride, row_bytes;
  };
  Rows product_rows(const CpuWeight& w, const Tensor& x);
  // For several products at once; an input that several of them read is rounded once.
  std::vector<Rows> product_rows(std::span<const Product> calls);

  // What the matrix-valued recurrences of all versions take.
  struct Heads {
    std::size_t count, size;
    const Tensor &r, &k, &v, &g;
    const Norm& group;
    StateView state;
    const Tensor& out;
  };
  template <typename Fill>
  void for_heads(const Heads& h, Layout layout, const Fill& fill, void (*kernel)(const WkvHeadArgs&));

  const Kernels& kernels_;
  int threads_;
  Team team_;
  Arena arena_;
  std::vector<Pages> scratch_;
  std::vector<Pages> states_;
  TurnTable turns_;
};

void CpuOps::norm_mix(const Tensor& x, const Norm& norm, Layout layout, StateView shift,
                      std::span<const Vector* const> mixes, std::span<const Tensor> outs, Tensor* h,
                      Tensor* h_prev) {
  constexpr std::size_t kMost = 8;
  if (mixes.size() > kMost || mixes.size() != outs.size()) throw std::logic_error("norm_mix: too many mixes");
  std::vector<const float*> starts(x.rows, nullptr);
  for (const Piece& piece : layout) starts[piece.row] = shift.slot(piece.slot);
  const float* mix[kMost];
  void* out[kMost];
  bool bf16[kMost];
  std::size_t stride[kMost];
  for (std::size_t i = 0; i < mixes.size(); ++i) {
    mix[i] = mixes[i]->data();
    out[i] = outs[i].data;
    bf16[i] = is_bf16(outs[i]);
    stride[i] = outs[i].stride;
  }
  need_scratch(2 * round_up(x.columns, 32));
  NormMixArgs args{.x = x.f32(),
                   .x_stride = x.stride,
                   .columns = x.columns,
                   .weight = norm.weight->data(),
                   .bias = norm.bias->data(),
                   .eps = norm.eps,
                   .row_begin = 0,
                   .row_end = 0,
                   .starts = starts.data(),
                   .mixes = mixes.size(),
                   .mix = mix,
                   .out = out,
                   .out_bf16 = bf16,
                   .out_stride = stride,
                   .h = h ? h->f32() : nullptr,
                   .h_prev = h_prev ? h_prev->f32() : nullptr,
                   .h_stride = h ? h->stride : 0,
                   .h_prev_stride = h_prev ? h_prev->stride : 0,
                   .scratch = nullptr};
  const std::size_t parts = row_parts(1, x.rows);
  team_.run(parts, [&](std::size_t part, int thread) {
    NormMixArgs a = args;
    a.row_begin = x.rows * part / parts;
    a.row_end = x.rows * (part + 1) / parts;
    a.scratch = scratch(thread);
    if (a.row_begin < a.row_end) kernels_.norm_mix(a);
  });
  // Only now, when no thread reads the old states any more.
  for (const Piece& piece : layout) {
    kernels_.norm(x.f32() + (piece.row + piece.count - 1) * x.stride, x.columns, arguments(norm),
                  shift.slot(piece.slot), false);
  }
}

std::vector<CpuOps::Rows> CpuOps::product_rows(std::span<const Product> calls) {
  struct Narrow {
    const Tensor* x;
    std::uint8_t* out;
    float* scales;
    std::size_t stride;
  };
  std::vector<Narrow> narrow;
  std::vector<Rows> rows;
  for (const Product& call : calls) {
    const Tensor& x = call.x;
    if (!packed(*call.w).wants_i8()) {
      rows.push_back({at(x, 0), nullptr, x.stride, x.stride * (is_bf16(x) ? 2 : 4)});
      continue;
    }
    const std::size_t stride = round_up(x.columns, 64);
    auto known = std::find_if(narrow.begin(), narrow.end(), [&](const Narrow& n) {
      return n.x->data == x.data && n.x->columns == x.columns && n.x->rows == x.rows;
    });
    if (known == narrow.end()) {
      auto* out = static_cast<std::uint8_t*>(arena_.allocate(x.rows * stride));
      narrow.push_back({&x, out, static_cast<float*>(arena_.allocate(x.rows * sizeof(float))), stride});
      known = narrow.end() - 1;
    }
    rows.push_back({reinterpret_cast<const std::byte*>(known->out), known->scales, stride, stride});
  }
  if (narrow.empty()) return rows;
  const std::size_t parts = row_parts(narrow.size(), narrow[0].x->rows);
  team_.run(parts * narrow.size(), [&](std::size_t task, int) {
    const Narrow& n = narrow[task / parts];
    const std::size_t part = task % parts, total = n.x->rows;
    for (std::size_t r = total * part / parts; r < total * (part + 1) / parts; ++r) {
      n.scales[r] = kernels_.quantise(n.x->f32() + r * n.x->stride, n.x->columns, n.out + r * n.stride);
    }
  });
  return rows;
}

CpuOps::Rows CpuOps::product_rows(const CpuWeight& w, const Tensor& x) {
  const Product call{&w, x, {}, {}};
  return product_rows({&call, 1})[0];
}

void CpuOps::products(std::span<const Product> calls) {
  if (calls.empty()) return;
  const std::size_t rows = calls[0].x.rows;
  std::size_t all_panels = 0, all_work = 0;
  for (const Product& call : calls) {
    const CpuWeight& w = packed(*call.w);
    if (w.columns() != call.x.columns || w.rows() != call.y.columns || rows != call.x.rows ||
        rows != call.y.rows) {
      throw std::logic_error("linear: shapes do not fit");
    }
    if (is_bf16(call.x) && w.format() != WeightFormat::bf16)
      throw std::logic_error("linear: bf16 inputs need bf16 weights");
    const std::size_t panels = (w.rows() + kernels_.panel - 1) / kernels_.panel;
    all_panels += panels;
    all_work += panels * w.columns();
    need_scratch(linear_scratch_floats(kernels_, w.columns(), rows));
  }
  const std::size_t row_split = row_parts(all_panels, rows);
  const std::size_t mark = arena_.mark();
  const std::vector<Rows> inputs = product_rows(calls);
  // Tasks: parts of a product's panels by parts of the rows, each about as long as the others.
  struct Job {
    LinearArgs args;
    std::size_t panels, parts, first;
  };
  std::vector<Job> jobs;
  std::size_t tasks = 0;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const CpuWeight& w = packed(*calls[i].w);
    const Tensor& y = calls[i].y;
    const Epilogue& e = calls[i].epilogue;
    const std::size_t panels = (w.rows() + kernels_.panel - 1) / kernels_.panel;
    const std::size_t wanted = (panels * w.columns() * 8 * threads_ + all_work - 1) / all_work;
    const std::size_t parts = threads_ == 1 ? 1 : std::clamp<std::size_t>(wanted, 1, panels);
    jobs.push_back({{.format = w.format(),
                     .packed = w.packed(),
                     .inputs = w.columns(),
                     .outputs = w.rows(),
                     .x = inputs[i].data,
                     .x_bf16 = is_bf16(calls[i].x),
                     .x_scales = inputs[i].scales,
                     .x_stride = inputs[i].stride,
                     .rows = rows,
                     .y = y.data,
                     .y_bf16 = is_bf16(y),
                     .y_stride = y.stride,
                     .panel_begin = 0,
                     .panel_end = panels,
                     .act = e.act,
                     .combine = e.combine,
                     .bias = values(e.bias),
                     .gate = e.gate.f32(),
                     .base = e.base.f32(),
                     .target = e.target.f32(),
                     .gate_stride = e.gate.stride,
                     .base_stride = e.base.stride,
                     .target_stride = e.target.stride,
                     .scratch = nullptr},
                    panels,
                    parts,
                    tasks});
    tasks += parts * row_split;
  }
  team_.run(tasks, [&](std::size_t task, int thread) {
    std::size_t i = jobs.size() - 1;
    while (jobs[i].first > task) --i;
    const Job& job = jobs[i];
    const std::size_t part = (task - job.first) / row_split, rows_part = (task - job.first) % row_split;
    const std::size_t begin = rows * rows_part / row_split, end = rows * (rows_part + 1) / row_split;
    LinearArgs a = job.args;
    a.panel_begin = job.panels * part / job.parts;
    a.panel_end = job.panels * (part + 1) / job.parts;
    a.rows = end - begin;
    a.x = static_cast<const std::byte*>(a.x) + begin * inputs[i].row_bytes;
    if (a.x_scales != nullptr) a.x_scales += begin;
    a.y = at(calls[i].y, begin);
    if (a.gate != nullptr) a.gate += begin * a.gate_stride;
    if (a.base != nullptr) a.base += begin * a.base_stride;
    if (a.target != nullptr) a.target += begin * a.target_stride;
    a.scratch = scratch(thread);
    kernels_.linear(a);
  });
  arena_.release(mark);
}

void CpuOps::wkv4(const Tensor& r, const Tensor& k, const Tensor& v, const Vector& w, const Vector& u,
                  Layout layout, StateView state, Tensor out) {
  constexpr std::size_t kChannels = 64;
  const std::size_t blocks = (r.columns + kChannels - 1) / kChannels;
  team_.run(layout.size() * blocks, [&](std::size_t task, int) {
    const Piece& piece = layout[task / blocks];
    const std::size_t first = task % blocks * kChannels;
    kernels_.wkv4({.r = floats(r, piece),
                   .k = floats(k, piece),
                   .v = floats(v, piece),
                   .r_stride = r.stride,
                   .k_stride = k.stride,
                   .v_stride = v.stride,
                   .rows = piece.count,
                   .w = w.data(),
                   .u = u.data(),
                   .state = state.slot(piece.slot),
                   .channels_total = r.columns,
                   .channel_begin = first,
                   .channel_end = std::min(first + kChannels, r.columns),
                   .out = at(out, piece.row),
                   .out_bf16 = is_bf16(out),
                   .out_stride = out.stride});
  });
}

// Runs `kernel` for every head of every piece; `fill(args, piece, column)` sets what the versions do not
// share, for the head whose first channel is `column`.
template <typename Fill>
void CpuOps::for_heads(const Heads& h, Layout layout, const Fill& fill, void (*kernel)(const WkvHeadArgs&)) {
  need_scratch(wkv_scratch_floats(h.size));
  team_.run(layout.size() * h.count, [&](std::size_t task, int thread) {
    const Piece& piece = layout[task / h.count];
    const std::size_t head = task % h.count, column = head * h.size;
    WkvHeadArgs a{};
    a.rows = piece.count;
    a.size = h.size;
    a.r = floats(h.r, piece, column);
    a.k = floats(h.k, piece, column);
    a.v = floats(h.v, piece, column);
    a.r_stride = h.r.stride;
    a.k_stride = h.k.stride;
    a.v_stride = h.v.stride;
    if (h.g.data != nullptr) {
      a.g = floats(h.g, piece, column);
      a.g_stride = h.g.stride;
    }
    a.group_weight = h.group.weight->data() + column;
    a.group_bias = h.group.bias->data() + column;
    a.group_eps = h.group.eps;
    a.state = h.state.slot(piece.slot) + head * h.size * h.size;
    a.out = at(h.out, piece.row, column);
    a.out_bf16 = is_bf16(h.out);
    a.out_stride = h.out.stride;
    a.scratch = scratch(thread);
    fill(a, piece, column);
    kernel(a);
  });
}

void CpuOps::wkv5(const Wkv5Params& p, const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w,
                  const Tensor& g, Layout layout, StateView state, Tensor out) {
  for_heads(
      {p.heads, p.head_size, r, k, v, g, p.group, state, out}, layout,
      [&](WkvHeadArgs& a, const Piece& piece, std::size_t column) {
        a.w = w.data != nullptr ? floats(w, piece, column) : p.decay->data() + column;
        a.w_stride = w.data != nullptr ? w.stride : 0;
        a.bonus = p.bonus->data() + column;
      },
      kernels_.wkv5);
}

void CpuOps::wkv7(const Wkv7Params& p, const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v,
                  const Tensor& rate, const Tensor& g, Layout layout, StateView state, Tensor out) {
  for_heads(
      {p.heads, p.head_size, r, k, v, g, p.group, state, out}, layout,
      [&](WkvHeadArgs& a, const Piece& piece, std::size_t column) {
        a.w = floats(w, piece, column);
        a.a = floats(rate, piece, column);
        a.w_stride = w.stride;
        a.a_stride = rate.stride;
        a.k_k = p.k_k->data() + column;
        a.k_a = p.k_a->data() + column;
        a.r_k = p.r_k->data() + column;
      },
      kernels_.wkv7);
}

void CpuOps::score_head(const Weight& weight, const Tensor& x, std::span<const Token> targets,
                        std::span<TokenScore> scores) {
  const CpuWeight& w = packed(weight);
  const std::size_t panels = (w.rows() + kernels_.panel - 1) / kernels_.panel;
  const std::size_t block_panels = kHeadBlock / kernels_.panel;
  const std::size_t blocks = (panels + block_panels - 1) / block_panels;
  const std::size_t row_split = row_parts(blocks, x.rows);
  need_scratch(head_scratch_floats(kernels_, w.columns(), x.rows));
  std::vector<HeadPartial> partials(blocks * x.rows);
  const std::size_t mark = arena_.mark();
  const Rows input = product_rows(w, x);
  team_.run(blocks * row_split, [&](std::size_t task, int thread) {
    const std::size_t block = task / row_split, part = task % row_split;
    const std::size_t begin = x.rows * part / row_split, end = x.rows * (part + 1) / row_split;
    kernels_.head({.format = w.format(),
                   .packed = w.packed(),
                   .inputs = w.columns(),
                   .outputs = w.rows(),
                   .x = input.data + begin * input.row_bytes,
                   .x_bf16 = is_bf16(x),
                   .x_scales = input.scales != nullptr ? input.scales + begin : nullptr,
                   .x_stride = input.stride,
                   .rows = end - begin,
                   .targets = targets.data() + begin,
                   .panel_begin = block * block_panels,
                   .panel_end = std::min(panels, (block + 1) * block_panels),
                   .partials = partials.data() + block * x.rows + begin,
                   .scratch = scratch(thread)});
  });
  arena_.release(mark);
  // Blocks are joined in ascending order, in f64, so that the result does not depend on who computed them.
  for (std::size_t r = 0; r < x.rows; ++r) {
    HeadPartial top = partials[r];
    for (std::size_t b = 1; b < blocks; ++b) {
      const HeadPartial& p = partials[b * x.rows + r];
      if (p.max > top.max) {
        top.max = p.max;
        top.best = p.best;
      }
    }
    double total = 0;
    for (std::size_t b = 0; b < blocks; ++b) {
      const HeadPartial& p = partials[b * x.rows + r];
      total += p.sum * std::exp(static_cast<double>(p.max) - top.max);
    }
    const double log_total = std::log(total);
    const float target = partials[static_cast<std::size_t>(targets[r]) / kHeadBlock * x.rows + r].target;
    scores[r].logprob = static_cast<float>(static_cast<double>(target) - top.max - log_total);
    scores[r].best_logprob = static_cast<float>(-log_total);
    scores[r].best = top.best;
  }
}

}  // namespace

std::unique_ptr<Ops> cpu_ops(const Kernels& kernels, int threads) {
  return std::make_unique<CpuOps>(kernels, threads);
}

}  // namespace deciban::cpu

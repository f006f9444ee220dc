// An Ops that hands every call on to another: what those derive from that watch, time or break operations.
#pragma once

#include <string>

#include "engine/ops.h"

namespace deciban {

class ForwardingOps : public Ops {
 public:
  explicit ForwardingOps(Ops& inner) : inner_(inner) {}

  Tensor::Type inner_type(ActivationFormat format) const override { return inner_.inner_type(format); }
  Tensor allocate(std::size_t rows, std::size_t columns, Tensor::Type type) override {
    return inner_.allocate(rows, columns, type);
  }
  std::size_t mark() override { return inner_.mark(); }
  void release(std::size_t mark) override { inner_.release(mark); }
  std::uint64_t workspace_bytes() const override { return inner_.workspace_bytes(); }
  StateView allocate_state(std::size_t slots, std::size_t floats) override {
    return inner_.allocate_state(slots, floats);
  }
  void write_state(StateView state, std::size_t slot, std::span<const float> values) override {
    inner_.write_state(state, slot, values);
  }
  void read_state(StateView state, std::size_t slot, std::span<float> values) override {
    inner_.read_state(state, slot, values);
  }
  void copy_state(StateView state, std::size_t floats, std::size_t from, std::size_t to) override {
    inner_.copy_state(state, floats, from, to);
  }
  void read(const Tensor& tensor, std::size_t row, std::size_t count, float* out) override {
    inner_.read(tensor, row, count, out);
  }
  void write(const Tensor& tensor, std::size_t row, std::size_t count, const float* values) override {
    inner_.write(tensor, row, count, values);
  }
  void embed(const Table& table, std::span<const Token> tokens, const Norm* norm, Tensor x) override {
    inner_.embed(table, tokens, norm, x);
  }
  void norm_mix(const Tensor& x, const Norm& norm, Layout layout, StateView shift,
                std::span<const Vector* const> mixes, std::span<const Tensor> outs, Tensor* h,
                Tensor* h_prev) override {
    inner_.norm_mix(x, norm, layout, shift, mixes, outs, h, h_prev);
  }
  void linear(const Weight& w, const Tensor& x, Tensor y, const Epilogue& epilogue) override {
    inner_.linear(w, x, y, epilogue);
  }
  void products(std::span<const Product> calls) override { inner_.products(calls); }
  void wkv4(const Tensor& r, const Tensor& k, const Tensor& v, const Vector& w, const Vector& u,
            Layout layout, StateView state, Tensor out) override {
    inner_.wkv4(r, k, v, w, u, layout, state, out);
  }
  void wkv5(const Wkv5Params& params, const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w,
            const Tensor& g, Layout layout, StateView state, Tensor out) override {
    inner_.wkv5(params, r, k, v, w, g, layout, state, out);
  }
  void wkv7(const Wkv7Params& params, const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v,
            const Tensor& a, const Tensor& g, Layout layout, StateView state, Tensor out) override {
    inner_.wkv7(params, r, w, k, v, a, g, layout, state, out);
  }
  void add_rows(const Table& table, std::span<const Token> rows, Tensor x) override {
    inner_.add_rows(table, rows, x);
  }
  std::unique_ptr<KvCache> allocate_cache(const KvShape& shape, std::size_t slots) override {
    return inner_.allocate_cache(shape, slots);
  }
  void attention(const Attention& params, const Tensor& q, const Tensor& k, const Tensor& v, Layout layout,
                 KvCache& cache, std::size_t layer, Tensor out) override {
    inner_.attention(params, q, k, v, layout, cache, layer, out);
  }
  void norm_rows(const Tensor& x, std::span<const std::size_t> rows, const Norm& norm, Tensor out) override {
    inner_.norm_rows(x, rows, norm, out);
  }
  void score_head(const Weight& w, const Tensor& x, std::span<const Token> targets,
                  std::span<TokenScore> scores) override {
    inner_.score_head(w, x, targets, scores);
  }

 protected:
  Ops& inner_;
};

}  // namespace deciban

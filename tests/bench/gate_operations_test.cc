// The correctness gate must notice: each double below makes one mistake, and the gate's own check must fail
// for it; unchanged operations must pass.
#include "bench/gate_operations.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>

#include "engine/checkpoint.h"
#include "engine/forwarding_ops.h"

namespace deciban {
namespace {

using Make = std::function<std::unique_ptr<Ops>(std::unique_ptr<Ops>)>;

// Owns what it forwards to.
struct Double : ForwardingOps {
  explicit Double(std::unique_ptr<Ops> inner) : ForwardingOps(*inner), owned(std::move(inner)) {}
  std::unique_ptr<Ops> owned;

  std::vector<float> values(const Tensor& t) {
    std::vector<float> out(t.rows * t.columns);
    inner_.read(t, 0, t.rows, out.data());
    return out;
  }
  Tensor copy(const Tensor& t, const std::vector<float>& of) {
    const Tensor c = inner_.allocate(t.rows, t.columns, t.type);
    inner_.write(c, 0, t.rows, of.data());
    return c;
  }
};

// The token shift takes the row before the row before.
struct LateShift final : Double {
  using Double::Double;
  void norm_mix(const Tensor& x, const Norm& norm, Layout layout, StateView shift,
                std::span<const Vector* const> mixes, std::span<const Tensor> outs, Tensor* h,
                Tensor* h_prev) override {
    Double::norm_mix(x, norm, layout, shift, mixes, outs, h, h_prev);
    for (const Tensor& out : outs) {
      std::vector<float> v = values(out);
      std::copy_backward(v.begin(), v.end() - static_cast<std::ptrdiff_t>(out.columns), v.end());
      inner_.write(out, 0, out.rows, v.data());
    }
  }
};
// The group norm with a layer norm's eps: 1e-5 for 64e-5.
struct WrongLayerEps final : Double {
  using Double::Double;
  void wkv5(const Wkv5Params& params, const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& w,
            const Tensor& g, Layout layout, StateView state, Tensor out) override {
    Wkv5Params other = params;
    other.group.eps = 1e-5f;
    Double::wkv5(other, r, k, v, w, g, layout, state, out);
  }
  void wkv7(const Wkv7Params& params, const Tensor& r, const Tensor& w, const Tensor& k, const Tensor& v,
            const Tensor& a, const Tensor& g, Layout layout, StateView state, Tensor out) override {
    Wkv7Params other = params;
    other.group.eps = 1e-5f;
    Double::wkv7(other, r, w, k, v, a, g, layout, state, out);
  }
};
// Sums kept in bf16: here the sum over the inputs' blocks of 32, rounded after each.
struct NarrowSums final : Double {
  using Double::Double;
  static float narrow(float v) { return std::bit_cast<float>(std::bit_cast<std::uint32_t>(v) & 0xffff0000u); }
  void linear(const Weight& w, const Tensor& x, Tensor y, const Epilogue& epilogue) override {
    if (epilogue.act != Epilogue::Act::none || epilogue.combine != Epilogue::Combine::store || epilogue.bias)
      return Double::linear(w, x, y, epilogue);
    const std::vector<float> in = values(x);
    std::vector<float> sum(y.rows * y.columns);
    for (std::size_t block = 0; block < x.columns; block += 32) {
      std::vector<float> part(in.size());
      for (std::size_t r = 0; r < x.rows; ++r) {
        for (std::size_t k = block; k < std::min(block + 32, x.columns); ++k)
          part[r * x.columns + k] = in[r * x.columns + k];
      }
      Double::linear(w, copy(x, part), y, {});
      const std::vector<float> more = values(y);
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = narrow(sum[i] + more[i]);
    }
    inner_.write(y, 0, y.rows, sum.data());
  }
};
// A loop over whole vectors of 16 that forgets what is left of the inputs.
struct DroppedTail final : Double {
  using Double::Double;
  void linear(const Weight& w, const Tensor& x, Tensor y, const Epilogue& epilogue) override {
    std::vector<float> in = values(x);
    for (std::size_t r = 0; r < x.rows; ++r) {
      for (std::size_t k = x.columns / 16 * 16; k < x.columns; ++k) in[r * x.columns + k] = 0;
    }
    Double::linear(w, copy(x, in), y, epilogue);
  }
};
// The head names the second best, where the best is a clear one.
struct SecondBest final : Double {
  using Double::Double;
  void score_head(const Weight& w, const Tensor& x, std::span<const Token> targets,
                  std::span<TokenScore> scores) override {
    Double::score_head(w, x, targets, scores);
    for (TokenScore& s : scores) s.best = s.best == 0 ? 1 : s.best - 1;
  }
};

// A backend that reads a LoRA's matrix, stored [inputs, outputs], as if it were [outputs, inputs].
class WrongOrder final : public Backend {
 public:
  explicit WrongOrder(Backend& inner) : inner_(inner) {}
  std::string device() const override { return inner_.device(); }
  std::string kernels() const override { return inner_.kernels(); }
  std::unique_ptr<Weight> matrix(const StoredTensor& tensor, NumericMode mode) override {
    const std::size_t rows = tensor.shape.at(0), columns = tensor.shape.at(1);
    std::vector<float> values(rows * columns), stored(values.size());
    tensor.read(0, values.size(), values.data());
    for (std::size_t r = 0; r < rows; ++r) {  // back to the order of the transpose, as it lies in the file
      for (std::size_t c = 0; c < columns; ++c) stored[c * rows + r] = values[r * columns + c];
    }
    return inner_.matrix(owned_tensor("w", {rows, columns}, stored), mode);
  }
  std::unique_ptr<Vector> vector(std::span<const float> values) override { return inner_.vector(values); }
  std::unique_ptr<EmbeddingTable> table(const StoredTensor& tensor) override { return inner_.table(tensor); }
  std::unique_ptr<Ops> open(int threads) override { return inner_.open(threads); }
  std::uint64_t weight_bytes() const override { return inner_.weight_bytes(); }
  std::string refusal(NumericMode mode) const override { return inner_.refusal(mode); }

 private:
  Backend& inner_;
};

std::vector<OpCase> cases_like(const std::function<bool(const OpCase&)>& wanted) {
  std::vector<OpCase> cases;
  std::copy_if(op_cases().begin(), op_cases().end(), std::back_inserter(cases), wanted);
  return cases;
}

std::size_t failures(const std::vector<OpCase>& cases, const Make& make) {
  EXPECT_FALSE(cases.empty());
  const auto backend = cpu_backend();
  const OperationPlace place{backend->kernels(), backend.get(), [&] { return make(backend->open(1)); }};
  std::size_t failed = 0;
  for (const OperationErrors& g : check_operations(cases, std::span(&place, 1), nullptr, {})) {
    failed += g.failed;
    EXPECT_EQ(g.failed > 0, !g.complaint.empty());
  }
  return failed;
}
template <typename T>
std::size_t failures(const std::vector<OpCase>& cases) {
  EXPECT_EQ(failures(cases, [](auto inner) { return inner; }), 0u) << "unchanged operations fail";
  return failures(cases, [](auto inner) { return std::make_unique<T>(std::move(inner)); });
}

TEST(GateOperations, CatchesAnOffByOneTokenShift) {
  EXPECT_GT(failures<LateShift>(
                cases_like([](const OpCase& c) { return c.op == OpKind::norm_mix && c.rows == 7; })),
            10u);
}
TEST(GateOperations, CatchesALayerNormsEpsInTheGroupNorm) {
  const auto cases = cases_like(
      [](const OpCase& c) { return (c.op == OpKind::wkv5 || c.op == OpKind::wkv7) && c.rows == 7; });
  EXPECT_GT(failures<WrongLayerEps>(cases), 10u);
}
TEST(GateOperations, CatchesSumsInBf16) {
  const auto cases = cases_like([](const OpCase& c) {
    return c.op == OpKind::linear && c.rows == 5 && c.outputs == 63 && c.inputs >= 1025 &&
           c.act == Epilogue::Act::none && c.traits == kPlain && c.mode.activations != ActivationFormat::i8;
  });
  EXPECT_GE(failures<NarrowSums>(cases), cases.size());
}
TEST(GateOperations, CatchesADroppedTail) {
  const auto cases = cases_like([](const OpCase& c) {
    return c.op == OpKind::linear && c.rows == 2 && c.outputs == 17 && c.inputs % 16 != 0 &&
           c.traits == kPlain;
  });
  EXPECT_GE(failures<DroppedTail>(cases), cases.size());
}
TEST(GateOperations, CatchesAHeadThatNamesAnotherToken) {
  const auto cases = cases_like(
      [](const OpCase& c) { return c.op == OpKind::score_head && c.rows == 13 && c.outputs == 257; });
  EXPECT_GT(failures<SecondBest>(cases), cases.size() / 2);
}
TEST(GateOperations, CatchesALoraInTheWrongOrder) {
  const auto cases = cases_like([](const OpCase& c) { return c.op == OpKind::linear && c.has(kTransposed); });
  ASSERT_FALSE(cases.empty());
  const auto right = cpu_backend();
  WrongOrder wrong(*right);
  for (Backend* backend : {static_cast<Backend*>(&wrong), right.get()}) {
    const OperationPlace place{"cpu", backend, [&] { return right->open(1); }};
    std::size_t failed = 0;
    for (const OperationErrors& g : check_operations(cases, std::span(&place, 1), nullptr, {}))
      failed += g.failed;
    EXPECT_EQ(failed, backend == right.get() ? 0 : cases.size());
  }
}

TEST(GateOperations, KnowsTheHeadsRegret) {
  const auto cases = cases_like([](const OpCase& c) {
    return c.op == OpKind::score_head && c.rows == 13 && c.outputs == 257 && c.traits == kPlain;
  });
  const auto backend = cpu_backend();
  for (const bool broken : {false, true}) {
    const OperationPlace place{"cpu", backend.get(), [&]() -> std::unique_ptr<Ops> {
                                 if (broken) return std::make_unique<SecondBest>(backend->open(1));
                                 return backend->open(1);
                               }};
    for (const OperationErrors& g : check_operations(cases, std::span(&place, 1), nullptr, {})) {
      EXPECT_EQ(g.regret > 0.1, broken) << g.name << ' ' << g.regret;
      EXPECT_GT(g.share.count(), 0u);
      EXPECT_LE(g.share.quantile(0.5), g.share.quantile(0.99));
      EXPECT_LE(g.share.quantile(0.99), g.share.max());
    }
  }
}

TEST(SizeHistogram, FindsQuantilesWithinABin) {
  SizeHistogram h;
  for (int i = 1; i <= 1000; ++i) h.add(i * 1e-3);
  EXPECT_NEAR(h.mean(), 0.5005, 1e-9);
  EXPECT_NEAR(h.quantile(0.5), 0.5, 0.5 * 0.012);
  EXPECT_NEAR(h.quantile(0.99), 0.99, 0.99 * 0.012);
  EXPECT_EQ(h.max(), 1);
  EXPECT_EQ(h.quantile(1), 1);
  EXPECT_EQ(SizeHistogram().quantile(0.5), 0);
  SizeHistogram zeros;
  zeros.add(0);
  zeros.add(0);
  zeros.add(std::nan(""));
  EXPECT_EQ(zeros.quantile(0.5), 0);
  EXPECT_TRUE(std::isinf(zeros.max()));
}

}  // namespace
}  // namespace deciban

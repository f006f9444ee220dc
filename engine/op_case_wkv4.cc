// Op cases of RWKV-4's recurrence.
#include <algorithm>
#include <stdexcept>

#include "engine/op_case_data.h"

namespace deciban::op_case {
namespace {

constexpr double kNothingYet = -1e30;  // the running exponent before the first token

class Wkv4Problem final : public OpProblem {
 public:
  explicit Wkv4Problem(const OpCase& c) : c_(c), sequences_(sequences(c.pieces, c.rows)) {
    if (c.inputs % 16 != 0) throw std::logic_error("wkv4: the channels are a multiple of 16");
    Random random(name(c));
    const std::size_t size = c.rows * c.inputs;
    r_ = random.uniforms(size, 0, 1);
    k_ = c.has(kLarge) ? random.uniforms(size, -86, 86) : random.normals(size, 1);
    v_ = random.normals(size, 1);
    for (Values* values : {&r_, &k_, &v_}) *values = rounded(inner_format(c), std::move(*values));
    for (const float raw : random.uniforms(c.inputs, -5, 1)) w_.push_back(-std::exp(raw));
    u_ = random.normals(c.inputs, 1);
    for (std::size_t slot = 0; slot < sequences_.slots; ++slot) {  // fresh ones and ones with a past
      const bool fresh = slot % 2 == 0;
      append(fresh ? Values(c.inputs) : random.normals(c.inputs, 1));
      append(fresh ? Values(c.inputs) : random.uniforms(c.inputs, 0.5, 3));
      append(fresh ? Values(c.inputs, static_cast<float>(kNothingYet)) : random.normals(c.inputs, 2));
      append(fresh ? Values(c.inputs) : random.normals(c.inputs, 1e-8));
    }
  }
  std::unique_ptr<OpRun> bind(Backend& backend, Ops& ops) const override;

  // Every weight exp(...) of the mean is off by the rounding of its argument (as large as the keys) and, in
  // the state, by that of the tokens since, a random walk; a mean of v whose weights are off by a share is
  // off by that share of the mean of |v|.
  std::vector<Expected> expected() const override {
    const std::size_t n = c_.inputs;
    Bounded out(c_.rows * n), aa(sequences_.slots * n), bb(sequences_.slots * n), pp(sequences_.slots * n);
    for (std::size_t i = 0; i < aa.value.size(); ++i) {
      const std::size_t at = i / n * 4 * n + i % n;
      aa.value[i] = states_[at];
      bb.value[i] = states_[at + n];
      pp.value[i] = static_cast<double>(states_[at + 2 * n]) + states_[at + 3 * n];
      pp.error[i] = kEps * std::abs(pp.value[i]);  // it is read as one f32
    }
    for (const Piece& piece : sequences_.pieces) {
      for (std::size_t c = 0; c < n; ++c) {
        const std::size_t s = piece.slot * n + c;
        double &a = aa.value[s], &b = bb.value[s], &p = pp.value[s];
        double size = std::abs(a), largest = 0, share = 0;  // size: the numerator with |v|
        const double w = w_[c], u = u_[c];
        for (std::size_t t = 0; t < piece.count; ++t) {
          const std::size_t i = (piece.row + t) * n + c;
          const double r = r_[i], k = k_[i], v = v_[i];
          largest =
              std::max({largest, std::abs(k), std::abs(u + k), p > kNothingYet / 2 ? std::abs(p) : 0.0});
          share = kEps * (8 + 2 * std::sqrt(t + 1.0)) * (4 + largest);
          double q = std::max(p, u + k), e1 = std::exp(p - q), e2 = std::exp(u + k - q);
          const double bottom = e1 * b + e2;
          out.value[i] = r * (e1 * a + e2 * v) / bottom;
          out.error[i] = 2 * share * std::abs(r) * (e1 * size + e2 * std::abs(v)) / bottom;
          q = std::max(p + w, k);
          e1 = std::exp(p + w - q);
          e2 = std::exp(k - q);
          a = e1 * a + e2 * v;
          size = e1 * size + e2 * std::abs(v);
          b = e1 * b + e2;
          p = q;
        }
        aa.error[s] = share * size + kTiny;
        bb.error[s] = share * b + kTiny;
        pp.error[s] = 4 * kEps * (std::abs(p) + 1);
      }
    }
    std::vector<Expected> all;
    all.push_back(stored("out", std::move(out), c_.mode.activations));
    all.push_back(stored("state aa", std::move(aa), ActivationFormat::f32));
    all.push_back(stored("state bb", std::move(bb), ActivationFormat::f32));
    all.push_back(stored("state pp", std::move(pp), ActivationFormat::f32));
    all.push_back(guards_intact(sequences_.slots));
    return all;
  }

 private:
  class Run;
  void append(const Values& values) { states_.insert(states_.end(), values.begin(), values.end()); }

  OpCase c_;
  Sequences sequences_;
  Values r_, k_, v_, w_, u_, states_;
};

class Wkv4Problem::Run final : public OpRun {
 public:
  Run(const Wkv4Problem& p, Backend& backend, Ops& ops)
      : p_(p), ops_(ops), state_(ops, p.sequences_.slots, 4 * p.c_.inputs) {
    const std::size_t rows = p.c_.rows, columns = p.c_.inputs;
    const ActivationFormat inner = inner_format(p.c_);
    r_ = upload(ops, p.r_, rows, columns, inner);
    k_ = upload(ops, p.k_, rows, columns, inner);
    v_ = upload(ops, p.v_, rows, columns, inner);
    w_ = backend.vector(p.w_);
    u_ = backend.vector(p.u_);
    out_ = ops.allocate(rows, columns, Ops::product_type(p.c_.mode.activations));
    Run::reset();
  }
  void reset() override { state_.write(p_.states_); }
  void run() override { ops_.wkv4(r_, k_, v_, *w_, *u_, p_.sequences_.pieces, state_.view(), out_); }
  std::vector<Values> outputs() override {
    const Values states = state_.read();
    const std::size_t n = p_.c_.inputs;
    Values aa, bb, pp;
    for (std::size_t slot = 0; slot < state_.slots(); ++slot) {
      for (std::size_t c = 0; c < n; ++c) {
        const std::size_t at = slot * 4 * n + c;
        aa.push_back(states[at]);
        bb.push_back(states[at + n]);
        pp.push_back(states[at + 2 * n] + states[at + 3 * n]);
      }
    }
    return {download(ops_, out_), std::move(aa), std::move(bb), std::move(pp), state_.guards()};
  }

 private:
  const Wkv4Problem& p_;
  Ops& ops_;
  GuardedState state_;
  Tensor r_, k_, v_, out_;
  std::unique_ptr<Vector> w_, u_;
};

std::unique_ptr<OpRun> Wkv4Problem::bind(Backend& backend, Ops& ops) const {
  return std::make_unique<Run>(*this, backend, ops);
}

}  // namespace

std::unique_ptr<OpProblem> wkv4_problem(const OpCase& c) { return std::make_unique<Wkv4Problem>(c); }

}  // namespace deciban::op_case

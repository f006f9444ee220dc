// Op cases of the matrix-valued recurrences of RWKV-5, 6 and 7.
#include <algorithm>
#include <stdexcept>

#include "engine/op_case_data.h"

namespace deciban::op_case {
namespace {

constexpr float kGroupEps = 64e-5f;  // whatever the head size

// One head of one sequence: S[key][value], and the largest length that each of its columns (one value, all
// keys) has had. Neither recurrence lets an old rounding grow, so a column is off by a share of that length.
struct HeadState {
  explicit HeadState(std::size_t n) : n(n), s(n * n), longest(n) {}
  void grown() {
    for (std::size_t i = 0; i < n; ++i) {
      double squares = 0;
      for (std::size_t j = 0; j < n; ++j) squares += s[j * n + i] * s[j * n + i];
      longest[i] = std::max(longest[i], std::sqrt(squares));
    }
  }
  std::size_t n;
  std::vector<double> s, longest;
};

class WkvProblem final : public OpProblem {
 public:
  explicit WkvProblem(const OpCase& c)
      : c_(c), seven_(c.op == OpKind::wkv7), n_(c.head_size), sequences_(sequences(c.pieces, c.rows)) {
    if (n_ == 0 || c.inputs % n_ != 0)
      throw std::logic_error("wkv: the width is a multiple of the head size");
    Random random(name(c));
    const std::size_t width = c.inputs, size = c.rows * width;
    // Small outputs, so that the group norm's eps counts.
    r_ = random.normals(size, 1 / std::sqrt(static_cast<double>(n_)));
    k_ = random.normals(size, 1);
    v_ = random.normals(size, 0.2);
    if (seven_ || c.has(kGate)) g_ = random.normals(size, 1);
    if (seven_) {
      w_ = random.uniforms(size, 0.546, 1);
      a_ = random.uniforms(size, 0, 1);
      k_k_ = random.normals(width, 0.2, 0.85);
      k_a_ = random.uniforms(width, 0, 1.2);
      r_k_ = random.normals(width, 0.3);
      std::fill_n(k_.begin(), n_, 0.0f);  // a key without length: normalised to zero
    } else {
      if (c.has(kTokenDecay)) w_ = random.uniforms(size, 0, 1);
      decay_ = random.uniforms(width, 0.3, 1);
      bonus_ = random.normals(width, 1);
    }
    for (Values* values : {&r_, &k_, &v_, &a_, &g_}) *values = rounded(inner_format(c), std::move(*values));
    group_ = random_norm(random, width, kGroupEps);
    for (std::size_t slot = 0; slot < sequences_.slots; ++slot) {  // fresh ones and ones with a past
      const Values state = slot % 2 == 0 ? Values(width * n_) : random.normals(width * n_, 0.2);
      states_.insert(states_.end(), state.begin(), state.end());
    }
  }
  std::unique_ptr<OpRun> bind(Backend& backend, Ops& ops) const override;

  std::vector<Expected> expected() const override {
    const std::size_t width = c_.inputs, floats = width * n_;
    Bounded out(c_.rows * width), states(states_.size());
    states.value.assign(states_.begin(), states_.end());
    for (const Piece& piece : sequences_.pieces) {
      for (std::size_t h = 0; h < width / n_; ++h) {
        HeadState head(n_);
        const std::size_t at = piece.slot * floats + h * n_ * n_;
        std::copy_n(states_.begin() + at, n_ * n_, head.s.begin());
        head.grown();
        double share = 0;
        for (std::size_t t = 0; t < piece.count; ++t) {
          share =
              kEps * ((seven_ ? 16 : 4) + 2 * std::sqrt(static_cast<double>(n_)) + 2 * std::sqrt(t + 1.0));
          token(head, piece.row + t, h * n_, share, out);
        }
        for (std::size_t j = 0; j < n_; ++j) {
          for (std::size_t i = 0; i < n_; ++i) {
            states.value[at + j * n_ + i] = head.s[j * n_ + i];
            states.error[at + j * n_ + i] = share * head.longest[i];
          }
        }
      }
    }
    std::vector<Expected> all;
    all.push_back(stored("out", std::move(out), c_.mode.activations));
    all.push_back(stored("state", std::move(states), ActivationFormat::f32));
    all.push_back(guards_intact(sequences_.slots));
    return all;
  }

 private:
  class Run;

  // The definition for one token of one head whose first channel is `first`; writes its channels of `out`.
  void token(HeadState& head, std::size_t row, std::size_t first, double share, Bounded& out) const {
    const std::size_t at = row * c_.inputs + first;
    std::vector<double> y(n_), error(n_), normed(n_), normed_error(n_);
    double length = 0, bonus = 0, bonus_size = 0;
    for (std::size_t j = 0; j < n_; ++j) length += static_cast<double>(r_[at + j]) * r_[at + j];
    length = std::sqrt(length);
    if (seven_) {
      step7(head, at, first, y, bonus, bonus_size);
    } else {
      step5(head, at, first, y, error);
    }
    for (std::size_t i = 0; i < n_; ++i) error[i] = share * (error[i] + head.longest[i] * length);
    normalise(y.data(), error.data(), n_, group_, first, normed.data(), normed_error.data());
    for (std::size_t i = 0; i < n_; ++i) {
      const double v = v_[at + i], g = g_.empty() ? 1 : g_[at + i];
      const double value = (normed[i] + bonus * v) * g;
      out.value[at + i] = value;
      out.error[at + i] =
          (normed_error[i] + share * bonus_size * std::abs(v)) * std::abs(g) + 2 * kEps * std::abs(value);
    }
  }

  void step5(HeadState& head, std::size_t at, std::size_t first, std::vector<double>& y,
             std::vector<double>& now) const {
    for (std::size_t j = 0; j < n_; ++j) {
      const double r = r_[at + j], k = k_[at + j], u = bonus_[first + j];
      const double w = w_.empty() ? decay_[first + j] : w_[at + j];
      for (std::size_t i = 0; i < n_; ++i) {
        const double kv = k * v_[at + i];
        double& s = head.s[j * n_ + i];
        y[i] += r * (s + u * kv);
        now[i] += std::abs(r * u * kv);
        s = w * s + kv;
      }
    }
    head.grown();
  }

  void step7(HeadState& head, std::size_t at, std::size_t first, std::vector<double>& y, double& bonus,
             double& bonus_size) const {
    std::vector<double> kk(n_), k(n_);
    double squares = 0;
    for (std::size_t j = 0; j < n_; ++j) {
      const double k0 = k_[at + j];
      kk[j] = k0 * k_k_[first + j];
      squares += kk[j] * kk[j];
      k[j] = k0 * (1 + (static_cast<double>(a_[at + j]) - 1) * k_a_[first + j]);
      const double term = r_[at + j] * k[j] * r_k_[first + j];
      bonus += term;
      bonus_size += std::abs(term);
    }
    for (double& value : kk) value /= std::max(std::sqrt(squares), 1e-12);
    for (std::size_t i = 0; i < n_; ++i) {
      double sa = 0;
      for (std::size_t j = 0; j < n_; ++j) sa -= head.s[j * n_ + i] * kk[j];
      for (std::size_t j = 0; j < n_; ++j) {
        double& s = head.s[j * n_ + i];
        s = s * w_[at + j] + sa * kk[j] * a_[at + j] + v_[at + i] * k[j];
        y[i] += s * r_[at + j];
      }
    }
    head.grown();
  }

  OpCase c_;
  bool seven_;
  std::size_t n_;
  Sequences sequences_;
  Values r_, w_, k_, v_, a_, g_, decay_, bonus_, k_k_, k_a_, r_k_, states_;
  HostNorm group_;
};

class WkvProblem::Run final : public OpRun {
 public:
  Run(const WkvProblem& p, Backend& backend, Ops& ops)
      : p_(p), ops_(ops), group_(backend, p.group_), state_(ops, p.sequences_.slots, p.c_.inputs * p.n_) {
    const std::size_t rows = p.c_.rows, width = p.c_.inputs;
    const auto tensor = [&](const Values& values, ActivationFormat format) {
      return values.empty() ? Tensor{} : upload(ops, values, rows, width, format);
    };
    const ActivationFormat inner = inner_format(p.c_);
    r_ = tensor(p.r_, inner);
    w_ = tensor(p.w_, ActivationFormat::f32);
    k_ = tensor(p.k_, inner);
    v_ = tensor(p.v_, inner);
    a_ = tensor(p.a_, inner);
    g_ = tensor(p.g_, inner);
    out_ = ops.allocate(rows, width, Ops::product_type(p.c_.mode.activations));
    if (p.seven_) {
      for (const Values* values : {&p.k_k_, &p.k_a_, &p.r_k_}) vectors_.push_back(backend.vector(*values));
    } else {
      for (const Values* values : {&p.decay_, &p.bonus_}) vectors_.push_back(backend.vector(*values));
    }
    Run::reset();
  }
  void reset() override { state_.write(p_.states_); }
  void run() override {
    const std::size_t heads = p_.c_.inputs / p_.n_;
    if (p_.seven_) {
      const Wkv7Params params{heads,        p_.n_, vectors_[0].get(), vectors_[1].get(), vectors_[2].get(),
                              group_.view()};
      ops_.wkv7(params, r_, w_, k_, v_, a_, g_, p_.sequences_.pieces, state_.view(), out_);
    } else {
      const Vector* decay = p_.w_.empty() ? vectors_[0].get() : nullptr;
      const Wkv5Params params{heads, p_.n_, decay, vectors_[1].get(), group_.view()};
      ops_.wkv5(params, r_, k_, v_, w_, g_, p_.sequences_.pieces, state_.view(), out_);
    }
  }
  std::vector<Values> outputs() override { return {download(ops_, out_), state_.read(), state_.guards()}; }

 private:
  const WkvProblem& p_;
  Ops& ops_;
  BoundNorm group_;
  GuardedState state_;
  std::vector<std::unique_ptr<Vector>> vectors_;
  Tensor r_, w_, k_, v_, a_, g_, out_;
};

std::unique_ptr<OpRun> WkvProblem::bind(Backend& backend, Ops& ops) const {
  return std::make_unique<Run>(*this, backend, ops);
}

}  // namespace

std::unique_ptr<OpProblem> wkv5_problem(const OpCase& c) { return std::make_unique<WkvProblem>(c); }
std::unique_ptr<OpProblem> wkv7_problem(const OpCase& c) { return std::make_unique<WkvProblem>(c); }

}  // namespace deciban::op_case

// Op cases of the matrix products: linear and score_head.
#include <algorithm>
#include <limits>
#include <stdexcept>

#include "engine/op_case_data.h"

namespace deciban::op_case {
namespace {

using Act = Epilogue::Act;
using Combine = Epilogue::Combine;

double logistic(double p) { return 1 / (1 + std::exp(-p)); }

double activate(Act act, double p) {
  switch (act) {
    case Act::none:
      return p;
    case Act::relu2:
      return p > 0 ? p * p : 0;
    case Act::sigmoid:
      return logistic(p);
    case Act::tanh:
      return std::tanh(p);
    case Act::silu:
      return p * logistic(p);
    case Act::exp_neg_exp:
      return std::exp(-std::exp(p));
    case Act::decay7:
      return std::exp(-0.606531 * logistic(p));
    case Act::relu:
      return p > 0 ? p : 0;
    case Act::gelu:
      return p / 2 * std::erfc(-p / std::sqrt(2.0));
    case Act::gelu_tanh:
      return p * logistic(2 * std::sqrt(2 / M_PI) * (p + 0.044715 * p * p * p));
  }
  return p;
}

// act(p) for p known to within `error`: what the error becomes, and 4 ulp of f32 for the function itself.
// exp(-exp(p)) multiplies the inner function's relative error by exp(p), the tails of GELU that of their
// exponents.
void activate(Act act, double& p, double& error) {
  const double value = activate(act, p);
  double moved =
      std::max(std::abs(activate(act, p + error) - value), std::abs(activate(act, p - error) - value));
  if (act != Act::none) moved += 8 * kEps * std::abs(value) + kTiny;
  if (act == Act::exp_neg_exp) moved += 8 * kEps * std::exp(p) * std::abs(value);
  if (act == Act::gelu || act == Act::gelu_tanh) moved += 8 * kEps * p * p * std::abs(value);
  p = value;
  error = moved;
}

// The rounding of a sum of n products in f32, relative to the sum of their magnitudes: a random walk of n
// half ulps (2 n where a multiply-add rounds twice).  The worst case, n half ulps, would hide a dropped
// input.
double product_rounding(std::size_t n) { return kEps * (2 + 4 * std::sqrt(static_cast<double>(n))); }

// Values as a product sees them.  `doubt` is not zero where an i8 rounding lies so close to a half that f32
// may take it either way: it is then one whole step.
struct Seen {
  std::vector<double> value, doubt;
};

// To i8, symmetric, the largest magnitude becoming 127 steps.
Seen quantised(const std::vector<double>& values) {
  Seen seen{values, std::vector<double>(values.size())};
  double top = 0;
  for (const double value : values) top = std::max(top, std::abs(value));
  if (top == 0) return seen;
  const double step = top / 127;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double steps = values[i] / step;
    seen.value[i] = std::nearbyint(steps) * step;
    if (std::abs(std::abs(steps - std::nearbyint(steps)) - 0.5) < 0x1p-14) seen.doubt[i] = step;
  }
  return seen;
}

// To e4m3 (3 bits behind the leading one, exponents from -6 on), the largest magnitude becoming 448.
Seen quantised_f8(const std::vector<double>& values) {
  Seen seen{values, std::vector<double>(values.size())};
  double top = 0;
  for (const double value : values) top = std::max(top, std::abs(value));
  if (top == 0) return seen;
  const double scale = top / 448;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double scaled = values[i] / scale;
    const double step = scaled == 0 ? 0x1p-9 : std::ldexp(1.0, std::max(std::ilogb(scaled), -6) - 3);
    const double steps = scaled / step;
    seen.value[i] = std::nearbyint(steps) * step * scale;
    if (std::abs(std::abs(steps - std::nearbyint(steps)) - 0.5) < 0x1p-14) seen.doubt[i] = step * scale;
  }
  return seen;
}

// What a product makes of a row of weights or inputs.
Seen seen_as(bool i8, bool f8, const std::vector<double>& row) {
  return i8 ? quantised(row) : f8 ? quantised_f8(row) : Seen{row, std::vector<double>(row.size())};
}

// W x for all rows in f64, with both as they are stored, and how far f32 may be from it.
Bounded products(const Values& w, std::size_t outputs, std::size_t inputs, bool transposed,
                 const NumericMode& mode, const Values& x, std::size_t rows) {
  const bool exact = mode.activations == ActivationFormat::i8;  // summed in i32; then the scales
  const bool scaled =
      mode.weights == WeightFormat::i8 || mode.weights == WeightFormat::f8 || group_of(mode.weights) != 0;
  double rounding = exact ? 0 : product_rounding(inputs) + (scaled ? 4 * kEps : 0);
  // Tensor cores keep about 14 bits of a running sum of f8 products.
  if (mode.activations == ActivationFormat::f8) {
    rounding += 0x1p-14 * (2 + std::sqrt(static_cast<double>(inputs)) / 4);
  }
  Bounded p(rows * outputs);
  std::vector<Seen> x_rows(rows);
  for (std::size_t r = 0; r < rows; ++r) {
    const std::vector<double> row(x.begin() + r * inputs, x.begin() + (r + 1) * inputs);
    x_rows[r] = seen_as(exact, mode.activations == ActivationFormat::f8, row);
  }
  for (std::size_t n = 0; n < outputs; ++n) {
    std::vector<double> row(inputs);
    for (std::size_t k = 0; k < inputs; ++k) {
      row[k] = round_to(mode.weights, transposed ? w[k * outputs + n] : w[n * inputs + k]);
      // What is multiplied by bf16 is made bf16 first.
      if (group_of(mode.weights) != 0 && mode.activations == ActivationFormat::bf16)
        row[k] = round_to(WeightFormat::bf16, static_cast<float>(row[k]));
    }
    const Seen weight = seen_as(mode.weights == WeightFormat::i8, mode.weights == WeightFormat::f8, row);
    for (std::size_t r = 0; r < rows; ++r) {
      double sum = 0, magnitude = 0, doubt = 0;
      for (std::size_t k = 0; k < inputs; ++k) {
        const double a = x_rows[r].value[k], a_doubt = x_rows[r].doubt[k];
        sum += weight.value[k] * a;
        magnitude += std::abs(weight.value[k] * a);
        doubt += weight.doubt[k] * (std::abs(a) + a_doubt) + std::abs(weight.value[k]) * a_doubt;
      }
      p.value[r * outputs + n] = sum;
      p.error[r * outputs + n] =
          (rounding + 1e-15) * magnitude + 1.001 * doubt + (exact ? 8 * kEps * std::abs(sum) : 0);
    }
  }
  return p;
}

class LinearProblem final : public OpProblem {
 public:
  explicit LinearProblem(const OpCase& c) : c_(c) {
    const bool reads_y = c.combine == Combine::add || c.combine == Combine::gate_add;
    if (c.has(kNarrow) && (reads_y || c.has(kInPlace)))
      throw std::logic_error("linear: a narrow y is never read, but in place and inner");
    if (c.has(kInPlace) && c.combine != Combine::lerp)
      throw std::logic_error("linear: only a lerp has a base");
    Random random(name(c));
    w_ = on_grid(c.mode, random.normals(c.outputs * c.inputs, 1 / std::sqrt(static_cast<double>(c.inputs))),
                 c.outputs, c.inputs, c.has(kTransposed));
    x_ = rounded(c.mode.activations, random.normals(c.rows * c.inputs, 1));
    if (c.has(kBias)) bias_ = random.normals(c.outputs, 0.5);
    const std::size_t size = c.rows * c.outputs;
    if (reads_y || c.has(kInPlace)) y_ = random.normals(size, 1);
    if (c.combine == Combine::gate_add || c.combine == Combine::gate) gate_ = random.normals(size, 1);
    if (c.combine == Combine::lerp) {
      base_ = c.has(kInPlace) ? y_ : random.normals(size, 1);
      target_ = random.normals(size, 1);
    }
    const ActivationFormat inner = inner_format(c);
    for (Values* values : {&gate_, &base_, &target_}) *values = rounded(inner, std::move(*values));
    if (c.has(kInPlace)) y_ = base_;
  }

  std::unique_ptr<OpRun> bind(Backend& backend, Ops& ops) const override;

  std::vector<Expected> expected() const override {
    const Bounded p = products(w_, c_.outputs, c_.inputs, c_.has(kTransposed), c_.mode, x_, c_.rows);
    Bounded y(p.value.size());
    for (std::size_t i = 0; i < p.value.size(); ++i) {
      double v = p.value[i], error = p.error[i];
      if (!bias_.empty()) {
        v += bias_[i % c_.outputs];
        error += kEps * std::abs(v);
      }
      activate(c_.act, v, error);
      if (c_.combine == Combine::add) {
        v += y_[i];
      } else if (c_.combine == Combine::gate_add) {
        error = error * std::abs(gate_[i]) + kEps * std::abs(v * gate_[i]);
        v = y_[i] + gate_[i] * v;
      } else if (c_.combine == Combine::lerp) {
        const double way = static_cast<double>(target_[i]) - base_[i];
        error = error * std::abs(way) + 3 * kEps * std::abs(way * v);
        v = base_[i] + way * v;
      } else if (c_.combine == Combine::gate) {
        error *= std::abs(gate_[i]);
        v *= gate_[i];
      }
      y.value[i] = v;
      y.error[i] = error + kEps * std::abs(v);
    }
    std::vector<Expected> all;
    all.push_back(stored("y", std::move(y), result_format()));
    return all;
  }

 private:
  ActivationFormat result_format() const {
    if (c_.has(kInPlace)) return inner_format(c_);
    return c_.has(kNarrow) ? narrow_format(c_) : ActivationFormat::f32;
  }

  class Run;
  OpCase c_;
  Values w_, x_, bias_, y_, gate_, base_, target_;
};

class LinearProblem::Run final : public OpRun {
 public:
  Run(const LinearProblem& p, Backend& backend, Ops& ops) : p_(p), ops_(ops) {
    const OpCase& c = p.c_;
    w_ = backend.matrix(stored_matrix(p.w_, c.outputs, c.inputs, c.has(kTransposed)), c.mode);
    x_ = upload(ops, p.x_, c.rows, c.inputs, c.mode.activations);
    y_ = ops.allocate(c.rows, c.outputs, Ops::product_type(p.result_format()));
    epilogue_.act = c.act;
    epilogue_.combine = c.combine;
    if (!p.bias_.empty()) {
      bias_ = backend.vector(p.bias_);
      epilogue_.bias = bias_.get();
    }
    const auto inner = [&](const Values& values) {
      return upload(ops, values, c.rows, c.outputs, inner_format(c));
    };
    if (!p.gate_.empty()) epilogue_.gate = inner(p.gate_);
    if (!p.base_.empty()) epilogue_.base = c.has(kInPlace) ? y_ : inner(p.base_);
    if (!p.target_.empty()) epilogue_.target = inner(p.target_);
    Run::reset();
  }
  void reset() override {
    if (!p_.y_.empty()) ops_.write(y_, 0, y_.rows, p_.y_.data());
  }
  void run() override { ops_.linear(*w_, x_, y_, epilogue_); }
  std::vector<Values> outputs() override { return {download(ops_, y_)}; }

 private:
  const LinearProblem& p_;
  Ops& ops_;
  std::unique_ptr<Weight> w_;
  std::unique_ptr<Vector> bias_;
  Tensor x_, y_;
  Epilogue epilogue_;
};

std::unique_ptr<OpRun> LinearProblem::bind(Backend& backend, Ops& ops) const {
  return std::make_unique<Run>(*this, backend, ops);
}

class HeadProblem final : public OpProblem {
 public:
  explicit HeadProblem(const OpCase& c) : c_(c) {
    Random random(name(c));
    const std::size_t vocabulary = c.outputs, inputs = c.inputs;
    const double scale = (c.has(kLarge) ? 60 : 2) / std::sqrt(static_cast<double>(inputs));
    w_ = random.normals(vocabulary * inputs, scale);
    Values x = random.normals(c.rows * inputs, 1);
    std::vector<std::size_t> ids;
    if (c.has(kBorderTies)) {
      ids = {4095, 4096, vocabulary - 1};
    } else if (c.has(kTies)) {
      ids = {vocabulary / 3, vocabulary / 3 + 1, vocabulary / 3 + 16, 4095, 4096, vocabulary - 1};
    }
    if (!ids.empty()) {  // for inputs above zero, equal weights far above zero win
      for (float& value : x) value = std::abs(value);
      for (const std::size_t id : ids) {
        if (id < vocabulary) std::fill_n(w_.begin() + id * inputs, inputs, static_cast<float>(2 * scale));
      }
    }
    w_ = on_grid(c.mode, std::move(w_), vocabulary, inputs);
    x_ = rounded(c.mode.activations, std::move(x));
    const std::size_t borders[] = {0, vocabulary - 1, 4095, 4096, 63, 64, vocabulary / 3, 31, 32, 8191, 8192};
    for (std::size_t r = 0; r < c.rows; ++r) {
      const std::size_t id =
          r < std::size(borders) ? borders[r] : static_cast<std::size_t>(random.uniform() * vocabulary);
      targets_.push_back(static_cast<Token>(std::min(id, vocabulary - 1)));
    }
  }

  std::unique_ptr<OpRun> bind(Backend& backend, Ops& ops) const override;

  // A logit is off by its sum's rounding; the logarithm of the sum by no more than the logits are.  The sum
  // itself and its exponentials add a few ulp and, summed in f32 within a block, a random walk over the
  // vocabulary.
  std::vector<Expected> expected() const override {
    const std::size_t vocabulary = c_.outputs;
    const Bounded p = products(w_, vocabulary, c_.inputs, false, c_.mode, x_, c_.rows);
    Expected logprob{"logprob", {}, {}}, best_logprob{"best_logprob", {}, {}}, best{"best", {}, {}};
    for (std::size_t r = 0; r < c_.rows; ++r) {
      const double* logit = p.value.data() + r * vocabulary;
      const double* error = p.error.data() + r * vocabulary;
      const std::size_t top = std::max_element(logit, logit + vocabulary) - logit;  // the first of equals
      double total = 0, mean_error = 0;
      bool close = false;  // rounding may put another logit on top; exactly equal ones it leaves equal
      for (std::size_t v = 0; v < vocabulary; ++v) {
        const double e = std::exp(logit[v] - logit[top]);
        total += e;
        mean_error += e * error[v];
        const double gap = logit[top] - logit[v];
        close |= gap > 0 && gap < error[top] + error[v];
      }
      const double own = mean_error / total + kEps * (16 + std::sqrt(static_cast<double>(vocabulary)));
      const std::size_t target = static_cast<std::size_t>(targets_[r]);
      const double value = logit[target] - logit[top] - std::log(total);
      logprob.value.push_back(value);
      logprob.allowed.push_back(error[target] + own + kEps * std::abs(value));
      best_logprob.value.push_back(-std::log(total));
      best_logprob.allowed.push_back(error[top] + own + kEps * std::log(total));
      best.value.push_back(static_cast<double>(top));
      best.allowed.push_back(close ? std::numeric_limits<double>::infinity() : 0);
    }
    return {std::move(logprob), std::move(best_logprob), std::move(best)};
  }

  std::vector<Regret> regrets(const std::vector<std::vector<float>>& outputs) const override {
    const std::size_t vocabulary = c_.outputs;
    const Bounded p = products(w_, vocabulary, c_.inputs, false, c_.mode, x_, c_.rows);
    std::vector<Regret> all;
    for (std::size_t r = 0; r < c_.rows && r < outputs.at(2).size(); ++r) {
      const double* logit = p.value.data() + r * vocabulary;
      const double* error = p.error.data() + r * vocabulary;
      const std::size_t top = std::max_element(logit, logit + vocabulary) - logit;
      const float named = outputs[2][r];
      if (!(named >= 0 && named < static_cast<float>(vocabulary))) {
        all.push_back({std::numeric_limits<double>::infinity(), 0});
        continue;
      }
      const auto chosen = static_cast<std::size_t>(named);
      all.push_back({logit[top] - logit[chosen], error[top] + error[chosen]});
    }
    return all;
  }

 private:
  class Run;
  OpCase c_;
  Values w_, x_;
  std::vector<Token> targets_;
};

class HeadProblem::Run final : public OpRun {
 public:
  Run(const HeadProblem& p, Backend& backend, Ops& ops) : p_(p), ops_(ops), scores_(p.c_.rows) {
    w_ = backend.matrix(stored_matrix(p.w_, p.c_.outputs, p.c_.inputs), p.c_.mode);
    x_ = upload(ops, p.x_, p.c_.rows, p.c_.inputs, p.c_.mode.activations);
  }
  void reset() override {}
  void run() override { ops_.score_head(*w_, x_, p_.targets_, scores_); }
  std::vector<Values> outputs() override {
    std::vector<Values> all(3);
    for (const TokenScore& score : scores_) {
      all[0].push_back(score.logprob);
      all[1].push_back(score.best_logprob);
      all[2].push_back(static_cast<float>(score.best));  // exact below 2^24
    }
    return all;
  }

 private:
  const HeadProblem& p_;
  Ops& ops_;
  std::unique_ptr<Weight> w_;
  Tensor x_;
  std::vector<TokenScore> scores_;
};

std::unique_ptr<OpRun> HeadProblem::bind(Backend& backend, Ops& ops) const {
  return std::make_unique<Run>(*this, backend, ops);
}

}  // namespace

std::unique_ptr<OpProblem> linear_problem(const OpCase& c) { return std::make_unique<LinearProblem>(c); }
std::unique_ptr<OpProblem> head_problem(const OpCase& c) { return std::make_unique<HeadProblem>(c); }

}  // namespace deciban::op_case

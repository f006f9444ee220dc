// Op cases of the operations on rows: embed, norm_mix, norm_rows; and moving data in and out.
#include <algorithm>
#include <stdexcept>

#include "engine/op_case_data.h"

namespace deciban::op_case {
namespace {

constexpr float kLayerNormEps = 1e-5f;
constexpr std::size_t kMixes = 8;

// Rows of order one; large: far from zero against their spread, the last one constant (its variance is 0, eps
// alone keeps it finite).
Values norm_inputs(Random& random, const OpCase& c, std::size_t rows) {
  Values x = random.normals(rows * c.inputs, 0.05);  // small enough that eps shows
  if (c.has(kLarge)) {
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t k = 0; k < c.inputs; ++k) x[r * c.inputs + k] += 40.0f * (r % 2 == 0 ? 1 : -1);
    }
    for (std::size_t k = 0; k < c.inputs; ++k) x[(rows - 1) * c.inputs + k] = 0.7f;
  }
  return x;
}

// rms(x), or LN without its bias, as `c` asks; errors as those of normalise().
void normalise_as(const OpCase& c, const double* x, const double* x_error, const HostNorm& norm,
                  double* value, double* error) {
  const std::size_t n = c.inputs;
  if (!c.has(kRms)) {
    normalise(x, x_error, n, norm, 0, value, error);
    for (std::size_t i = 0; c.has(kNoBias) && i < n; ++i) value[i] -= norm.bias[i];
    return;
  }
  double squares = 0;
  for (std::size_t i = 0; i < n; ++i) squares += x[i] * x[i];
  const double inverse = 1 / std::sqrt(squares / static_cast<double>(n) + norm.eps);
  for (std::size_t i = 0; i < n; ++i) {
    const double scaled = x[i] * inverse * norm.weight[i];
    value[i] = scaled + (c.has(kNoBias) ? 0 : norm.bias[i]);
    // Terms of one sign: the sum's own roundings are a random walk of at most sqrt(n) half ulps.
    error[i] = kEps * ((6 + std::sqrt(static_cast<double>(n))) * std::abs(scaled) + std::abs(value[i]));
  }
}

// LN of every row, with its rounding.
Bounded norm_of_rows(const Values& x, std::size_t columns, const HostNorm& norm) {
  Bounded h(x.size());
  const std::vector<double> wide(x.begin(), x.end()), exact(columns, 0.0);
  for (std::size_t i = 0; i < x.size(); i += columns) {
    normalise(wide.data() + i, exact.data(), columns, norm, 0, h.value.data() + i, h.error.data() + i);
  }
  return h;
}

class EmbedProblem final : public OpProblem {
 public:
  explicit EmbedProblem(const OpCase& c) : c_(c) {
    Random random(name(c));
    table_ = norm_inputs(random, c, c.outputs);
    norm_ = random_norm(random, c.inputs, kLayerNormEps);
    for (std::size_t r = 0; r < c.rows; ++r) {
      const std::size_t id = r == 0   ? c.outputs - 1
                             : r == 1 ? 0
                                      : static_cast<std::size_t>(random.uniform() * c.outputs);
      tokens_.push_back(static_cast<Token>(id));
    }
  }
  std::unique_ptr<OpRun> bind(Backend& backend, Ops& ops) const override;
  std::vector<Expected> expected() const override {
    Values rows;
    for (const Token token : tokens_) {
      const auto begin = table_.begin() + static_cast<std::ptrdiff_t>(token * c_.inputs);
      rows.insert(rows.end(), begin, begin + static_cast<std::ptrdiff_t>(c_.inputs));
    }
    if (!c_.has(kNormed)) {
      return {{"x", std::vector<double>(rows.begin(), rows.end()), std::vector<double>(rows.size(), 0.0)}};
    }
    return {stored("x", norm_of_rows(rows, c_.inputs, norm_), ActivationFormat::f32)};
  }

 private:
  class Run;
  OpCase c_;
  Values table_;
  HostNorm norm_;
  std::vector<Token> tokens_;
};

class EmbedProblem::Run final : public OpRun {
 public:
  Run(const EmbedProblem& p, Backend& backend, Ops& ops)
      : p_(p),
        ops_(ops),
        table_(backend.table(stored_matrix(p.table_, p.c_.outputs, p.c_.inputs))),
        norm_(backend, p.norm_),
        x_(ops.allocate(p.c_.rows, p.c_.inputs)) {}
  void reset() override {}
  void run() override {
    const Norm norm = norm_.view();
    ops_.embed(*table_, p_.tokens_, p_.c_.has(kNormed) ? &norm : nullptr, x_);
  }
  std::vector<Values> outputs() override { return {download(ops_, x_)}; }

 private:
  const EmbedProblem& p_;
  Ops& ops_;
  std::unique_ptr<Table> table_;
  BoundNorm norm_;
  Tensor x_;
};

std::unique_ptr<OpRun> EmbedProblem::bind(Backend& backend, Ops& ops) const {
  return std::make_unique<Run>(*this, backend, ops);
}

class NormMixProblem final : public OpProblem {
 public:
  explicit NormMixProblem(const OpCase& c) : c_(c), sequences_(sequences(c.pieces, c.rows)) {
    if (c.outputs > kMixes || c.inputs % 16 != 0) throw std::logic_error("norm_mix: no such shape");
    Random random(name(c));
    x_ = norm_inputs(random, c, c.rows);
    norm_ = random_norm(random, c.inputs, kLayerNormEps);
    states_ = random.normals(sequences_.slots * c.inputs, 1);
    for (std::size_t i = 0; i < c.outputs; ++i) mixes_.push_back(random.uniforms(c.inputs, -0.2, 1.2));
  }
  std::unique_ptr<OpRun> bind(Backend& backend, Ops& ops) const override;

  std::vector<Expected> expected() const override {
    const std::size_t n = c_.inputs;
    const Bounded h = norm_of_rows(x_, n, norm_);
    Bounded before(h.value.size()), states(states_.size());
    states.value.assign(states_.begin(), states_.end());
    for (const Piece& piece : sequences_.pieces) {
      for (std::size_t r = 0; r < piece.count; ++r) {
        for (std::size_t k = 0; k < n; ++k) {
          const std::size_t i = (piece.row + r) * n + k;
          before.value[i] = r == 0 ? states_[piece.slot * n + k] : h.value[i - n];
          before.error[i] = r == 0 ? 0 : h.error[i - n];
        }
      }
      for (std::size_t k = 0; k < n; ++k) {
        const std::size_t last = (piece.row + piece.count - 1) * n + k;
        states.value[piece.slot * n + k] = h.value[last];
        states.error[piece.slot * n + k] = h.error[last];
      }
    }
    std::vector<Expected> all;
    for (const Values& mix : mixes_) {
      Bounded out(h.value.size());
      for (std::size_t i = 0; i < out.value.size(); ++i) {
        const double m = mix[i % n], d = before.value[i] - h.value[i];
        out.value[i] = h.value[i] + d * m;
        out.error[i] = h.error[i] * std::abs(1 - m) + before.error[i] * std::abs(m) +
                       kEps * (3 * std::abs(d * m) + std::abs(out.value[i]));
      }
      all.push_back(stored("mix " + std::to_string(all.size()), std::move(out), c_.mode.activations));
    }
    if (c_.has(kKeepH)) {
      all.push_back(stored("h", h, ActivationFormat::f32));
      all.push_back(stored("h_prev", std::move(before), ActivationFormat::f32));
    }
    all.push_back(stored("state", std::move(states), ActivationFormat::f32));
    all.push_back(guards_intact(sequences_.slots));
    return all;
  }

 private:
  class Run;
  OpCase c_;
  Sequences sequences_;
  Values x_, states_;
  HostNorm norm_;
  std::vector<Values> mixes_;
};

class NormMixProblem::Run final : public OpRun {
 public:
  Run(const NormMixProblem& p, Backend& backend, Ops& ops)
      : p_(p), ops_(ops), norm_(backend, p.norm_), state_(ops, p.sequences_.slots, p.c_.inputs) {
    const OpCase& c = p.c_;
    x_ = upload(ops, p.x_, c.rows, c.inputs);
    for (const Values& mix : p.mixes_) {
      vectors_.push_back(backend.vector(mix));
      mixes_.push_back(vectors_.back().get());
      outs_.push_back(ops.allocate(c.rows, c.inputs, Ops::product_type(c.mode.activations)));
    }
    h_ = ops.allocate(c.rows, c.inputs);
    h_prev_ = ops.allocate(c.rows, c.inputs);
    Run::reset();
  }
  void reset() override { state_.write(p_.states_); }
  void run() override {
    const bool keep = p_.c_.has(kKeepH);
    ops_.norm_mix(x_, norm_.view(), p_.sequences_.pieces, state_.view(), mixes_, outs_, keep ? &h_ : nullptr,
                  keep ? &h_prev_ : nullptr);
  }
  std::vector<Values> outputs() override {
    std::vector<Values> all;
    for (const Tensor& out : outs_) all.push_back(download(ops_, out));
    if (p_.c_.has(kKeepH)) {
      all.push_back(download(ops_, h_));
      all.push_back(download(ops_, h_prev_));
    }
    all.push_back(state_.read());
    all.push_back(state_.guards());
    return all;
  }

 private:
  const NormMixProblem& p_;
  Ops& ops_;
  BoundNorm norm_;
  GuardedState state_;
  std::vector<std::unique_ptr<Vector>> vectors_;
  std::vector<const Vector*> mixes_;
  std::vector<Tensor> outs_;
  Tensor x_, h_, h_prev_;
};

std::unique_ptr<OpRun> NormMixProblem::bind(Backend& backend, Ops& ops) const {
  return std::make_unique<Run>(*this, backend, ops);
}

// Rows are picked out of twice as many, some of them twice.
class NormRowsProblem final : public OpProblem {
 public:
  explicit NormRowsProblem(const OpCase& c) : c_(c) {
    Random random(name(c));
    x_ = norm_inputs(random, c, 2 * c.rows);
    norm_ = random_norm(random, c.inputs, kLayerNormEps);
    for (std::size_t r = 0; r < c.rows; ++r) {
      picked_.push_back(r == 0 ? 2 * c.rows - 1 : static_cast<std::size_t>(random.uniform() * 2 * c.rows));
    }
  }
  std::unique_ptr<OpRun> bind(Backend& backend, Ops& ops) const override;
  std::vector<Expected> expected() const override {
    Values rows;
    for (const std::size_t row : picked_) {
      rows.insert(rows.end(), x_.begin() + row * c_.inputs, x_.begin() + (row + 1) * c_.inputs);
    }
    Bounded h(rows.size());
    const std::vector<double> wide(rows.begin(), rows.end()), exact(c_.inputs, 0.0);
    for (std::size_t i = 0; i < rows.size(); i += c_.inputs) {
      normalise_as(c_, wide.data() + i, exact.data(), norm_, h.value.data() + i, h.error.data() + i);
    }
    return {stored("out", std::move(h), c_.mode.activations)};
  }

 private:
  class Run;
  OpCase c_;
  Values x_;
  HostNorm norm_;
  std::vector<std::size_t> picked_;
};

class NormRowsProblem::Run final : public OpRun {
 public:
  Run(const NormRowsProblem& p, Backend& backend, Ops& ops)
      : p_(p),
        ops_(ops),
        norm_(backend, p.norm_),
        x_(upload(ops, p.x_, 2 * p.c_.rows, p.c_.inputs)),
        out_(ops.allocate(p.c_.rows, p.c_.inputs, Ops::product_type(p.c_.mode.activations))) {}
  void reset() override {}
  void run() override {
    Norm norm = norm_.view();
    if (p_.c_.has(kRms)) norm.kind = Norm::Kind::rms;
    if (p_.c_.has(kNoBias)) norm.bias = nullptr;
    ops_.norm_rows(x_, p_.picked_, norm, out_);
  }
  std::vector<Values> outputs() override { return {download(ops_, out_)}; }

 private:
  const NormRowsProblem& p_;
  Ops& ops_;
  BoundNorm norm_;
  Tensor x_, out_;
};

std::unique_ptr<OpRun> NormRowsProblem::bind(Backend& backend, Ops& ops) const {
  return std::make_unique<Run>(*this, backend, ops);
}

// Rows of a table added to rows.
class AddRowsProblem final : public OpProblem {
 public:
  explicit AddRowsProblem(const OpCase& c) : c_(c) {
    Random random(name(c));
    table_ = random.normals(c.outputs * c.inputs, 1);
    x_ = random.normals(c.rows * c.inputs, 1);
    for (std::size_t r = 0; r < c.rows; ++r) {
      rows_.push_back(static_cast<Token>(r == 0 ? c.outputs - 1 : random.uniform() * c.outputs));
    }
  }
  std::unique_ptr<OpRun> bind(Backend& backend, Ops& ops) const override;
  std::vector<Expected> expected() const override {
    Bounded sum(x_.size());
    for (std::size_t i = 0; i < x_.size(); ++i) {
      const auto row = static_cast<std::size_t>(rows_[i / c_.inputs]);
      sum.value[i] = static_cast<double>(x_[i]) + table_[row * c_.inputs + i % c_.inputs];
      sum.error[i] = kEps * std::abs(sum.value[i]);
    }
    return {stored("x", std::move(sum), ActivationFormat::f32)};
  }

 private:
  class Run;
  OpCase c_;
  Values table_, x_;
  std::vector<Token> rows_;
};

class AddRowsProblem::Run final : public OpRun {
 public:
  Run(const AddRowsProblem& p, Backend& backend, Ops& ops)
      : p_(p),
        ops_(ops),
        table_(backend.table(stored_matrix(p.table_, p.c_.outputs, p.c_.inputs))),
        x_(upload(ops, p.x_, p.c_.rows, p.c_.inputs)) {}
  void reset() override { ops_.write(x_, 0, x_.rows, p_.x_.data()); }
  void run() override { ops_.add_rows(*table_, p_.rows_, x_); }
  std::vector<Values> outputs() override { return {download(ops_, x_)}; }

 private:
  const AddRowsProblem& p_;
  Ops& ops_;
  std::unique_ptr<Table> table_;
  Tensor x_;
};

std::unique_ptr<OpRun> AddRowsProblem::bind(Backend& backend, Ops& ops) const {
  return std::make_unique<Run>(*this, backend, ops);
}

// States written, copied from slot 0 to the last, and read back; rows written to the middle of a tensor.  All
// exact.
class TransferProblem final : public OpProblem {
 public:
  explicit TransferProblem(const OpCase& c) : c_(c) {
    Random random(name(c));
    states_ = random.normals(c.outputs * c.inputs, 1);
    x_ = random.normals(c.rows * c.inputs, 1);
    patch_ = random.normals(c.inputs, 1);
  }
  std::unique_ptr<OpRun> bind(Backend& backend, Ops& ops) const override;
  std::vector<Expected> expected() const override {
    Values states = states_, rows = x_;
    std::copy_n(states.begin(), c_.inputs, states.end() - static_cast<std::ptrdiff_t>(c_.inputs));
    std::copy(patch_.begin(), patch_.end(), rows.begin() + c_.rows / 2 * c_.inputs);
    rows = rounded(c_.mode.activations, std::move(rows));
    return {{"states", {states.begin(), states.end()}, std::vector<double>(states.size(), 0.0)},
            guards_intact(c_.outputs),
            {"rows", {rows.begin(), rows.end()}, std::vector<double>(rows.size(), 0.0)}};
  }

 private:
  class Run;
  OpCase c_;
  Values states_, x_, patch_;
};

class TransferProblem::Run final : public OpRun {
 public:
  Run(const TransferProblem& p, Ops& ops)
      : p_(p),
        ops_(ops),
        state_(ops, p.c_.outputs, p.c_.inputs),
        x_(upload(ops, p.x_, p.c_.rows, p.c_.inputs, p.c_.mode.activations)) {
    Run::reset();
  }
  void reset() override { state_.write(p_.states_); }
  void run() override {
    ops_.copy_state(state_.view(), p_.c_.inputs, 0, p_.c_.outputs - 1);
    ops_.write(x_, p_.c_.rows / 2, 1, p_.patch_.data());
  }
  std::vector<Values> outputs() override {
    Values rows(x_.rows * x_.columns);
    for (std::size_t r = 0; r < x_.rows; ++r) ops_.read(x_, r, 1, rows.data() + r * x_.columns);
    return {state_.read(), state_.guards(), std::move(rows)};
  }

 private:
  const TransferProblem& p_;
  Ops& ops_;
  GuardedState state_;
  Tensor x_;
};

std::unique_ptr<OpRun> TransferProblem::bind(Backend&, Ops& ops) const {
  return std::make_unique<Run>(*this, ops);
}

}  // namespace

std::unique_ptr<OpProblem> embed_problem(const OpCase& c) { return std::make_unique<EmbedProblem>(c); }
std::unique_ptr<OpProblem> norm_mix_problem(const OpCase& c) { return std::make_unique<NormMixProblem>(c); }
std::unique_ptr<OpProblem> norm_rows_problem(const OpCase& c) { return std::make_unique<NormRowsProblem>(c); }
std::unique_ptr<OpProblem> add_rows_problem(const OpCase& c) { return std::make_unique<AddRowsProblem>(c); }
std::unique_ptr<OpProblem> transfer_problem(const OpCase& c) { return std::make_unique<TransferProblem>(c); }

}  // namespace deciban::op_case

// What the op cases share: seeded values, formats rounded on the host, pieces and slots, parameters as a
// backend wants them, and the float64 normalisation.  Internal to the op_case*.cc files.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/checkpoint.h"
#include "engine/op_cases.h"
#include "engine/ops.h"

namespace deciban::op_case {

using Values = std::vector<float>;

inline constexpr double kEps = 0x1p-24;       // half an ulp of f32, relative
inline constexpr double kNarrowEps = 0x1p-8;  // half an ulp of bf16, relative
inline constexpr double kHalfEps = 0x1p-11;   // half an ulp of f16, relative
inline constexpr double kHalfTiny = 0x1p-25;  // half of the least step of f16
inline constexpr double kTiny = 0x1p-126;     // below this, results may be flushed to zero

// Seeded values, the same on every machine.
class Random {
 public:
  explicit Random(std::string_view name);
  double uniform();  // in (0, 1)
  Values normals(std::size_t count, double deviation, double mean = 0);
  Values uniforms(std::size_t count, double low, double high);

 private:
  std::uint64_t state_;
};

// To the nearest value of the format, ties to even; those that need scales stay as they are.
float round_to(WeightFormat format, float value);
// Weights near the given ones that quantising in the mode leaves as they are, so that any correct choice of
// scales gives the same product: i4 has its minimum and its maximum in each group, i8 by f32 activations its
// largest magnitude in every 32 inputs.  Others come back unchanged.
Values on_grid(NumericMode mode, Values w, std::size_t outputs, std::size_t inputs, bool transposed = false);
// To what Ops::product_type() holds.
Values rounded(ActivationFormat format, Values values);

// The values as a matrix to be packed; `values` ([rows, columns], or its transpose) must outlive it.
StoredTensor stored_matrix(const Values& values, std::size_t rows, std::size_t columns,
                           bool transposed = false);

// Rows of a tensor; written to the Ops.
Tensor upload(Ops& ops, const Values& values, std::size_t rows, std::size_t columns,
              ActivationFormat format = ActivationFormat::f32);
// The format of what passes between products and recurrences in this case, and of narrow results.
ActivationFormat inner_format(const OpCase& c);
ActivationFormat narrow_format(const OpCase& c);
Values download(Ops& ops, const Tensor& tensor);

// Pieces of the rows and the number of slots they leave one of unused.
struct Sequences {
  std::vector<Piece> pieces;
  std::size_t slots = 0;
};
Sequences sequences(Pieces pieces, std::size_t rows);

// attention: tokens that a piece's sequence has read before it; all of a case's; and pairs of a query and a
// key that it sees.
std::size_t history_of(const OpCase& c, std::size_t piece);
double history_tokens(const OpCase& c);
double seen_tokens(const OpCase& c);

// Slots' states inside larger blocks, so that writes beside a slot's own floats are seen.
class GuardedState {
 public:
  GuardedState(Ops& ops, std::size_t slots, std::size_t floats);
  StateView view() const { return all_.at(kGuard); }
  void write(const Values& states);  // [slots, floats]
  Values read();                     // the same
  Values guards();                   // must be kGuardValue throughout
  std::size_t slots() const { return slots_; }

  static constexpr std::size_t kGuard = 16;  // floats before and behind
  static constexpr float kGuardValue = 123.5f;

 private:
  Ops& ops_;
  std::size_t slots_, floats_;
  StateView all_;
};
Expected guards_intact(std::size_t slots);

struct HostNorm {
  Values weight, bias;
  float eps;
};
HostNorm random_norm(Random& random, std::size_t size, float eps);

struct BoundNorm {
  BoundNorm(Backend& backend, const HostNorm& norm)
      : weight(backend.vector(norm.weight)), bias(backend.vector(norm.bias)), eps(norm.eps) {}
  Norm view() const { return {weight.get(), bias.get(), eps}; }
  std::unique_ptr<Vector> weight, bias;
  float eps;
};

// Values known to within an error each.
struct Bounded {
  explicit Bounded(std::size_t size = 0) : value(size), error(size) {}
  std::vector<double> value, error;
};

// LN over x[0, n) with parameters from `first` on.  Errors: those of x carried to the result, and the
// roundings of two f32 passes over n values (a random walk: ~ sqrt(n) half ulps of the values' size, before
// the mean is taken off).
void normalise(const double* x, const double* x_error, std::size_t n, const HostNorm& norm, std::size_t first,
               double* value, double* error);

// Adds the rounding of the stored type to the errors of a result.
Expected stored(std::string what, Bounded result, ActivationFormat format);

std::unique_ptr<OpProblem> linear_problem(const OpCase& c);
std::unique_ptr<OpProblem> head_problem(const OpCase& c);
std::unique_ptr<OpProblem> embed_problem(const OpCase& c);
std::unique_ptr<OpProblem> norm_mix_problem(const OpCase& c);
std::unique_ptr<OpProblem> norm_rows_problem(const OpCase& c);
std::unique_ptr<OpProblem> transfer_problem(const OpCase& c);
std::unique_ptr<OpProblem> add_rows_problem(const OpCase& c);
std::unique_ptr<OpProblem> attention_problem(const OpCase& c);
std::unique_ptr<OpProblem> wkv4_problem(const OpCase& c);
std::unique_ptr<OpProblem> wkv5_problem(const OpCase& c);
std::unique_ptr<OpProblem> wkv7_problem(const OpCase& c);

}  // namespace deciban::op_case

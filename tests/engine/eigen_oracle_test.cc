// Whole products of a model's size against Eigen in float64, and the head against a log-softmax of Eigen's
// logits.

#include <gtest/gtest.h>

#include <Eigen/Core>
#include <cmath>
#include <string>
#include <vector>

#include "engine/op_case_data.h"
#include "engine/ops.h"

namespace deciban {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

struct Shape {
  std::size_t rows, inputs, outputs;
};

// The values as the format keeps them.
Matrix kept(const std::vector<float>& values, std::size_t rows, std::size_t columns, WeightFormat format) {
  Matrix m(rows, columns);
  for (std::size_t i = 0; i < values.size(); ++i) m.data()[i] = op_case::round_to(format, values[i]);
  return m;
}

struct Operands {
  Operands(const Shape& s, const NumericMode& mode, const std::string& seed) {
    op_case::Random random(seed);
    w = random.normals(s.outputs * s.inputs, 1 / std::sqrt(static_cast<double>(s.inputs)));
    x = op_case::rounded(mode.activations, random.normals(s.rows * s.inputs, 1));
    product =
        kept(x, s.rows, s.inputs, WeightFormat::f32) * kept(w, s.outputs, s.inputs, mode.weights).transpose();
  }
  std::vector<float> w, x;
  Matrix product;  // [rows, outputs]
};

class EigenOracle : public ::testing::TestWithParam<std::string> {};

TEST_P(EigenOracle, ProductsAgree) {
  const NumericMode mode = numeric_mode(GetParam());
  for (const Shape& s : {Shape{512, 768, 3072}, Shape{96, 3072, 768}, Shape{131, 1000, 333}}) {
    const Operands o(s, mode, GetParam());
    for (const std::string& isa : supported_isas()) {
      const auto backend = cpu_backend(isa);
      const auto w = backend->matrix(op_case::stored_matrix(o.w, s.outputs, s.inputs), mode);
      const auto ops = backend->open(2);
      const Tensor x = op_case::upload(*ops, o.x, s.rows, s.inputs, mode.activations);
      const Tensor y = ops->allocate(s.rows, s.outputs);
      ops->linear(*w, x, y);
      const std::vector<float> got = op_case::download(*ops, y);
      const Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>> result(
          got.data(), static_cast<Eigen::Index>(s.rows), static_cast<Eigen::Index>(s.outputs));
      const Matrix off = result.cast<double>() - o.product;
      // Relative to the row's size: single elements may cancel to nothing.
      const double worst = (off.cwiseAbs().rowwise().maxCoeff().array() /
                            (o.product.rowwise().norm().array() / std::sqrt(static_cast<double>(s.outputs))))
                               .maxCoeff();
      EXPECT_LE(worst, 1e-5) << s.rows << 'x' << s.inputs << 'x' << s.outputs << ' ' << GetParam() << " on "
                             << isa;
      EXPECT_LE(off.norm() / o.product.norm(), 2e-6) << GetParam() << " on " << isa;
    }
  }
}

TEST_P(EigenOracle, LogProbabilitiesAgree) {
  const NumericMode mode = numeric_mode(GetParam());
  const Shape s{40, 192, 16384};
  const Operands o(s, mode, "head " + GetParam());
  std::vector<Token> targets;
  for (std::size_t r = 0; r < s.rows; ++r) targets.push_back(static_cast<Token>(r * 409));
  for (const std::string& isa : supported_isas()) {
    const auto backend = cpu_backend(isa);
    const auto w = backend->matrix(op_case::stored_matrix(o.w, s.outputs, s.inputs), mode);
    const auto ops = backend->open(2);
    const Tensor x = op_case::upload(*ops, o.x, s.rows, s.inputs, mode.activations);
    std::vector<TokenScore> scores(s.rows);
    ops->score_head(*w, x, targets, scores);
    for (std::size_t r = 0; r < s.rows; ++r) {
      const auto row = o.product.row(static_cast<Eigen::Index>(r));
      Eigen::Index best;
      const double top = row.maxCoeff(&best);
      const double total = top + std::log((row.array() - top).exp().sum());
      EXPECT_NEAR(scores[r].logprob, row(targets[r]) - total, 1e-5) << isa;
      EXPECT_NEAR(scores[r].best_logprob, top - total, 1e-5) << isa;
      EXPECT_EQ(scores[r].best, best) << isa;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, EigenOracle, ::testing::Values("f32", "bf16", "bf16a", "f16"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace deciban

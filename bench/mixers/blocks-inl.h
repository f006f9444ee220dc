// Parts of [length][width] arrays as Eigen's matrices, and the lower triangle of a block of scores.
#pragma once

#include <Eigen/Core>
#include <cmath>
#include <cstddef>

namespace deciban {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Block = Eigen::Map<Matrix, 0, Eigen::OuterStride<>>;
using ConstBlock = Eigen::Map<const Matrix, 0, Eigen::OuterStride<>>;
using Column = Eigen::Map<Eigen::VectorXf>;

inline Eigen::Index index(std::size_t i) { return static_cast<Eigen::Index>(i); }

// Rows [row, row + rows) and columns [column, column + columns) of an array with `stride` columns.
inline Block block(float* data, std::size_t stride, std::size_t row, std::size_t rows, std::size_t column,
                   std::size_t columns) {
  return {data + row * stride + column, index(rows), index(columns), Eigen::OuterStride<>(index(stride))};
}
inline ConstBlock block(const float* data, std::size_t stride, std::size_t row, std::size_t rows,
                        std::size_t column, std::size_t columns) {
  return {data + row * stride + column, index(rows), index(columns), Eigen::OuterStride<>(index(stride))};
}

// Sets what a row must not see: scores(i, j) with first_column + j > first_row + i.
template <typename Scores>
void mask_future(Scores& scores, std::size_t first_row, std::size_t first_column, float value) {
  for (Eigen::Index i = 0; i < scores.rows(); ++i) {
    const std::size_t seen = first_row + static_cast<std::size_t>(i) + 1;
    const Eigen::Index from = seen > first_column ? std::min(index(seen - first_column), scores.cols()) : 0;
    scores.row(i).tail(scores.cols() - from).setConstant(value);
  }
}

}  // namespace deciban

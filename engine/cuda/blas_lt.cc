#include <fmt/format.h>

#include "engine/cuda/check.h"
#include "engine/cuda/products.h"

namespace deciban::cuda {
namespace {

template <typename T, cublasStatus_t (*kDestroy)(T)>
struct Handle {
  T value = nullptr;
  ~Handle() {
    if (value != nullptr) kDestroy(value);
  }
};
using Descriptor = Handle<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Layout = Handle<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Preference = Handle<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

// In deterministic mode every call of a weight uses the algorithm that suits this many rows.
constexpr std::size_t kUsualRows = 1024;

}  // namespace

BlasLt::BlasLt(bool deterministic) : deterministic_(deterministic) {
  check(cublasLtCreate(&handle_), "cublasLtCreate");
}
BlasLt::~BlasLt() { cublasLtDestroy(handle_); }

// Row-major rows are columns to cuBLAS: p^T = (W^T)^T x^T.
void BlasLt::product(const NarrowProduct& product, const Tensor& p, void* workspace,
                     std::size_t workspace_bytes, cudaStream_t stream) {
  const cudaDataType_t type = product.type == Operands::bf16 ? CUDA_R_16BF : CUDA_R_16F;
  Descriptor operation;
  Layout a, b, d;
  check(cublasLtMatmulDescCreate(&operation.value, CUBLAS_COMPUTE_32F, CUDA_R_32F), "descriptor");
  const cublasOperation_t transposed = CUBLAS_OP_T;
  check(cublasLtMatmulDescSetAttribute(operation.value, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                       sizeof transposed),
        "descriptor");
  const auto layouts = [&](std::size_t rows, Layout& x, Layout& out) {
    check(cublasLtMatrixLayoutCreate(&x.value, type, product.inputs, rows,
                                     static_cast<std::int64_t>(product.x.stride)),
          "layout");
    check(cublasLtMatrixLayoutCreate(&out.value, CUDA_R_32F, product.outputs, rows,
                                     static_cast<std::int64_t>(p.stride)),
          "layout");
  };
  check(cublasLtMatrixLayoutCreate(&a.value, type, product.inputs, product.outputs,
                                   static_cast<std::int64_t>(product.weight_stride)),
        "layout");
  layouts(product.x.rows, b, d);

  const std::size_t asked = deterministic_ ? kUsualRows : product.x.rows;
  const Key key{product.outputs, product.inputs, asked, product.type};
  auto known = algorithms_.find(key);
  if (known == algorithms_.end()) {
    Preference preference;
    Layout usual_x, usual_out;
    layouts(asked, usual_x, usual_out);
    check(cublasLtMatmulPreferenceCreate(&preference.value), "preference");
    check(cublasLtMatmulPreferenceSetAttribute(preference.value, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                               &workspace_bytes, sizeof workspace_bytes),
          "preference");
    if (deterministic_) {  // no sums in parts that depend on the rows
      const std::uint32_t none = CUBLASLT_REDUCTION_SCHEME_NONE;
      check(cublasLtMatmulPreferenceSetAttribute(preference.value, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                                 &none, sizeof none),
            "preference");
    }
    cublasLtMatmulHeuristicResult_t result;
    int found = 0;
    check(cublasLtMatmulAlgoGetHeuristic(handle_, operation.value, a.value, usual_x.value, usual_out.value,
                                         usual_out.value, preference.value, 1, &result, &found),
          "heuristic");
    if (found == 0) {
      throw std::runtime_error(fmt::format("cuBLASLt: no algorithm for a product of {} x {} with {} rows",
                                           product.outputs, product.inputs, product.x.rows));
    }
    known = algorithms_.emplace(key, result.algo).first;
  }
  const float one = 1, zero = 0;
  check(
      cublasLtMatmul(handle_, operation.value, &one, product.weights, a.value, product.x.data, b.value, &zero,
                     p.data, d.value, p.data, d.value, &known->second, workspace, workspace_bytes, stream),
      "cublasLtMatmul");
}

}  // namespace deciban::cuda

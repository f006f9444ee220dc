#include <algorithm>
#include <vector>

#include "engine/cuda/check.h"
#include "engine/cuda/packed.h"
#include "engine/cuda/parameters.h"
#include "engine/cuda/values.cuh"
#include "engine/encoding.h"
#include "engine/generated_values.h"
#include "engine/quantised_tensors.h"

namespace deciban::cuda {
namespace {

constexpr std::size_t kPiece = std::size_t{8} << 20;  // elements converted at a time

std::size_t element_bytes(WeightFormat format) {
  switch (format) {
    case WeightFormat::f32:
      return 4;
    case WeightFormat::i8:
    case WeightFormat::f8:
      return 1;
    default:
      return 2;
  }
}

// [rows][columns] f32 to [rows][stride] T; counts values that are not finite in T.
template <typename T>
__global__ void convert(const float* in, std::size_t rows, std::size_t columns, T* out, std::size_t stride,
                        int* damaged) {
  const std::size_t total = rows * columns;
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < total;
       i += std::size_t{gridDim.x} * blockDim.x) {
    const T value = from_float<T>(in[i]);
    if (!isfinite(to_float(value))) atomicAdd(damaged, 1);
    out[i / columns * stride + i % columns] = value;
  }
}

// One block a row: the largest magnitude becomes 127, of e4m3 448.
template <typename T>
__global__ void quantise(const float* in, std::size_t columns, T* out, std::size_t stride, float* scales,
                         int* damaged) {
  constexpr bool kInteger = std::is_same_v<T, std::int8_t>;
  constexpr float kMost = kInteger ? 127 : 448;
  const float* row = in + blockIdx.x * columns;
  __shared__ float tops[32];
  float top = 0;
  bool finite = true;
  for (std::size_t c = threadIdx.x; c < columns; c += blockDim.x) {
    finite &= isfinite(row[c]) != 0;
    top = fmaxf(top, fabsf(row[c]));
  }
  if (!finite) atomicAdd(damaged, 1);
  for (int lane = 16; lane > 0; lane /= 2) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, lane));
  if (threadIdx.x % 32 == 0) tops[threadIdx.x / 32] = top;
  __syncthreads();
  for (unsigned w = 0; w < blockDim.x / 32; ++w) top = fmaxf(top, tops[w]);
  const float inverse = top > 0 ? kMost / top : 0.0f;
  if (threadIdx.x == 0) scales[blockIdx.x] = top / kMost;
  for (std::size_t c = threadIdx.x; c < columns; c += blockDim.x) {
    if constexpr (kInteger) {
      out[blockIdx.x * stride + c] = static_cast<std::int8_t>(rintf(row[c] * inverse));
    } else {
      out[blockIdx.x * stride + c] = from_float<T>(row[c] * inverse);
    }
  }
}

__global__ void generate(std::uint64_t seed, float scale, std::size_t first, std::size_t count,
                         std::size_t columns, std::ptrdiff_t row_stride, std::ptrdiff_t column_stride,
                         float* out) {
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < count;
       i += std::size_t{gridDim.x} * blockDim.x) {
    const std::size_t row = (first + i) / columns, column = (first + i) % columns;
    const auto index = static_cast<std::uint64_t>(static_cast<std::ptrdiff_t>(row) * row_stride +
                                                  static_cast<std::ptrdiff_t>(column) * column_stride);
    out[i] = generated_value(seed, index) * scale;
  }
}

// Elements [first, first + count) of a matrix: made on the device if they are generated, else from the file.
void fill(const StoredTensor& tensor, std::size_t first, std::size_t count, std::vector<float>& host,
          float* device) {
  if (const auto seed = tensor.generated_seed()) {
    generate<<<static_cast<unsigned>(std::min<std::size_t>((count + 255) / 256, 8192)), 256>>>(
        *seed, tensor.scale, first, count, tensor.shape[1], tensor.strides[0], tensor.strides[1], device);
    DECIBAN_LAUNCHED("generation");
    return;
  }
  host.resize(count);
  tensor.read(first, count, host.data());
  DECIBAN_CUDA(cudaMemcpy(device, host.data(), count * sizeof(float), cudaMemcpyHostToDevice));
}

[[noreturn]] void refuse(const StoredTensor& tensor, WeightFormat format) {
  // nvcc cannot compile fmt 9.
  throw std::runtime_error("tensor '" + tensor.name +
                           "' holds a value that is not finite, or too large for " + name(format) +
                           ": the file is damaged, its training diverged, or another mode is needed");
}

}  // namespace

CudaWeight::CudaWeight(const StoredTensor& tensor, NumericMode mode,
                       std::shared_ptr<std::atomic<std::uint64_t>> total)
    : mode_(mode), total_(std::move(total)) {
  if (mode.weights == WeightFormat::i8 && mode.activations == ActivationFormat::f32)
    mode.weights = mode_.weights = WeightFormat::i8g32;
  // The outputs may be spread over several leading dimensions, but for generated values and groups.
  const bool flat = tensor.generated_seed().has_value() || group_of(mode.weights) != 0;
  if (tensor.shape.size() < 2 || (tensor.shape.size() > 2 && flat)) {
    throw std::runtime_error("tensor '" + tensor.name + "' has " + std::to_string(tensor.shape.size()) +
                             " dimensions, a matrix has 2");
  }
  inputs_ = tensor.shape.back();
  outputs_ = tensor.elements() / inputs_;
  if (group_of(mode.weights) != 0) {
    make_groups(tensor);
    *total_ += this->bytes();
    return;
  }
  const std::size_t bytes = element_bytes(mode.weights), unit = 16 / bytes;
  stride_ = (inputs_ + unit - 1) / unit * unit;
  values_ = DeviceBuffer(outputs_ * stride_ * bytes, "weights");
  if (stride_ != inputs_) DECIBAN_CUDA(cudaMemset(values_.data(), 0, values_.bytes()));
  if (mode.weights == WeightFormat::i8 || mode.weights == WeightFormat::f8) {
    scales_ = DeviceBuffer((outputs_ + 63) / 64 * 64 * sizeof(float), "scales");
    DECIBAN_CUDA(cudaMemset(scales_.data(), 0, scales_.bytes()));
  }
  const std::size_t rows = std::clamp<std::size_t>(kPiece / inputs_, 1, outputs_);
  DeviceBuffer staging(rows * inputs_ * sizeof(float), "staging"), flag(sizeof(int), "staging");
  DECIBAN_CUDA(cudaMemset(flag.data(), 0, sizeof(int)));
  std::vector<float> host;
  for (std::size_t row = 0; row < outputs_; row += rows) {
    const std::size_t count = std::min(rows, outputs_ - row);
    fill(tensor, row * inputs_, count * inputs_, host, staging.as<float>());
    std::byte* out = values_.data() + row * stride_ * bytes;
    const auto grid = static_cast<unsigned>(std::min<std::size_t>((count * inputs_ + 255) / 256, 4096));
    switch (mode.weights) {
      case WeightFormat::f32:
        convert<<<grid, 256>>>(staging.as<float>(), count, inputs_, reinterpret_cast<float*>(out), stride_,
                               flag.as<int>());
        break;
      case WeightFormat::bf16:
        convert<<<grid, 256>>>(staging.as<float>(), count, inputs_, reinterpret_cast<bf16*>(out), stride_,
                               flag.as<int>());
        break;
      case WeightFormat::f16:
        convert<<<grid, 256>>>(staging.as<float>(), count, inputs_, reinterpret_cast<f16*>(out), stride_,
                               flag.as<int>());
        break;
      case WeightFormat::i8:
        quantise<<<static_cast<unsigned>(count), 256>>>(staging.as<float>(), inputs_,
                                                        reinterpret_cast<std::int8_t*>(out), stride_,
                                                        scales_.as<float>() + row, flag.as<int>());
        break;
      case WeightFormat::f8:
        quantise<<<static_cast<unsigned>(count), 256>>>(staging.as<float>(), inputs_,
                                                        reinterpret_cast<f8*>(out), stride_,
                                                        scales_.as<float>() + row, flag.as<int>());
        break;
      case WeightFormat::i4:
      case WeightFormat::i4g64:
      case WeightFormat::i8g32:
        throw std::logic_error("these weights are not made here");
    }
    DECIBAN_LAUNCHED("conversion");
    tensor.release(row * inputs_, count * inputs_);
  }
  int damaged = 0;
  DECIBAN_CUDA(cudaMemcpy(&damaged, flag.data(), sizeof damaged, cudaMemcpyDeviceToHost));
  if (damaged != 0) refuse(tensor, mode.weights);
  *total_ += this->bytes();
}

void CudaWeight::make_groups(const StoredTensor& tensor) {
  const WeightFormat format = mode_.weights;
  const std::size_t row_bytes = packed_row_bytes(format, inputs_), group = group_of(format),
                    groups = (inputs_ + group - 1) / group;
  values_ = DeviceBuffer(outputs_ * row_bytes, "weights");
  heads_ = DeviceBuffer(outputs_ * groups * head_bytes(format), "scales");
  const std::byte* blocks = stored_blocks(tensor, format);
  const std::size_t stored = blocks == nullptr ? 0 : deciban::row_bytes(tensor.encoding, inputs_);
  const std::size_t rows = std::clamp<std::size_t>(kPiece / inputs_, 1, outputs_);
  DeviceBuffer staging(rows * (blocks == nullptr ? inputs_ * sizeof(float) : stored), "staging"),
      flag(sizeof(int), "staging");
  DECIBAN_CUDA(cudaMemset(flag.data(), 0, sizeof(int)));
  std::vector<float> host;
  for (std::size_t row = 0; row < outputs_; row += rows) {
    const std::size_t count = std::min(rows, outputs_ - row);
    const PackedRows out{values_.data() + row * row_bytes, row_bytes,
                         heads_.data() + row * groups * head_bytes(format), groups};
    if (blocks != nullptr) {
      DECIBAN_CUDA(cudaMemcpy(staging.data(), blocks + row * stored, count * stored, cudaMemcpyHostToDevice));
      adopt_blocks(format, staging.data(), count, out, flag.as<int>());
    } else {
      fill(tensor, row * inputs_, count * inputs_, host, staging.as<float>());
      quantise_groups(format, staging.as<float>(), count, inputs_, out, flag.as<int>());
    }
    tensor.release(row * inputs_, count * inputs_);
  }
  int damaged = 0;
  DECIBAN_CUDA(cudaMemcpy(&damaged, flag.data(), sizeof damaged, cudaMemcpyDeviceToHost));
  if (damaged != 0) refuse(tensor, format);
}

PackedRows CudaWeight::packed() const {
  if (mode_.weights == WeightFormat::f8) return {values_.data(), stride_, nullptr, 0};
  return {values_.data(), packed_row_bytes(mode_.weights, inputs_), heads_.data(),
          (inputs_ + group_of(mode_.weights) - 1) / group_of(mode_.weights)};
}

CudaWeight::~CudaWeight() { *total_ -= bytes(); }

CudaVector::CudaVector(std::span<const float> values)
    : size_(values.size()), values_((values.size() + 63) / 64 * 64 * sizeof(float), "parameters") {
  DECIBAN_CUDA(cudaMemset(values_.data(), 0, values_.bytes()));
  DECIBAN_CUDA(cudaMemcpy(values_.data(), values.data(), values.size_bytes(), cudaMemcpyHostToDevice));
  DECIBAN_CUDA(cudaStreamSynchronize(cudaStreamLegacy));  // other streams do not wait for it
}

CudaTable::CudaTable(const StoredTensor& tensor, std::shared_ptr<std::atomic<std::uint64_t>> total)
    : type_(tensor.encoding == Encoding::bf16 || tensor.encoding == Encoding::generated ? Tensor::Type::bf16
            : tensor.encoding == Encoding::f16                                          ? Tensor::Type::f16
                                                                                        : Tensor::Type::f32),
      rows_(tensor.shape.at(0)),
      columns_(tensor.shape.at(1)),
      total_(std::move(total)) {
  if (tensor.scale != 1) type_ = Tensor::Type::f32;
  values_ = DeviceBuffer(rows_ * columns_ * Tensor::element_bytes(type_), "embeddings");
  const std::size_t rows = std::clamp<std::size_t>(kPiece / columns_, 1, rows_);
  DeviceBuffer staging(rows * columns_ * sizeof(float), "staging"), flag(sizeof(int), "staging");
  DECIBAN_CUDA(cudaMemset(flag.data(), 0, sizeof(int)));
  std::vector<float> host;
  for (std::size_t row = 0; row < rows_; row += rows) {
    const std::size_t count = std::min(rows, rows_ - row);
    fill(tensor, row * columns_, count * columns_, host, staging.as<float>());
    with_type(type_, [&]<typename T>() {
      convert<<<2048, 256>>>(staging.as<float>(), count, columns_,
                             reinterpret_cast<T*>(values_.data()) + row * columns_, columns_, flag.as<int>());
    });
    DECIBAN_LAUNCHED("conversion");
    tensor.release(row * columns_, count * columns_);
  }
  DECIBAN_CUDA(cudaDeviceSynchronize());
  *total_ += values_.bytes();
}

CudaTable::~CudaTable() { *total_ -= values_.bytes(); }

}  // namespace deciban::cuda

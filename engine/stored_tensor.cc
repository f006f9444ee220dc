#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "engine/checkpoint.h"
#include "engine/encoding.h"

namespace deciban {
namespace {

struct Dimension {
  std::size_t extent;
  std::ptrdiff_t stride;
};

// The dimensions with units dropped and neighbours that lie row-major joined: a contiguous tensor has at most
// one.
std::vector<Dimension> joined_dimensions(const StoredTensor& tensor) {
  std::vector<Dimension> result;
  if (tensor.elements() == 0) return result;  // strides of what is empty mean nothing
  for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
    const Dimension next{tensor.shape[i], tensor.strides[i]};
    if (next.extent == 1) continue;
    if (!result.empty() && result.back().stride == static_cast<std::ptrdiff_t>(next.extent) * next.stride) {
      result.back() = {result.back().extent * next.extent, next.stride};
    } else {
      result.push_back(next);
    }
  }
  return result;
}

std::vector<std::ptrdiff_t> row_major_strides(const std::vector<std::size_t>& shape) {
  std::vector<std::ptrdiff_t> strides(shape.size());
  std::ptrdiff_t stride = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= static_cast<std::ptrdiff_t>(shape[i]);
  }
  return strides;
}

// A matrix of a tensor: element (r, c) is element origin + r * row_stride + c * column_stride of the file's
// array.
struct Matrix {
  Encoding encoding;
  const std::byte* data;
  std::size_t origin;
  std::size_t columns;
  std::ptrdiff_t row_stride, column_stride;

  std::size_t at(std::size_t r, std::size_t c) const {
    return static_cast<std::size_t>(static_cast<std::ptrdiff_t>(origin) +
                                    static_cast<std::ptrdiff_t>(r) * row_stride +
                                    static_cast<std::ptrdiff_t>(c) * column_stride);
  }
  void read_row(std::size_t r, std::size_t c, std::size_t count, float* out) const {
    if (column_stride == 1) {
      convert_run(encoding, data, at(r, c), count, out);
    } else {
      convert_strided(encoding, data, at(r, c), column_stride, count, out);
    }
  }
  // Whole rows where a column lies contiguous: tiles that fit the cache, each read along columns, written
  // along rows.
  void read_transposed(std::size_t r, std::size_t rows, float* out) const {
    constexpr std::size_t kTile = 64;
    std::array<float, kTile * kTile> tile;
    for (std::size_t r0 = 0; r0 < rows; r0 += kTile) {
      const std::size_t height = std::min(kTile, rows - r0);
      for (std::size_t c0 = 0; c0 < columns; c0 += kTile) {
        const std::size_t width = std::min(kTile, columns - c0);
        for (std::size_t c = 0; c < width; ++c) {
          convert_run(encoding, data, at(r + r0, c0 + c), height, tile.data() + c * kTile);
        }
        for (std::size_t i = 0; i < height; ++i) {
          float* row = out + (r0 + i) * columns + c0;
          for (std::size_t c = 0; c < width; ++c) row[c] = tile[c * kTile + i];
        }
      }
    }
  }
  // Elements [first, first + count) in row-major order.
  void read(std::size_t first, std::size_t count, float* out) const {
    while (count > 0) {
      const std::size_t r = first / columns, c = first % columns;
      std::size_t taken;
      if (c == 0 && row_stride == 1 && column_stride != 1 && count >= columns) {
        const std::size_t rows = count / columns;
        read_transposed(r, rows, out);
        taken = rows * columns;
      } else {
        taken = std::min(count, columns - c);
        read_row(r, c, taken, out);
      }
      first += taken;
      count -= taken;
      out += taken;
    }
  }
};

}  // namespace

std::size_t StoredTensor::elements() const {
  std::size_t result = 1;
  for (const std::size_t extent : shape) result *= extent;
  return result;
}

std::optional<std::uint64_t> StoredTensor::generated_seed() const {
  if (encoding != Encoding::generated) return std::nullopt;
  std::uint64_t seed;
  std::memcpy(&seed, data, sizeof seed);
  return seed;
}

bool StoredTensor::contiguous() const {
  const auto dimensions = joined_dimensions(*this);
  return dimensions.empty() || (dimensions.size() == 1 && dimensions[0].stride == 1);
}

void StoredTensor::read(std::size_t first, std::size_t count, float* out) const {
  const std::size_t size = elements();
  if (first > size || count > size - first) {
    throw std::out_of_range(
        fmt::format("tensor '{}' has {} elements: cannot read {} from {}", name, size, count, first));
  }
  if (count == 0) return;
  auto dimensions = joined_dimensions(*this);
  while (dimensions.size() < 2) dimensions.insert(dimensions.begin(), {1, 0});
  const Dimension rows = dimensions[dimensions.size() - 2], columns = dimensions.back();
  const std::size_t matrix_size = rows.extent * columns.extent;
  for (std::size_t done = 0; done < count;) {
    const std::size_t at = first + done;
    std::size_t rest = at / matrix_size;
    std::ptrdiff_t origin = 0;
    for (std::size_t d = dimensions.size() - 2; d-- > 0;) {
      origin += static_cast<std::ptrdiff_t>(rest % dimensions[d].extent) * dimensions[d].stride;
      rest /= dimensions[d].extent;
    }
    const Matrix matrix{encoding,       data,        static_cast<std::size_t>(origin),
                        columns.extent, rows.stride, columns.stride};
    const std::size_t taken = std::min(count - done, matrix_size - at % matrix_size);
    matrix.read(at % matrix_size, taken, out + done);
    done += taken;
  }
  if (scale != 1) {
    for (std::size_t i = 0; i < count; ++i) out[i] *= scale;
  }
}

std::vector<float> StoredTensor::read_all() const {
  std::vector<float> values(elements());
  read(0, values.size(), values.data());
  return values;
}

StoredTensor StoredTensor::transposed() const {
  const std::size_t rank = shape.size();
  if (rank < 2)
    throw std::invalid_argument(fmt::format("tensor '{}' has {} dimensions: cannot transpose", name, rank));
  StoredTensor result = *this;
  std::swap(result.shape[rank - 2], result.shape[rank - 1]);
  std::swap(result.strides[rank - 2], result.strides[rank - 1]);
  return result;
}

StoredTensor StoredTensor::permuted(const std::vector<std::size_t>& order) const {
  std::vector<char> seen(shape.size());
  bool fits = order.size() == shape.size();
  for (const std::size_t i : order) fits = fits && i < seen.size() && !std::exchange(seen[i], 1);
  if (!fits) {
    throw std::invalid_argument(
        fmt::format("tensor '{}' of shape {} cannot be permuted by {}", name, shape, order));
  }
  StoredTensor result = *this;
  for (std::size_t i = 0; i < order.size(); ++i) {
    result.shape[i] = shape[order[i]];
    result.strides[i] = strides[order[i]];
  }
  return result;
}

StoredTensor StoredTensor::squeezed() const {
  StoredTensor result = *this;
  result.shape.clear();
  result.strides.clear();
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 1) continue;
    result.shape.push_back(shape[i]);
    result.strides.push_back(strides[i]);
  }
  return result;
}

StoredTensor StoredTensor::slice(std::size_t i) const {
  if (shape.empty() || i >= shape[0]) {
    throw std::out_of_range(fmt::format("tensor '{}' of shape {} has no slice {}", name, shape, i));
  }
  StoredTensor result = *this;
  result.shape.erase(result.shape.begin());
  result.strides.erase(result.strides.begin());
  const auto offset = static_cast<std::size_t>(static_cast<std::ptrdiff_t>(i) * strides[0]);
  const std::size_t block = block_elements(encoding);
  if (offset % block == 0) {
    result.data += offset / block * block_bytes(encoding);
    return result;
  }
  std::vector<float> values(result.elements());
  read(i * values.size(), values.size(), values.data());
  return owned_tensor(name, result.shape, std::move(values));
}

StoredTensor StoredTensor::reshaped(std::vector<std::size_t> new_shape) const {
  std::size_t size = 1;
  for (const std::size_t extent : new_shape) size *= extent;
  if (size != elements()) {
    throw std::invalid_argument(
        fmt::format("tensor '{}' of shape {} cannot take shape {}", name, shape, new_shape));
  }
  if (!contiguous()) return owned_tensor(name, std::move(new_shape), read_all());
  StoredTensor result = *this;
  result.strides = row_major_strides(new_shape);
  result.shape = std::move(new_shape);
  return result;
}

void StoredTensor::release(std::size_t first, std::size_t count) const {
  // MADV_DONTNEED on memory of our own would lose it.  A range of a view that is not contiguous is scattered
  // over pages that the rest of the view still needs.
  if (!mapped || count == 0 || !contiguous()) return;
  const std::size_t block = block_elements(encoding);
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto base = reinterpret_cast<std::uintptr_t>(data);
  // Only pages that lie wholly inside the range.
  const std::uintptr_t begin =
      (base + (first + block - 1) / block * block_bytes(encoding) + page - 1) / page * page;
  const std::uintptr_t end = (base + (first + count) / block * block_bytes(encoding)) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

StoredTensor owned_tensor(std::string name, std::vector<std::size_t> shape, std::vector<float> values) {
  std::size_t size = 1;
  for (const std::size_t extent : shape) size *= extent;
  if (size != values.size()) {
    throw std::invalid_argument(
        fmt::format("tensor '{}': shape {} does not hold {} values", name, shape, values.size()));
  }
  auto owner = std::make_shared<const std::vector<float>>(std::move(values));
  StoredTensor result;
  result.name = std::move(name);
  result.strides = row_major_strides(shape);
  result.shape = std::move(shape);
  result.encoding = Encoding::f32;
  result.data = reinterpret_cast<const std::byte*>(owner->data());
  result.owner = std::move(owner);
  return result;
}

StoredTensor generated_tensor(std::string name, std::vector<std::size_t> shape, std::uint64_t seed,
                              float deviation) {
  auto owner = std::make_shared<const std::uint64_t>(seed);
  StoredTensor result;
  result.name = std::move(name);
  result.strides = row_major_strides(shape);
  result.shape = std::move(shape);
  result.encoding = Encoding::generated;
  result.data = reinterpret_cast<const std::byte*>(owner.get());
  result.scale = deviation;
  result.owner = std::move(owner);
  return result;
}

}  // namespace deciban

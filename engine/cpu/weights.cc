#include "engine/cpu/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <new>
#include <stdexcept>
#include <vector>

#include "engine/cpu/group_blocks.h"
#include "engine/cpu/team.h"
#include "engine/encoding.h"

namespace deciban::cpu {

namespace {

// i8 activations are summed exactly with weights of one scale an output; f32 ones leave the scales free.
WeightFormat packing(NumericMode mode) {
  return mode.weights == WeightFormat::i8 && mode.activations == ActivationFormat::f32 ? WeightFormat::i8g32
                                                                                       : mode.weights;
}

}  // namespace

CpuWeight::CpuWeight(const Kernels& kernels, Team& team, Slabs& slabs, const StoredTensor& tensor,
                     NumericMode mode, std::shared_ptr<std::atomic<std::uint64_t>> total)
    : format_(packing(mode)), wants_i8_(mode.activations == ActivationFormat::i8), total_(std::move(total)) {
  if (tensor.shape.size() < 2) {
    throw std::runtime_error(fmt::format("tensor '{}' has {} dimensions where a matrix is needed",
                                         tensor.name, tensor.shape.size()));
  }
  inputs_ = tensor.shape.back();
  outputs_ = 1;
  for (std::size_t i = 0; i + 1 < tensor.shape.size(); ++i) outputs_ *= tensor.shape[i];
  const std::size_t panels = (outputs_ + kernels.panel - 1) / kernels.panel;
  const std::size_t bytes = panel_bytes(format_, inputs_, kernels.panel);
  bytes_ = panels * bytes;
  piece_ = slabs.allocate(bytes_);
  const bool as_stored = format_ == WeightFormat::bf16 && tensor.encoding == Encoding::bf16 &&
                         tensor.contiguous() && tensor.scale == 1 && inputs_ % 2 == 0;
  const std::byte* rows_stored = rows_of(tensor, format_);
  // Giving pages back interrupts all threads, so it is done for a few MiB at a time.
  constexpr std::size_t kReleased = std::size_t{4} << 20;
  const std::size_t together =
      std::max<std::size_t>(1, kReleased / (kernels.panel * inputs_ * sizeof(std::uint16_t)));
  std::vector<std::vector<float>> rows(team.size());
  std::atomic<std::ptrdiff_t> bad{-1};
  std::mutex mutex;
  std::exception_ptr failure;
  team.run(panels, [&](std::size_t p, int thread) {
    const std::size_t first = p * kernels.panel;
    const std::size_t count = std::min(kernels.panel, outputs_ - first);
    std::byte* out = piece_.data + p * bytes;
    bool fine;
    if (rows_stored != nullptr) {
      const std::size_t row = row_bytes(tensor.encoding, inputs_);
      panel_from_rows(format_, kernels.panel, rows_stored + first * row, count, inputs_, out);
      fine = finite_scales(tensor.encoding, rows_stored + first * row, count * row);
    } else if (as_stored) {
      const auto* stored = reinterpret_cast<const std::uint16_t*>(tensor.data) + first * inputs_;
      fine = kernels.pack_pairs(stored, inputs_, count, inputs_, out);
    } else {
      try {
        rows[thread].resize(kernels.panel * inputs_);
        tensor.read(first * inputs_, count * inputs_, rows[thread].data());
      } catch (...) {
        const std::lock_guard lock(mutex);
        failure = std::current_exception();
        return;
      }
      fine = kernels.pack(format_, rows[thread].data(), inputs_, count, inputs_, out);
    }
    if (!fine) bad = static_cast<std::ptrdiff_t>(first);
    if ((p + 1) % together == 0 || p + 1 == panels) {
      const std::size_t begin = p / together * together * kernels.panel;
      tensor.release(begin * inputs_, (first + count - begin) * inputs_);
    }
  });
  if (failure) std::rethrow_exception(failure);
  if (bad >= 0) {
    throw std::runtime_error(
        fmt::format("tensor '{}' holds a value that is not finite as {} in rows {} to {}: the file is "
                    "damaged, its training "
                    "diverged, or the format is too narrow (try --mode f32)",
                    tensor.name, deciban::name(format_), bad.load(),
                    std::min<std::size_t>(bad + kernels.panel, outputs_) - 1));
  }
  *total_ += bytes_;
}

CpuWeight::~CpuWeight() { *total_ -= bytes_; }

CpuVector::CpuVector(std::span<const float> values) : size_(values.size()) {
  const std::size_t padded = (values.size() + 63) / 64 * 64;
  values_.reset(
      static_cast<float*>(std::aligned_alloc(64, std::max<std::size_t>(padded, 64) * sizeof(float))));
  if (!values_) throw std::bad_alloc();
  std::copy(values.begin(), values.end(), values_.get());
  std::fill(values_.get() + values.size(), values_.get() + std::max<std::size_t>(padded, 64), 0.0f);
}

void CpuVector::Free::operator()(float* p) const { std::free(p); }

}  // namespace deciban::cpu

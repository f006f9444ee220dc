#include "engine/cpu/quantise_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <stdexcept>

#include "engine/cpu/group_blocks.h"
#include "engine/cpu/kernels.h"
#include "engine/cpu/team.h"
#include "engine/encoding.h"

namespace deciban::cpu {

std::vector<std::byte> quantised_rows(const StoredTensor& tensor, WeightFormat format) {
  const std::size_t inputs = tensor.shape.back(), outputs = inputs == 0 ? 0 : tensor.elements() / inputs;
  const std::size_t row = row_bytes(*encoding_of(format), inputs);
  std::vector<std::byte> rows(outputs * row);
  if (const std::byte* stored = rows_of(tensor, format)) {
    std::copy_n(stored, rows.size(), rows.begin());
    return rows;
  }
  const Kernels& kernels = find_kernels(supported_isas().back());  // all choose alike
  Team team(usable_threads());
  std::vector<std::vector<float>> values(static_cast<std::size_t>(team.size()));
  std::vector<std::vector<std::byte>> packed(values.size());
  std::atomic<bool> fine{true};
  std::mutex mutex;
  std::exception_ptr failure;
  team.run((outputs + kernels.panel - 1) / kernels.panel, [&](std::size_t p, int thread) {
    const std::size_t first = p * kernels.panel, count = std::min(kernels.panel, outputs - first);
    try {
      values[thread].resize(kernels.panel * inputs);
      packed[thread].resize(panel_bytes(format, inputs, kernels.panel));
      tensor.read(first * inputs, count * inputs, values[thread].data());
    } catch (...) {
      const std::lock_guard lock(mutex);
      failure = std::current_exception();
      return;
    }
    if (!kernels.pack(format, values[thread].data(), inputs, count, inputs, packed[thread].data())) {
      fine = false;
    }
    rows_from_panel(format, kernels.panel, packed[thread].data(), count, inputs, rows.data() + first * row);
  });
  if (failure) std::rethrow_exception(failure);
  if (!fine) {
    throw std::runtime_error(fmt::format(
        "tensor '{}' holds a value that is not finite: the file is damaged or its training diverged",
        tensor.name));
  }
  return rows;
}

}  // namespace deciban::cpu

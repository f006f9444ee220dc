// Picks the kernel table for this machine, and makes the CPU backend around it.
#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

#include "engine/cpu/cpu_ops.h"
#include "engine/cpu/isas.h"
#include "engine/cpu/kernels.h"
#include "engine/cpu/team.h"
#include "engine/cpu/weights.h"
#include "engine/ops.h"

namespace deciban {
namespace cpu {
namespace {

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(const Kernels& kernels)
      : kernels_(kernels),
        packers_(usable_threads()),
        bytes_(std::make_shared<std::atomic<std::uint64_t>>(0)) {}
  std::string device() const override { return "cpu"; }
  std::string kernels() const override { return kernels_.name; }
  std::unique_ptr<Weight> matrix(const StoredTensor& tensor, NumericMode mode) override {
    return std::make_unique<CpuWeight>(kernels_, packers_, slabs_, tensor, mode, bytes_);
  }
  std::unique_ptr<Vector> vector(std::span<const float> values) override {
    return std::make_unique<CpuVector>(values);
  }
  std::unique_ptr<EmbeddingTable> table(const StoredTensor& tensor) override {
    return std::make_unique<CpuTable>(tensor);
  }
  std::unique_ptr<Ops> open(int threads) override { return cpu_ops(kernels_, threads); }
  std::uint64_t weight_bytes() const override { return *bytes_; }
  bool computes_attention() const override { return true; }
  std::string refusal(NumericMode mode) const override {
    if (mode.activations == ActivationFormat::f16) return "f16 activations need a CUDA device";
    if (mode.weights == WeightFormat::i8 && mode.activations == ActivationFormat::bf16) {
      return "int8 weights with bf16 activations need a CUDA device";
    }
    if (mode.weights == WeightFormat::f8 || mode.activations == ActivationFormat::f8) {
      return "fp8 needs a CUDA device";
    }
    return {};
  }
  // f32 inputs cost half of the speed where bf16 is multiplied by an instruction of its own (measured on
  // x86; on ARM BFDOT multiplies twice as many), and nothing elsewhere (docs/performance.md): "auto" is the strictest mode that costs less than a tenth.
  std::string usual_mode(const std::string& stored) const override {
    return stored == "bf16" && kernels_.multiplies_bf16 ? "bf16a" : stored;
  }

 private:
  const Kernels& kernels_;
  Team packers_;
  Slabs slabs_;
  std::shared_ptr<std::atomic<std::uint64_t>> bytes_;
};

}  // namespace

const Kernels& find_kernels(const std::string& isa) {
  std::string known;
  for (const Isa& entry : isas()) {
    if (isa == entry.kernels->name) {
      if (!entry.supported()) {
        throw std::runtime_error(
            fmt::format("this CPU does not support the instruction set '{}'; it supports {}", isa,
                        fmt::join(supported_isas(), ", ")));
      }
      return *entry.kernels;
    }
    known += (known.empty() ? "" : ", ") + std::string(entry.kernels->name);
  }
  throw std::invalid_argument(fmt::format("unknown instruction set '{}'; known: {}", isa, known));
}

}  // namespace cpu

std::vector<std::string> supported_isas() {
  std::vector<std::string> names;
  for (const cpu::Isa& isa : cpu::isas()) {
    if (isa.supported()) names.emplace_back(isa.kernels->name);
  }
  return names;
}

int usable_threads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
}

std::unique_ptr<Backend> cpu_backend(const std::string& word) {
  return std::make_unique<cpu::CpuBackend>(cpu::find_kernels(word));
}

std::unique_ptr<Backend> cpu_backend() {
  const char* forced = std::getenv("DECIBAN_ISA");
  if (forced == nullptr || *forced == '\0') return cpu_backend(supported_isas().back());
  try {
    return cpu_backend(forced);
  } catch (const std::exception& e) {
    throw std::runtime_error(fmt::format("DECIBAN_ISA: {}", e.what()));
  }
}

}  // namespace deciban

#include "bench/mixers/mixer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <stdexcept>

#include "bench/mixers/mixer_kernels.h"
#include "engine/generated_values.h"
#include "engine/ops.h"

namespace deciban {
namespace {

constexpr std::array kTable{
    MixerEntry{"attention", "full attention", "O(T²d)", "O(T²+Td)", "Table 1", "T²", "T²"},
    MixerEntry{"reformer", "Reformer (LSH)", "O(T log T d)", "O(T log T+Td)", "Table 1", "T log T",
               "T log T"},
    MixerEntry{"performer", "Performer (FAVOR+)", "O(T d² log d)", "O(T d log d+d² log d)", "Table 1",
               "linear", "linear", 2},
    MixerEntry{"linear", "linear transformer", "O(T d²)", "O(Td+d²)", "Table 1", "linear", "linear", 2},
    MixerEntry{"aft-full", "AFT-full", "O(T²d)", "O(Td)", "Table 1", "T²", "linear"},
    MixerEntry{"aft-local", "AFT-local", "O(T s d)", "O(Td)", "Table 1", "linear", "linear"},
    MixerEntry{"mega", "MEGA", "O(c T d)", "O(c d)", "Table 1", "linear", "constant"},
    MixerEntry{"hyena", "Hyena", "O(T log T d)", "O(Td)", "its paper", "T log T", "linear"},
    MixerEntry{"rwkv4", "RWKV-4", "O(Td)", "O(d)", "Table 1", "linear", "constant"},
    MixerEntry{"rwkv7", "RWKV-7", "O(T d)", "O(d)", "its paper", "linear", "constant"},
};

// Best last.
#if defined(__aarch64__)
const MixerKernels* const kTables[] = {&kernels_mixers_neon};
#else
const MixerKernels* const kTables[] = {&kernels_mixers_baseline, &kernels_mixers_avx2,
                                       &kernels_mixers_avx512};
#endif

bool supported(const MixerKernels& table) {
  const std::vector<std::string> isas = supported_isas();
  return std::find(isas.begin(), isas.end(), table.name) != isas.end();
}

}  // namespace

Mixer::~Mixer() = default;

void Mixer::prepare(std::size_t length, std::size_t width, std::uint64_t seed) {
  if (length == 0) throw std::invalid_argument("a mixer needs at least one token");
  if (width == 0 || width % kHead != 0)
    throw std::invalid_argument(fmt::format("a width of {} is no multiple of a head's {}", width, kHead));
  length_ = length;
  width_ = width;
  seed_ = seed;
  for (std::size_t i = 0; i < inputs(); ++i) {
    draw(length * width, 0, 1);
    inputs_.push_back(std::move(parameters_.back()));
    parameters_.clear();
  }
  output_.assign(length * width, 0.0f);
  setup();
}

float* Mixer::draw(std::size_t count, float centre, float deviation) {
  const std::uint64_t seed = seed_ * 0x9e3779b97f4a7c15ull + ++drawn_;
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = centre + deviation * generated_value(seed, i);
  return parameters_.emplace_back(std::move(values)).data();
}

float* Mixer::scratch(std::size_t count) {
  scratch_bytes_ += count * sizeof(float);
  return scratch_.emplace_back(count).data();
}

std::span<const MixerEntry> mixer_table() { return kTable; }

const MixerEntry& find_mixer(const std::string& name) {
  std::string known;
  for (const MixerEntry& entry : kTable) {
    if (entry.name == name) return entry;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", entry.name);
  }
  throw std::invalid_argument(fmt::format("unknown mixer '{}'; known: {}", name, known));
}

std::vector<std::string> mixer_isas() {
  std::vector<std::string> names;
  for (const MixerKernels* table : kTables)
    if (supported(*table)) names.emplace_back(table->name);
  return names;
}

std::string mixer_isa() {
  const char* set = std::getenv("DECIBAN_ISA");
  if (set == nullptr || *set == 0) return mixer_isas().back();
  const std::string word = set;
  if (word.starts_with("avx512")) return "avx512";
  return word.starts_with("neon") ? "neon" : word;
}

std::unique_ptr<Mixer> make_mixer(std::string_view name, const std::string& isa) {
  find_mixer(std::string(name));
  const std::string wanted = isa.empty() ? mixer_isa() : isa;
  for (const MixerKernels* table : kTables)
    if (wanted == table->name && supported(*table)) return table->make(name);
  throw std::invalid_argument(
      fmt::format("this CPU has no instruction set '{}'; it has {}", wanted, fmt::join(mixer_isas(), ", ")));
}

}  // namespace deciban

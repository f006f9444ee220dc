// One layer's sequence mixer, alone: what lies between a layer's projections, for Table 1 of the RWKV paper.
//
// A mixer reads T rows of d channels of each of its inputs (queries, keys, values … already projected) and
// writes T rows of d channels, causally: row t depends on rows up to t.  All are f32, on one thread, blocked,
// and vectorised by Eigen for each instruction set; heads have 64 channels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace deciban {

class Mixer {
 public:
  static constexpr std::size_t kHead = 64;  // channels
  Mixer() = default;
  Mixer(const Mixer&) = delete;
  Mixer& operator=(const Mixer&) = delete;
  virtual ~Mixer();

  // Draws inputs and parameters from `seed` and takes all memory that run() needs.  `width` must be a
  // positive multiple of kHead, `length` positive; throws std::invalid_argument, or std::bad_alloc.  Once a
  // mixer.
  void prepare(std::size_t length, std::size_t width, std::uint64_t seed);
  virtual void run() = 0;  // from the beginning of the sequence, each time

  std::size_t length() const { return length_; }
  std::size_t width() const { return width_; }
  std::span<const float> input(std::size_t i) const { return inputs_.at(i); }          // [length][width]
  std::span<const float> parameter(std::size_t i) const { return parameters_.at(i); }  // see each mixer
  std::span<const float> output() const { return output_; }                            // [length][width]

  // What the mixer holds when it reads the last token, beside its parameters and this token's row: scratch,
  // and of its inputs those that it still looks back at.
  std::uint64_t memory_bytes() const {
    return scratch_bytes_ + kept_inputs() * length_ * width_ * sizeof(float);
  }

 protected:
  virtual std::size_t inputs() const = 0;
  virtual std::size_t kept_inputs() const = 0;
  virtual void setup() = 0;  // takes parameters and scratch

  // Near-normal values; the i-th call makes parameter(i).
  float* draw(std::size_t count, float centre, float deviation);
  float* scratch(std::size_t count);                                    // zeroed, lives as long as the mixer
  void count_scratch(std::uint64_t bytes) { scratch_bytes_ += bytes; }  // that was taken elsewhere
  float* out() { return output_.data(); }
  // For what has a range of its own, such as decays: changes the i-th input in place, before setup().
  std::span<float> mutable_input(std::size_t i) { return inputs_.at(i); }

 private:
  std::size_t length_ = 0, width_ = 0;
  std::uint64_t seed_ = 0, drawn_ = 0, scratch_bytes_ = 0;
  std::vector<std::vector<float>> inputs_, parameters_, scratch_;
  std::vector<float> output_;
};

// What the paper (or, where it has no row, the mixer's own authors) says of a mixer.
struct MixerEntry {
  std::string_view name;    // "rwkv4", for --only
  std::string_view title;   // "RWKV-4"
  std::string_view time;    // "O(T²d)"
  std::string_view space;   // "O(T²+Td)"
  std::string_view source;  // "Table 1", or whose claim it is
  // The same as laws of T, in words of reports/growth.h: "constant", "linear", "T log T", "T²"; and the power
  // of d in the time.
  std::string_view time_law, space_law;
  double time_width_power = 1;
};
std::span<const MixerEntry> mixer_table();
// Throws std::invalid_argument naming the known ones.
const MixerEntry& find_mixer(const std::string& name);

// A mixer compiled for an instruction set: "baseline", "avx2" or "avx512"; empty for the best of this machine
// ($DECIBAN_ISA is heard).
std::unique_ptr<Mixer> make_mixer(std::string_view name, const std::string& isa = {});
std::vector<std::string> mixer_isas();  // those that this machine has
std::string mixer_isa();                // what make_mixer() takes without being told

}  // namespace deciban

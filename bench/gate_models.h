// The models' part of the correctness gate: one token at a time against whole sequences, chunks and
// companions that must not matter, and bits per byte of trained models against stored values.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/checkpoint.h"
#include "engine/lm.h"
#include "engine/ops.h"

namespace deciban {

// Rungs of bits per byte between one numeric mode and the next coarser one, as measured on a published RWKV-7
// of 1.5 G parameters (docs/ci.md): other hardware, 8-bit weights, 8-bit weights and activations, 4-bit.
inline constexpr double kNoiseRung = 1.3e-6, kWeightsRung = 1.5e-4, kActivationsRung = 7.6e-3,
                        kCoarseRung = 4.3e-2;
// "noise", "8-bit weights", "8-bit weights and activations", "4-bit weights" or "broken".
std::string rung_of(double bits_per_byte);

// A stored value: what a model scored in one mode with one kernel table.
struct StoredBits {
  std::string model, mode, kernels;
  double bits_per_byte = 0;
};
struct StoredBitsFile {
  int numerics_version = 0;
  std::size_t text_bytes = 0;  // of each text, from its beginning
  std::vector<StoredBits> values;
};
std::string to_json(const StoredBitsFile& file);
// Throws std::runtime_error naming the file and the field that is missing or wrong.
StoredBitsFile read_stored_bits(const std::filesystem::path& path);

struct ModelFinding {
  std::string what;  // "prefill = step"
  double value = 0;  // what was measured
  double allowed = 0;
  bool passed = false;
  std::string message;  // in words
};

// A model in one mode on one kind of device.
struct ModelUnderTest {
  std::string model, mode;
  const Checkpoint* official = nullptr;               // with official names; its tokens are bytes
  std::function<std::unique_ptr<Backend>()> backend;  // a new one each time
  bool exact = true;  // the same bits are promised whatever shares a call (the CPU, deterministic cards)
};
std::unique_ptr<LanguageModel> load(const ModelUnderTest& model, int threads = 1, std::size_t chunk_rows = 0);

// Prefill against steps, chunks and threads, companions.  `texts` are tokens, the first is the start token.
std::vector<ModelFinding> check_model(const ModelUnderTest& model,
                                      const std::vector<std::vector<Token>>& texts);

// Bits per byte over all texts (their start tokens are no bytes).
double bits_per_byte(LanguageModel& model, const std::vector<std::vector<Token>>& texts);

// Against the stored value of the same kernels; where there is none, against the mode's values on others,
// within the mode's rung.  `reference`: bits per byte in f32 on the same kernels.
std::vector<ModelFinding> check_bits(double bits, std::optional<double> reference, const std::string& model,
                                     const std::string& mode, const std::string& kernels,
                                     const StoredBitsFile& stored);

}  // namespace deciban

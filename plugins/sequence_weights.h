// Opening models of foreign kinds: a folder in Hugging Face layout or a published shape with random weights,
// its numbers from config.json, its tokenizer, and its tensors on their way to a backend.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/checkpoint.h"
#include "engine/lm.h"
#include "engine/ops.h"
#include "engine/tokenizer.h"
#include "plugins/plugin_export.h"

namespace deciban {

// A published shape by name; `config` is what its config.json says, as JSON.
struct NamedShape {
  const char* name;
  const char* config;
};

// What "plugin:NAME,…" names, before its weights are read.
class SequenceWeights {
 public:
  // Options: model=FOLDER, or shape=NAME[,seed=N] out of `shapes`; and `more`, which replace numbers of the
  // config (context=65536 → more = {{"context", "max_seq_len"}}).  Throws std::invalid_argument.
  struct Replacement {
    const char *option, *key;
  };
  SequenceWeights(const PluginOptions& options, std::span<const NamedShape> shapes,
                  std::initializer_list<Replacement> more);

  bool random() const { return random_; }
  // A number or a word of config.json.  Without `otherwise` it must be there.
  std::size_t number(const char* key) const;
  std::size_t number(const char* key, std::size_t otherwise) const;
  double real(const char* key, double otherwise) const;
  bool flag(const char* key, bool otherwise) const;
  std::string word(const char* key, const std::string& otherwise) const;

  // Tensors are found by their published names with any of the prefixes "", "model." and the model's own
  // (set_prefix).  Random ones are made on demand with the given shape: deviation 1/sqrt(last dimension)
  // times `gain`, a power of two away from it at most.
  void set_prefix(std::string prefix) { prefix_ = std::move(prefix); }
  bool has(const std::string& name) const;
  StoredTensor matrix(const std::string& name, std::vector<std::size_t> shape, double gain = 1);
  // Random: centre + deviation * normal.
  std::vector<float> vector(const std::string& name, std::vector<std::size_t> shape, double centre = 0,
                            double deviation = 0);

  // Looks for the tokenizer, once the number of embedding rows is known.
  std::unique_ptr<Tokenizer> tokenizer(std::size_t rows) const;
  // Name, spec, digest, and the word of the numeric mode in `format`.
  ModelInfo info(const Backend& backend) const;
  // Of all tensors handed out so far.
  std::uint64_t parameters() const { return parameters_; }

 private:
  const StoredTensor* find(const std::string& name) const;
  void check_shape(const StoredTensor& tensor, const std::vector<std::size_t>& shape) const;

  PluginOptions options_;
  bool random_ = false;
  std::string path_, shape_, prefix_, recipe_;
  Checkpoint checkpoint_;
  std::string config_;  // JSON
  std::uint64_t seed_ = 1, made_ = 0, parameters_ = 0;
};

// The CPU's backend; refuses other devices.
std::unique_ptr<Backend> sequence_backend(const PluginOptions& options);

}  // namespace deciban

// A transformer behind the LanguageModel interface.
#pragma once

#include <memory>
#include <string>

#include "engine/checkpoint.h"
#include "engine/lm.h"
#include "engine/tokenizer.h"
#include "plugins/transformer/shape.h"

namespace deciban::transformer {

// Opens a Hugging Face directory, a GGUF file, or "random:pythia-160m".  Throws std::runtime_error (or
// std::invalid_argument for the user's mistake) saying what is wrong and what to do.
std::unique_ptr<LanguageModel> open_transformer(const std::string& spec, const ModelOptions& options);
// Throws what open_transformer() would, without reading weights.
void check_transformer(const std::string& spec, const ModelOptions& options);

// From parts that are already there.  `info` brings name, spec and digest.
std::unique_ptr<LanguageModel> load_transformer(const Checkpoint& checkpoint, const Shape& shape,
                                                std::unique_ptr<Tokenizer> tokenizer,
                                                std::unique_ptr<Backend> backend, const ModelOptions& options,
                                                ModelInfo info);

// Throws what load_transformer() would throw before it reads weights: a mode that is not computed, a tensor
// that is missing.
void check_loads(const Checkpoint& checkpoint, const Shape& shape, const Backend& backend,
                 const ModelOptions& options);

// The first device that `options` names, or the CPU for "auto" where no card computes attention.  Throws
// std::runtime_error naming the device if it does not.
std::unique_ptr<Backend> attention_backend(const ModelOptions& options);

}  // namespace deciban::transformer

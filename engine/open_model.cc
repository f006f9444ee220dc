#include <fmt/format.h>

#include <filesystem>
#include <stdexcept>

#include "engine/checkpoint.h"
#include "engine/lm.h"
#include "engine/ops.h"
#include "engine/random_model.h"
#include "engine/rwkv_model.h"
#include "engine/rwkv_names.h"
#include "engine/tokenizer.h"

namespace deciban {
namespace {

constexpr std::string_view kRandom = "random:";

std::unique_ptr<Backend> open_backend(const std::string& device) {
  if (device == "auto" || device == "cpu") return cpu_backend();
  if (device == "cuda" || device.starts_with("cuda:")) {
    throw std::runtime_error(fmt::format("device '{}': this build of deciban has no CUDA module; use --device cpu", device));
  }
  throw std::invalid_argument(fmt::format("unknown device '{}'; known: auto, cpu, cuda, cuda:N", device));
}

std::string digest_of_text(const std::string& text) { return sha256_hex(std::as_bytes(std::span(text))); }

std::unique_ptr<LanguageModel> open_random(const std::string& spec, const ModelOptions& options) {
  const RandomSpec random = random_spec(spec.substr(kRandom.size()));
  const Checkpoint weights = random_rwkv(random);
  ModelInfo info;
  info.spec = spec;
  info.name = random.name + " (random)";
  info.digest = digest_of_text(fmt::format("random recipe 1: {}", spec));
  // Random weights are for speed: without a vocabulary of the right size, bytes are as good as any tokens.
  std::unique_ptr<Tokenizer> tokenizer;
  if (options.tokenizer == "auto") {
    try {
      tokenizer = find_tokenizer({}, random.shape.vocabulary, "auto");
    } catch (const std::runtime_error&) {
      tokenizer = byte_tokenizer();
    }
  } else {
    tokenizer = open_tokenizer(options.tokenizer);
    if (tokenizer->size() > random.shape.vocabulary) {
      throw std::runtime_error(fmt::format("tokenizer '{}' has {} ids, more than the model's {} rows", tokenizer->name(),
                                           tokenizer->size(), random.shape.vocabulary));
    }
  }
  const std::string mode = options.format == "auto" ? "bf16" : options.format;
  return load_rwkv(weights, std::move(tokenizer), open_backend(options.device), mode, options, std::move(info));
}

}  // namespace

std::unique_ptr<LanguageModel> open_model(const std::string& spec, const ModelOptions& options) {
  if (options.format != "auto") numeric_mode(options.format);  // a bad word is refused before anything is read
  if (spec.starts_with(kRandom)) return open_random(spec, options);
  const std::filesystem::path path = spec;
  const Checkpoint source = Checkpoint::open(path);
  const Checkpoint official = official_rwkv(source);
  const StoredTensor& embedding = official.at("emb.weight");
  auto tokenizer = find_tokenizer(path, embedding.shape.empty() ? 0 : embedding.shape[0], options.tokenizer);
  ModelInfo info;
  info.spec = spec;
  const std::filesystem::path clean = path.has_filename() ? path : path.parent_path();
  info.name = std::filesystem::is_directory(clean) ? clean.filename().string() : clean.stem().string();
  // "model.pth" says nothing: the folder's name does.
  if (info.name == "model" && clean.has_parent_path()) {
    info.name = std::filesystem::absolute(clean).parent_path().filename().string();
  }
  info.digest = file_digest(source.files);
  return load_rwkv(official, std::move(tokenizer), open_backend(options.device), options.format, options, std::move(info));
}

}  // namespace deciban

#include <fmt/format.h>

#include <filesystem>
#include <stdexcept>

#include "engine/checkpoint.h"
#include "engine/device.h"
#include "engine/lm.h"
#include "engine/ops.h"
#include "engine/plugin_model.h"
#include "engine/random_model.h"
#include "engine/rwkv_model.h"
#include "engine/rwkv_names.h"
#include "engine/tokenizer.h"

namespace deciban {
namespace {

constexpr std::string_view kRandom = "random:";

std::string digest_of_text(const std::string& text) { return sha256_hex(std::as_bytes(std::span(text))); }

// All that is known of a model before its weights are read.
struct Prepared {
  Checkpoint weights;  // official names
  std::unique_ptr<Tokenizer> tokenizer;
  std::string mode;
  ModelInfo info;
};

Prepared prepare_random(const std::string& spec, const ModelOptions& options) {
  Prepared p;
  const RandomSpec random = random_spec(spec.substr(kRandom.size()));
  p.weights = random_rwkv(random);
  p.mode = options.format;
  p.info.spec = spec;
  p.info.name = random.name + " (random)";
  p.info.digest = digest_of_text(fmt::format("random recipe 1: {}", spec));
  if (options.tokenizer != "auto") {
    p.tokenizer = open_tokenizer(options.tokenizer);
    if (p.tokenizer->size() > random.shape.vocabulary) {
      throw std::runtime_error(fmt::format("tokenizer '{}' has {} ids, more than the model's {} rows",
                                           p.tokenizer->name(), p.tokenizer->size(),
                                           random.shape.vocabulary));
    }
    return p;
  }
  // Random weights are for speed: without a vocabulary of the right size, bytes are as good as any tokens.
  try {
    p.tokenizer = find_tokenizer({}, random.shape.vocabulary, "auto");
  } catch (const std::runtime_error&) {
    p.tokenizer = byte_tokenizer();
  }
  return p;
}

Prepared prepare_file(const std::string& spec, const ModelOptions& options) {
  Prepared p;
  const std::filesystem::path path = spec;
  const Checkpoint source = Checkpoint::open(path);
  p.weights = official_rwkv(source);
  p.mode = options.format;
  const std::size_t rows = p.weights.at("emb.weight").shape.empty() ? 0 : p.weights.at("emb.weight").shape[0];
  p.tokenizer = options.tokenizer == "auto" && !source.vocabulary.empty()
                    ? world_tokenizer_from_tokens(source.vocabulary)
                    : find_tokenizer(path, rows, options.tokenizer);
  p.info.spec = spec;
  const std::filesystem::path clean = path.has_filename() ? path : path.parent_path();
  p.info.name = std::filesystem::is_directory(clean) ? clean.filename().string() : clean.stem().string();
  // "model.pth" says nothing: the folder's name does.
  if (p.info.name == "model" && clean.has_parent_path()) {
    p.info.name = std::filesystem::absolute(clean).parent_path().filename().string();
  }
  p.info.digest = file_digest(source.files);
  return p;
}

Prepared prepare(const std::string& spec, const ModelOptions& options) {
  if (options.format != "auto")
    numeric_mode(options.format);  // a bad word is refused before anything is read
  return spec.starts_with(kRandom) ? prepare_random(spec, options) : prepare_file(spec, options);
}

// Models that are not ours, by the word before the colon.
struct Foreign {
  std::string_view prefix;
  std::unique_ptr<LanguageModel> (*open)(const std::string& words, const std::string& spec,
                                         const ModelOptions& options);
  void (*check)(const std::string& words, const std::string& spec, const ModelOptions& options);
};
constexpr Foreign kForeign[] = {
    {"plugin:", open_plugin, check_plugin},
};

const Foreign* foreign(const std::string& spec) {
  for (const Foreign& kind : kForeign) {
    if (spec.starts_with(kind.prefix)) return &kind;
  }
  return nullptr;
}

}  // namespace

std::unique_ptr<LanguageModel> open_model(const std::string& spec, const ModelOptions& options) {
  if (const Foreign* kind = foreign(spec)) return kind->open(spec.substr(kind->prefix.size()), spec, options);
  auto backends = open_backends(options.device, options.format, options.deterministic);
  Prepared p = prepare(spec, options);
  return load_rwkv(p.weights, std::move(p.tokenizer), std::move(backends), p.mode, options,
                   std::move(p.info));
}

void check_model(const std::string& spec, const ModelOptions& options) {
  if (const Foreign* kind = foreign(spec)) {
    return kind->check(spec.substr(kind->prefix.size()), spec, options);
  }
  const auto backends = open_backends(options.device, options.format, options.deterministic);
  const Prepared p = prepare(spec, options);
  for (const auto& backend : backends) check_rwkv(p.weights, *backend, p.mode);
}

}  // namespace deciban

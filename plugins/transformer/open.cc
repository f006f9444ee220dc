// From what the user names to a model: directories, GGUF files, random shapes.
#include <fmt/format.h>

#include <filesystem>
#include <stdexcept>

#include "plugins/transformer/gguf_tokenizer.h"
#include "plugins/transformer/model.h"
#include "plugins/transformer/random_shapes.h"

namespace deciban::transformer {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kRandom = "random:";

// All that is known of a model before its weights are read.
struct Prepared {
  Checkpoint weights;
  Shape shape;
  std::unique_ptr<Tokenizer> tokenizer;
  ModelInfo info;
};

Prepared prepare_random(const std::string& spec, const ModelOptions& options) {
  Prepared p;
  RandomTransformer random = random_transformer(spec.substr(kRandom.size()));
  p.shape = std::move(random.shape);
  p.weights = std::move(random.weights);
  p.info.name = random.name + " (random)";
  const std::string recipe = fmt::format("random transformer recipe 1: {}", spec);
  p.info.digest = sha256_hex(std::as_bytes(std::span(recipe)));
  if (options.tokenizer != "auto") {
    p.tokenizer = open_tokenizer(options.tokenizer);
    if (p.tokenizer->size() > p.shape.vocabulary) {
      throw std::runtime_error(fmt::format("tokenizer '{}' has {} ids, more than the model's {} rows",
                                           p.tokenizer->name(), p.tokenizer->size(), p.shape.vocabulary));
    }
  } else {
    p.tokenizer = byte_tokenizer();  // random weights are for speed: any tokens are as good
  }
  return p;
}

std::unique_ptr<Tokenizer> tokenizer_of(const Checkpoint& checkpoint, const fs::path& path, std::size_t rows,
                                        const std::string& word) {
  const auto kind = checkpoint.metadata.find("tokenizer.ggml.model");
  if (kind != checkpoint.metadata.end() && kind->second == "none" && (word == "auto" || word == "bytes")) {
    return byte_tokenizer();  // the file says that it has no vocabulary: it is for speed
  }
  if (word != "auto" || checkpoint.vocabulary.empty()) return find_tokenizer(path, rows, word);
  auto tokenizer = gguf_tokenizer(checkpoint, path.string());
  if (!tokenizer->fits(rows)) {
    throw std::runtime_error(
        fmt::format("{}: the model has {} embedding rows, but its own tokenizer {} tokens", path.string(),
                    rows, tokenizer->size()));
  }
  return tokenizer;
}

Prepared prepare_file(const std::string& spec, const ModelOptions& options) {
  Prepared p;
  const fs::path path = spec;
  p.weights = Checkpoint::open(path);
  const fs::path clean = path.has_filename() ? path : path.parent_path();
  if (p.weights.format == "gguf") {
    p.shape = shape_of_gguf(p.weights, spec);
  } else if (p.weights.config.empty()) {
    throw std::runtime_error(fmt::format("{}: there is no config.json beside the weights", spec));
  } else {
    const fs::path folder = p.weights.files.front().parent_path();
    p.shape = shape_of_config(p.weights.config, (folder / "config.json").string());
  }
  p.tokenizer = tokenizer_of(p.weights, path, p.shape.vocabulary, options.tokenizer);
  p.info.name = fs::is_directory(clean) ? clean.filename().string() : clean.stem().string();
  // "model.safetensors" says nothing: the folder's name does.
  if (p.info.name == "model" && clean.has_parent_path()) {
    p.info.name = fs::absolute(clean).parent_path().filename().string();
  }
  p.info.digest = file_digest(p.weights.files);
  return p;
}

Prepared prepare(const std::string& spec, const ModelOptions& options) {
  if (options.format != "auto")
    numeric_mode(options.format);  // a bad word is refused before anything is read
  Prepared p = spec.starts_with(kRandom) ? prepare_random(spec, options) : prepare_file(spec, options);
  p.info.spec = spec;
  return p;
}

}  // namespace

std::unique_ptr<LanguageModel> open_transformer(const std::string& spec, const ModelOptions& options) {
  auto backend = attention_backend(options);
  Prepared p = prepare(spec, options);
  return load_transformer(p.weights, p.shape, std::move(p.tokenizer), std::move(backend), options,
                          std::move(p.info));
}

void check_transformer(const std::string& spec, const ModelOptions& options) {
  const auto backend = attention_backend(options);
  const Prepared p = prepare(spec, options);
  check_loads(p.weights, p.shape, *backend, options);
}

}  // namespace deciban::transformer

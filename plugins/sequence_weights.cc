#include "plugins/sequence_weights.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace deciban {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::uint64_t whole_number(const std::string& key, const std::string& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value == 0)
    throw std::invalid_argument(fmt::format("'{}={}' is not a positive whole number", key, text));
  return value;
}

std::size_t product(const std::vector<std::size_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), std::size_t{1}, std::multiplies<>());
}

template <typename T>
T value_of(const std::string& config, const char* key, const T* otherwise, const std::string& path) {
  const json object = json::parse(config);
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) {
    if (otherwise) return *otherwise;
    throw std::runtime_error(fmt::format("{}: config.json has no \"{}\"", path, key));
  }
  const bool fits = std::is_same_v<T, bool>          ? found->is_boolean()
                    : std::is_same_v<T, std::string> ? found->is_string()
                    : std::is_same_v<T, std::size_t> ? found->is_number_unsigned()
                                                     : found->is_number();
  if (!fits) {
    throw std::runtime_error(
        fmt::format("{}: \"{}\" of config.json is {}", path, key, found->dump().substr(0, 60)));
  }
  return found->get<T>();
}

}  // namespace

SequenceWeights::SequenceWeights(const PluginOptions& options, std::span<const NamedShape> shapes,
                                 std::initializer_list<Replacement> more)
    : options_(options) {
  for (const auto& [key, value] : options.words) {
    bool known = key == "model" || key == "shape" || key == "seed";
    for (const Replacement& r : more) known = known || key == r.option;
    if (known) continue;
    std::string all = "model, shape, seed";
    for (const Replacement& r : more) all += fmt::format(", {}", r.option);
    throw std::invalid_argument(
        fmt::format("unknown option '{}' in '{}'; known: {}", key, options.spec, all));
  }
  path_ = options.get("model");
  shape_ = options.get("shape");
  if (path_.empty() == shape_.empty()) {
    throw std::invalid_argument(
        fmt::format("'{}' needs either model=FOLDER or shape=NAME, for example shape={}", options.spec,
                    shapes.front().name));
  }
  random_ = path_.empty();
  if (random_) {
    std::string names;
    for (const NamedShape& shape : shapes) {
      if (shape_ == shape.name) config_ = shape.config;
      names += fmt::format("{}{}", names.empty() ? "" : ", ", shape.name);
    }
    if (config_.empty())
      throw std::invalid_argument(fmt::format("unknown shape '{}'; known: {}", shape_, names));
    if (const std::string seed = options.get("seed"); !seed.empty()) seed_ = whole_number("seed", seed);
  } else {
    checkpoint_ = Checkpoint::open(path_);
    config_ = checkpoint_.config;
    if (config_.empty()) {
      throw std::runtime_error(
          fmt::format("{}: no config.json beside the weights; give the model's folder", path_));
    }
  }
  json object;
  try {
    object = json::parse(config_);
  } catch (const json::exception&) {
    throw std::runtime_error(fmt::format("{}: config.json is not JSON", path_));
  }
  if (!object.is_object()) throw std::runtime_error(fmt::format("{}: config.json is no JSON object", path_));
  // Safari's own configs keep the mixer's numbers one level deeper.
  if (const auto layer = object.find("layer"); layer != object.end() && layer->is_object()) {
    for (const auto& [key, value] : layer->items())
      if (!object.contains(key)) object[key] = value;
  }
  for (const Replacement& r : more) {
    if (const std::string value = options.get(r.option); !value.empty())
      object[r.key] = whole_number(r.option, value);
  }
  config_ = object.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::size_t SequenceWeights::number(const char* key) const {
  const auto value = value_of<std::size_t>(config_, key, nullptr, path_);
  if (value == 0 || value > std::size_t{1} << 32)
    throw std::runtime_error(fmt::format("{}: \"{}\" of config.json is {}", path_, key, value));
  return value;
}
std::size_t SequenceWeights::number(const char* key, std::size_t otherwise) const {
  return value_of(config_, key, &otherwise, path_);
}
double SequenceWeights::real(const char* key, double otherwise) const {
  return value_of(config_, key, &otherwise, path_);
}
bool SequenceWeights::flag(const char* key, bool otherwise) const {
  return value_of(config_, key, &otherwise, path_);
}
std::string SequenceWeights::word(const char* key, const std::string& otherwise) const {
  return value_of(config_, key, &otherwise, path_);
}

const StoredTensor* SequenceWeights::find(const std::string& name) const {
  for (const std::string& prefix : {std::string(), prefix_, std::string("model.")}) {
    if (const StoredTensor* tensor = checkpoint_.find(prefix + name)) return tensor;
  }
  return nullptr;
}

bool SequenceWeights::has(const std::string& name) const { return !random_ && find(name) != nullptr; }

void SequenceWeights::check_shape(const StoredTensor& tensor, const std::vector<std::size_t>& shape) const {
  if (tensor.shape == shape) return;
  throw std::runtime_error(fmt::format("{}: {} has the shape [{}], but config.json makes it [{}]", path_,
                                       tensor.name, fmt::join(tensor.shape, ", "), fmt::join(shape, ", ")));
}

StoredTensor SequenceWeights::matrix(const std::string& name, std::vector<std::size_t> shape, double gain) {
  parameters_ += product(shape);
  if (random_) {
    const double deviation = gain / std::sqrt(static_cast<double>(shape.back()));
    return generated_tensor(name, std::move(shape), seed_ * 0x9e3779b97f4a7c15ull + ++made_,
                            static_cast<float>(std::exp2(std::round(std::log2(deviation)))));
  }
  const StoredTensor* tensor = find(name);
  if (!tensor) throw std::runtime_error(fmt::format("{}: no tensor '{}'", path_, name));
  check_shape(*tensor, shape);
  return *tensor;
}

std::vector<float> SequenceWeights::vector(const std::string& name, std::vector<std::size_t> shape,
                                           double centre, double deviation) {
  if (!random_) return matrix(name, std::move(shape)).read_all();
  parameters_ += product(shape);
  std::vector<float> values(product(shape), static_cast<float>(centre));
  if (deviation == 0) return values;
  const std::vector<float> spread =
      generated_tensor(name, {values.size()}, seed_ * 0x9e3779b97f4a7c15ull + ++made_,
                       static_cast<float>(deviation))
          .read_all();
  for (std::size_t i = 0; i < values.size(); ++i) values[i] += spread[i];
  return values;
}

std::unique_ptr<Tokenizer> SequenceWeights::tokenizer(std::size_t rows) const {
  const std::string& word = options_.model.tokenizer;
  if (!random_) return find_tokenizer(path_, rows, word);
  if (word != "auto") return open_tokenizer(word);
  // Random weights are for speed: bytes are as good as any tokens.
  return byte_tokenizer();
}

ModelInfo SequenceWeights::info(const Backend& backend) const {
  ModelInfo info;
  info.spec = options_.spec;
  if (random_) {
    info.name = shape_ + " (random)";
    const std::string recipe = fmt::format("random recipe 1: {} seed {}", config_, seed_);
    info.digest = sha256_hex(std::as_bytes(std::span(recipe)));
  } else {
    const fs::path path = path_, clean = path.has_filename() ? path : path.parent_path();
    info.name = fs::is_directory(clean) ? clean.filename().string() : clean.stem().string();
    info.digest = file_digest(checkpoint_.files);
  }
  info.format = options_.model.format;
  if (info.format == "auto") {
    std::uint64_t bf16 = random_ ? 1 : 0, f16 = 0, other = 0;
    for (const StoredTensor& t : checkpoint_.tensors) {
      if (t.shape.size() < 2) continue;
      (t.encoding == Encoding::bf16 ? bf16 : t.encoding == Encoding::f16 ? f16 : other) += t.elements();
    }
    info.format = backend.usual_mode(bf16 > f16 && bf16 > other ? "bf16" : f16 > other ? "f16" : "f32");
  }
  const NumericMode mode = numeric_mode(info.format);
  if (const std::string why = backend.refusal(mode); !why.empty())
    throw std::invalid_argument(fmt::format("mode '{}' on {}: {}", info.format, backend.device(), why));
  info.weight_format = deciban::name(mode.weights);
  info.activation_format = deciban::name(mode.activations);
  info.device = backend.device();
  info.kernels = backend.kernels();
  info.threads = options_.model.threads > 0 ? options_.model.threads : usable_threads();
  return info;
}

std::unique_ptr<Backend> sequence_backend(const PluginOptions& options) {
  const std::string& device = options.model.device;
  if (device != "auto" && device != "cpu") {
    throw std::invalid_argument(
        fmt::format("'{}' computes on the CPU only, not on '{}': add --device cpu", options.spec, device));
  }
  return cpu_backend();
}

}  // namespace deciban

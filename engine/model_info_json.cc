#include "engine/model_info_json.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace deciban {
namespace {

using nlohmann::json;

// Reads fields by name and complains with the name of whoever wrote them.
class Fields {
 public:
  Fields(const json& object, const std::string& who) : object_(object), who_(who) {}

  void read(const char* name, std::string& value) const {
    if (const json* field = find(name)) {
      if (!field->is_string()) complain(name, *field, "a text");
      if (!field->get_ref<const std::string&>().empty()) value = field->get<std::string>();
    }
  }
  void read(const char* name, bool& value) const {
    if (const json* field = find(name)) {
      if (!field->is_boolean()) complain(name, *field, "true or false");
      value = field->get<bool>();
    }
  }
  void read(const char* name, double& value) const {
    if (const json* field = find(name)) {
      if (!field->is_number() || !(field->get<double>() >= 0)) complain(name, *field, "a number, 0 or more");
      value = field->get<double>();
    }
  }
  template <typename Whole>
  void read_whole(const char* name, Whole& value,
                  std::uint64_t most = static_cast<std::uint64_t>(std::numeric_limits<Whole>::max())) const {
    if (const json* field = find(name)) value = static_cast<Whole>(whole(name, *field, most));
  }
  template <typename Whole>
  void read_whole(const char* name, std::optional<Whole>& value, std::uint64_t most) const {
    if (const json* field = find(name)) value = static_cast<Whole>(whole(name, *field, most));
  }
  [[noreturn]] void complain(const char* name, const json& value, const std::string& wanted) const {
    throw std::runtime_error(fmt::format("{}: its info says \"{}\": {}; it must be {}", who_, name,
                                         value.dump(-1, ' ', true, json::error_handler_t::replace), wanted));
  }

 private:
  const json* find(const char* name) const {
    const auto field = object_.find(name);
    return field == object_.end() || field->is_null() ? nullptr : &*field;
  }
  std::uint64_t whole(const char* name, const json& value, std::uint64_t most) const {
    // Languages without integers write 256.0.
    if (value.is_number_float() && value.get<double>() >= 0 && value.get<double>() <= 9007199254740992.0 &&
        value.get<double>() == std::floor(value.get<double>()) &&
        static_cast<std::uint64_t>(value.get<double>()) <= most) {
      return static_cast<std::uint64_t>(value.get<double>());
    }
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > most) {
      complain(name, value, fmt::format("a whole number from 0 to {}", most));
    }
    return value.get<std::uint64_t>();
  }

  const json& object_;
  const std::string& who_;
};

constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
constexpr std::uint64_t kMostTokens = std::numeric_limits<Token>::max();

}  // namespace

DescribedModel parse_model_info(std::string_view text, const std::string& who, const ModelInfo& defaults) {
  const json object = json::parse(text, nullptr, false);
  if (!object.is_object()) {
    constexpr std::size_t kShown = 80;
    throw std::runtime_error(
        fmt::format("{}: its info is not a JSON object but '{}'", who, text.substr(0, kShown)));
  }
  if (!object.contains("n_vocab")) {
    throw std::runtime_error(fmt::format("{}: its info has no \"n_vocab\" (the number of tokens)", who));
  }
  const Fields fields(object, who);
  DescribedModel model{defaults};
  ModelInfo& info = model.info;
  fields.read("name", info.name);
  fields.read("family", info.family);
  fields.read("digest", info.digest);
  fields.read("tokenizer", info.tokenizer);
  fields.read("tokenizer_digest", info.tokenizer_digest);
  fields.read("format", info.format);
  fields.read("weight_format", info.weight_format);
  fields.read("activation_format", info.activation_format);
  fields.read("device", info.device);
  fields.read("kernels", info.kernels);
  fields.read_whole("threads", info.threads);
  fields.read_whole("numerics_version", info.numerics_version);
  fields.read_whole("parameters", info.parameters, kMost);
  fields.read_whole("layers", info.layers, kMost);
  fields.read_whole("width", info.width, kMost);
  fields.read_whole("n_vocab", info.vocabulary, kMostTokens);
  if (info.vocabulary == 0) fields.complain("n_vocab", object["n_vocab"], "at least 1");
  fields.read_whole("state_bytes", info.state_bytes, kMost);
  fields.read("constant_state", info.constant_state);
  fields.read_whole("training_length", info.training_length, kMost);
  fields.read_whole("context_limit", info.context_limit, kMost);
  if (info.context_limit && *info.context_limit < 2) {
    fields.complain("context_limit", object["context_limit"], "at least 2, or left out");
  }
  fields.read_whole("start_token", info.start_token, info.vocabulary - 1);
  fields.read("batch_bound", info.batch_bound);
  fields.read("rows", model.rows);
  fields.read("batch", model.batch);
  return model;
}

std::string model_info_json(const DescribedModel& model) {
  const ModelInfo& info = model.info;
  nlohmann::ordered_json object{{"name", info.name},
                                {"family", info.family},
                                {"digest", info.digest},
                                {"tokenizer", info.tokenizer},
                                {"tokenizer_digest", info.tokenizer_digest},
                                {"format", info.format},
                                {"weight_format", info.weight_format},
                                {"activation_format", info.activation_format},
                                {"device", info.device},
                                {"kernels", info.kernels},
                                {"threads", info.threads},
                                {"numerics_version", info.numerics_version},
                                {"parameters", info.parameters},
                                {"layers", info.layers},
                                {"width", info.width},
                                {"n_vocab", info.vocabulary},
                                {"state_bytes", info.state_bytes},
                                {"constant_state", info.constant_state},
                                {"batch_bound", info.batch_bound},
                                {"rows", model.rows},
                                {"batch", model.batch}};
  if (info.training_length) object["training_length"] = *info.training_length;
  if (info.context_limit) object["context_limit"] = *info.context_limit;
  if (info.start_token) object["start_token"] = *info.start_token;
  return object.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string model_options_json(const std::string& spec,
                               const std::vector<std::pair<std::string, std::string>>& words,
                               const ModelOptions& options) {
  nlohmann::ordered_json own = nlohmann::ordered_json::object();
  for (const auto& [key, value] : words) own[key] = value;
  const nlohmann::ordered_json object{{"spec", spec},
                                      {"options", std::move(own)},
                                      {"device", options.device},
                                      {"format", options.format},
                                      {"tokenizer", options.tokenizer},
                                      {"threads", options.threads},
                                      {"chunk_rows", options.chunk_rows},
                                      {"deterministic", options.deterministic}};
  try {
    return object.dump();
  } catch (const json::type_error&) {
    throw std::invalid_argument(fmt::format("model '{}': the words are not UTF-8", spec));
  }
}

}  // namespace deciban

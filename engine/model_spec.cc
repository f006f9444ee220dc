#include "engine/model_spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace deciban {
namespace {

void add_option(ModelSpec& spec, std::string_view words, const std::string& word) {
  const std::size_t equals = word.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw std::invalid_argument(fmt::format(
        "model '{}': '{}' is not KEY=VALUE (a comma that belongs to a value is written \\,)", words, word));
  }
  std::string key = word.substr(0, equals);
  if (spec.find(key) != nullptr) {
    throw std::invalid_argument(fmt::format("model '{}': the option '{}' is given twice", words, key));
  }
  spec.options.emplace_back(std::move(key), word.substr(equals + 1));
}

void check_target(const ModelSpec& spec, std::string_view words) {
  if (spec.target.empty()) {
    throw std::invalid_argument(fmt::format("model '{}': there is no name before its options", words));
  }
}

}  // namespace

const std::string* ModelSpec::find(std::string_view key) const {
  for (const auto& [name, value] : options) {
    if (name == key) return &value;
  }
  return nullptr;
}

ModelSpec parse_model_spec(std::string_view words) {
  std::vector<std::string> parts(1);
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == '\\' && i + 1 < words.size() && words[i + 1] == ',') {
      parts.back().push_back(words[++i]);
    } else if (words[i] == ',') {
      parts.emplace_back();
    } else {
      parts.back().push_back(words[i]);
    }
  }
  ModelSpec spec;
  spec.target = std::move(parts.front());
  check_target(spec, words);
  for (std::size_t i = 1; i < parts.size(); ++i) add_option(spec, words, parts[i]);
  return spec;
}

ModelSpec parse_model_spec(std::string_view words, const std::vector<std::string_view>& keys) {
  const auto option_begins = [&](std::size_t comma) {
    const std::string_view rest = words.substr(comma + 1);
    return std::any_of(keys.begin(), keys.end(), [&](std::string_view key) {
      return rest.starts_with(key) && rest.size() > key.size() && rest[key.size()] == '=';
    });
  };
  const auto next_option = [&](std::size_t from) {
    std::size_t comma = words.find(',', from);
    while (comma != std::string_view::npos && !option_begins(comma)) comma = words.find(',', comma + 1);
    return std::min(comma, words.size());
  };
  ModelSpec spec;
  std::size_t end = next_option(0);
  spec.target = words.substr(0, end);
  check_target(spec, words);
  while (end < words.size()) {
    const std::size_t begin = end + 1;
    end = next_option(begin);
    add_option(spec, words, std::string(words.substr(begin, end - begin)));
  }
  return spec;
}

}  // namespace deciban

// The filters of task templates: {question|strip}, {choices.label|index(answerKey)}.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace deciban {

struct TemplateFilter {
  std::string_view name;
  std::size_t least, most;  // arguments
  // Filters of texts are applied to every item of a list.
  bool of_text;
  nlohmann::json (*apply)(const nlohmann::json& value, std::span<const nlohmann::json> arguments);
};

// Null if there is none of this name.
const TemplateFilter* find_template_filter(std::string_view name);
std::vector<std::string> template_filter_names();

}  // namespace deciban

#include "evals/template_filters.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <stdexcept>

#include "evals/python_text.h"
#include "evals/task_texts.h"
#include "evals/template.h"

namespace deciban {
namespace {

using nlohmann::json;
using Arguments = std::span<const json>;

const json::array_t& list(const json& value) {
  if (!value.is_array())
    throw std::runtime_error(fmt::format("it is of type {}, not a list", value.type_name()));
  return value.get_ref<const json::array_t&>();
}

const json& item(const json& value, bool last) {
  const auto& items = list(value);
  if (items.empty()) throw std::runtime_error("the list is empty");
  return last ? items.back() : items.front();
}

std::int64_t integer(const json& value) {
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_string()) {
    const auto& word = value.get_ref<const std::string&>();
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    if (!word.empty() && error == std::errc{} && end == word.data() + word.size()) return number;
  }
  throw std::runtime_error(fmt::format("{} is no integer", value.dump().substr(0, 40)));
}

// The parts of a text before and after the first place of a marker.
std::pair<std::string, std::string> parted(const std::string& text, const std::string& marker) {
  const std::size_t place = text.find(marker);
  if (place == std::string::npos)
    throw std::runtime_error(fmt::format("there is no '{}' in the text", marker));
  return {text.substr(0, place), text.substr(place + marker.size())};
}

// Equal as a label: the number 1 and the text "1" are the same.
bool same(const json& a, const json& b) { return a == b || template_text(a) == template_text(b); }

constexpr TemplateFilter kFilters[] = {
    // Texts; of lists, every item.
    {"strip", 0, 0, true,
     [](const json& v, Arguments) -> json { return std::string(python::strip(template_text(v))); }},
    {"lstrip", 0, 0, true,
     [](const json& v, Arguments) -> json { return std::string(python::lstrip(template_text(v))); }},
    {"rstrip", 0, 0, true,
     [](const json& v, Arguments) -> json { return std::string(python::rstrip(template_text(v))); }},
    {"lower", 0, 0, true, [](const json& v, Arguments) -> json { return python::lower(template_text(v)); }},
    {"capitalize", 0, 0, true,
     [](const json& v, Arguments) -> json { return python::capitalize(template_text(v)); }},
    {"lower_first", 0, 0, true,
     [](const json& v, Arguments) -> json { return python::lower_first(template_text(v)); }},
    {"without_last", 0, 0, true,
     [](const json& v, Arguments) -> json { return std::string(python::without_last(template_text(v))); }},
    {"replace", 2, 2, true,
     [](const json& v, Arguments a) -> json {
       const std::string from = template_text(a[0]);
       if (from.empty()) throw std::runtime_error("there must be something to replace");
       return python::replace(template_text(v), from, template_text(a[1]));
     }},
    {"wrap", 2, 2, true,
     [](const json& v, Arguments a) -> json {
       return template_text(a[0]) + template_text(v) + template_text(a[1]);
     }},
    {"fill", 2, 2, true,  // the item put into a text in place of a marker
     [](const json& v, Arguments a) -> json {
       return python::replace(template_text(a[0]), template_text(a[1]), template_text(v));
     }},
    {"before", 1, 1, true,
     [](const json& v, Arguments a) -> json { return parted(template_text(v), template_text(a[0])).first; }},
    {"after", 1, 1, true,
     [](const json& v, Arguments a) -> json { return parted(template_text(v), template_text(a[0])).second; }},
    {"map", 2, 64, true,  // the value's partner in a list of pairs
     [](const json& v, Arguments a) -> json {
       for (std::size_t i = 0; i + 1 < a.size(); i += 2) {
         if (same(v, a[i])) return a[i + 1];
       }
       throw std::runtime_error(fmt::format("{} is none of the values known", v.dump().substr(0, 40)));
     }},
    {"split", 0, 1, false,
     [](const json& v, Arguments a) -> json {
       return python::split(template_text(v), a.empty() ? "" : template_text(a[0]));
     }},
    // Numbers.
    {"int", 0, 0, true, [](const json& v, Arguments) -> json { return integer(v); }},
    {"minus", 1, 1, true, [](const json& v, Arguments a) -> json { return integer(v) - integer(a[0]); }},
    // Lists.
    {"first", 0, 0, false, [](const json& v, Arguments) -> json { return item(v, false); }},
    {"last", 0, 0, false, [](const json& v, Arguments) -> json { return item(v, true); }},
    {"rest", 0, 0, false,
     [](const json& v, Arguments) -> json {
       const auto& items = list(v);
       return items.empty() ? json::array() : json(json::array_t(items.begin() + 1, items.end()));
     }},
    {"but_last", 0, 0, false,
     [](const json& v, Arguments) -> json {
       const auto& items = list(v);
       return items.empty() ? json::array() : json(json::array_t(items.begin(), items.end() - 1));
     }},
    {"join", 1, 1, false,
     [](const json& v, Arguments a) -> json {
       const std::string separator = template_text(a[0]);
       std::string text;
       bool first = true;
       for (const json& part : list(v)) {
         text += (first ? "" : separator) + template_text(part);
         first = false;
       }
       return text;
     }},
    {"sorted_set", 0, 0, false,  // sorted(set(…)): by code point, which is the order of UTF-8's bytes
     [](const json& v, Arguments) -> json {
       std::vector<std::string> texts;
       for (const json& part : list(v)) texts.push_back(template_text(part));
       std::sort(texts.begin(), texts.end());
       texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
       return texts;
     }},
    {"index", 1, 1, false,
     [](const json& v, Arguments a) -> json {
       const auto& items = list(v);
       for (std::size_t i = 0; i < items.size(); ++i) {
         if (same(items[i], a[0])) return i;
       }
       throw std::runtime_error(fmt::format("{} is not in the list", a[0].dump().substr(0, 40)));
     }},
    // Transforms of single data sets.
    {"hellaswag", 0, 0, true,
     [](const json& v, Arguments) -> json { return hellaswag_text(template_text(v)); }},
    {"wikitext", 0, 0, true,
     [](const json& v, Arguments) -> json { return wikitext_text(template_text(v)); }},
};

}  // namespace

const TemplateFilter* find_template_filter(std::string_view name) {
  const auto* found = std::find_if(std::begin(kFilters), std::end(kFilters),
                                   [&](const TemplateFilter& filter) { return filter.name == name; });
  return found == std::end(kFilters) ? nullptr : found;
}

std::vector<std::string> template_filter_names() {
  std::vector<std::string> names;
  for (const TemplateFilter& filter : kFilters) names.emplace_back(filter.name);
  return names;
}

}  // namespace deciban

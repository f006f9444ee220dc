#include "reports/published.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "reports/published_files.h"

namespace deciban {
namespace {

using nlohmann::json;

[[noreturn]] void wrong(const std::string& field, const char* wanted) {
  throw std::runtime_error(fmt::format("published table: field '{}' is missing or not {}", field, wanted));
}

std::string text(const json& object, const char* field, bool needed) {
  const auto found = object.find(field);
  if (found == object.end() && !needed) return "";
  if (found == object.end() || !found->is_string()) wrong(field, "a text");
  return found->get<std::string>();
}

double needed_number(const json& object, const char* field) {
  const auto found = object.find(field);
  if (found == object.end() || !found->is_number()) wrong(field, "a number");
  return found->get<double>();
}

}  // namespace

std::optional<double> PublishedTable::bits_per_byte(const PublishedRow& row) const {
  if (unit == "bits_per_byte") return row.value;
  if (unit == "compression_rate_percent") return row.value / 12.5;
  return std::nullopt;
}

PublishedTable parse_published(std::string_view json_text) {
  const json object = json::parse(json_text, nullptr, false);
  if (!object.is_object()) throw std::runtime_error("published table: not a JSON object");
  PublishedTable table;
  table.name = text(object, "name", true);
  table.title = text(object, "title", true);
  table.source = text(object, "source", true);
  table.setting = text(object, "setting", true);
  table.unit = text(object, "unit", true);
  table.note = text(object, "note", false);
  const auto lower = object.find("lower_is_better");
  if (lower != object.end()) {
    if (!lower->is_boolean()) wrong("lower_is_better", "true or false");
    table.lower_is_better = lower->get<bool>();
  }
  const auto rows = object.find("rows");
  if (rows == object.end() || !rows->is_array()) wrong("rows", "a list");
  for (const json& entry : *rows) {
    if (!entry.is_object()) wrong("rows", "a list of objects");
    PublishedRow row;
    row.model = text(entry, "model", true);
    row.value = needed_number(entry, "value");
    if (entry.contains("parameters")) row.parameters = needed_number(entry, "parameters");
    const auto sources = entry.find("sources");
    if (sources != entry.end()) {
      if (!sources->is_object()) wrong("sources", "an object");
      for (const auto& [name, value] : sources->items()) {
        if (!value.is_number()) wrong("sources." + name, "a number");
        row.sources.emplace_back(name, value.get<double>());
      }
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::vector<std::string> published_names() {
  std::vector<std::string> names;
  for (const auto& [name, content] : published_files()) names.emplace_back(name);
  return names;
}

PublishedTable published_table(const std::string& name) {
  for (const auto& [known, content] : published_files()) {
    if (known == name) return parse_published(content);
  }
  std::string words;
  for (const std::string& known : published_names()) words += (words.empty() ? "" : ", ") + known;
  throw std::invalid_argument(fmt::format("no published table is called '{}'; there are {}", name, words));
}

}  // namespace deciban

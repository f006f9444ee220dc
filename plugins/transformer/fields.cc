#include "plugins/transformer/fields.h"

#include <fmt/format.h>

#include <cmath>
#include <stdexcept>

namespace deciban::transformer {

void Fields::fail(const std::string& what) const {
  throw std::runtime_error(fmt::format("{}: {}", where_, what));
}

bool Fields::has(const char* name) const {
  const auto found = object_.find(name);
  return found != object_.end() && !found->is_null();
}

const nlohmann::json* Fields::find(const char* name) {
  read_.insert(name);
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::size_t Fields::size(const char* name, std::optional<std::size_t> otherwise) {
  constexpr std::uint64_t kMost = std::uint64_t{1} << 32;
  const nlohmann::json* value = find(name);
  if (value == nullptr) {
    if (otherwise) return *otherwise;
    fail(fmt::format("has no {}", name));
  }
  if (!value->is_number_unsigned() || value->get<std::uint64_t>() > kMost) {
    fail(fmt::format("{} is {}, not a whole number from 0 to {}", name, value->dump(), kMost));
  }
  return value->get<std::size_t>();
}

double Fields::number(const char* name, std::optional<double> otherwise) {
  const nlohmann::json* value = find(name);
  if (value == nullptr) {
    if (otherwise) return *otherwise;
    fail(fmt::format("has no {}", name));
  }
  if (!value->is_number() || !std::isfinite(value->get<double>())) {
    fail(fmt::format("{} is {}, not a number", name, value->dump()));
  }
  return value->get<double>();
}

bool Fields::flag(const char* name, bool otherwise) {
  const nlohmann::json* value = find(name);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) fail(fmt::format("{} is {}, neither true nor false", name, value->dump()));
  return value->get<bool>();
}

std::string Fields::text(const char* name, const std::optional<std::string>& otherwise) {
  const nlohmann::json* value = find(name);
  if (value == nullptr) {
    if (otherwise) return *otherwise;
    fail(fmt::format("has no {}", name));
  }
  if (!value->is_string()) fail(fmt::format("{} is {}, not a text", name, value->dump()));
  return value->get<std::string>();
}

const nlohmann::json* Fields::value(const char* name) { return find(name); }

void Fields::refuse_unread(const std::set<std::string_view>& harmless) const {
  for (const auto& [name, value] : object_.items()) {
    if (read_.contains(name) || harmless.contains(name)) continue;
    if (value.is_null() || (value.is_boolean() && !value.get<bool>()) ||
        (value.is_structured() && value.empty())) {
      continue;
    }
    std::string shown = value.dump();
    if (shown.size() > 60) shown = shown.substr(0, 57) + "...";
    fail(
        fmt::format("the field '{}' ({}) is not known here and may change what the model computes; remove it "
                    "from the file if it does not",
                    name, shown));
  }
}

}  // namespace deciban::transformer

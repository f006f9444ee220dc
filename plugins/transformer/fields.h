// A config.json read field by field, so that what was not read can be refused.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace deciban::transformer {

// Every getter marks its field as read; null counts as absent.  Throws std::runtime_error naming file and
// field.
class Fields {
 public:
  Fields(const nlohmann::json& object, std::string where) : object_(object), where_(std::move(where)) {}

  [[noreturn]] void fail(const std::string& what) const;
  bool has(const char* name) const;
  std::size_t size(const char* name, std::optional<std::size_t> otherwise = {});
  double number(const char* name, std::optional<double> otherwise = {});
  bool flag(const char* name, bool otherwise);
  std::string text(const char* name, const std::optional<std::string>& otherwise = {});
  // The object or array, or null if absent.
  const nlohmann::json* value(const char* name);
  const std::string& where() const { return where_; }

  // Throws if a field that was not read is neither known to be harmless nor null, false or empty.
  void refuse_unread(const std::set<std::string_view>& harmless) const;

 private:
  const nlohmann::json* find(const char* name);
  const nlohmann::json& object_;
  std::string where_;
  std::set<std::string> read_;
};

}  // namespace deciban::transformer

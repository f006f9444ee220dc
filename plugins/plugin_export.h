// Turns a LanguageModel into a plugin: everything of the C ABI (engine/plugin_api.h) is made from a function
// that opens a model, and one line:
//
//   DECIBAN_PLUGIN(open_transformer, check_transformer)
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/lm.h"
#include "engine/plugin_api.h"

namespace deciban {

// What the user wrote: "plugin:NAME,KEY=VALUE,…" and the options that every model has.
struct PluginOptions {
  std::string spec;
  ModelOptions model;
  std::vector<std::pair<std::string, std::string>> words;  // KEY, VALUE

  // The value of KEY, or `otherwise`.
  std::string get(std::string_view key, const std::string& otherwise = {}) const;
  // Throws std::invalid_argument for a KEY that is not among `known`, naming these.
  void allow_only(std::initializer_list<std::string_view> known) const;
  // The value of a KEY that must be there.  Throws std::invalid_argument.
  std::string require(std::string_view key, std::string_view what) const;
};

// Opens a model; throws std::exceptions, of which std::invalid_argument is the user's mistake.
using PluginOpen = std::unique_ptr<LanguageModel> (*)(const PluginOptions&);
// Throws what opening would, without loading weights.
using PluginCheck = void (*)(const PluginOptions&);

// The table behind DECIBAN_PLUGIN; one a library.  `check` may be null.
deciban_plugin_table plugin_table(PluginOpen open, PluginCheck check);

}  // namespace deciban

// Defines the library's deciban_plugin().
#define DECIBAN_PLUGIN(OPEN, CHECK)                                                 \
  extern "C" const deciban_plugin_table* deciban_plugin(void) {                     \
    static const deciban_plugin_table table = ::deciban::plugin_table(OPEN, CHECK); \
    return &table;                                                                  \
  }

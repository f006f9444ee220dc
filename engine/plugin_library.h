// Finds and opens the shared libraries of plugins and checks that they speak our version of the C ABI.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/export.h"
#include "engine/plugin_api.h"

namespace deciban {

struct PluginLibrary {
  std::filesystem::path path;
  deciban_plugin_table table{};  // a copy; what this plugin's version does not have is NULL
};

// The folders in which plugins are looked for by name: those of $DECIBAN_PLUGIN_PATH (separated by ':'), then
// deciban/plugins beside libdeciban_engine.so.
DECIBAN_API std::vector<std::filesystem::path> plugin_folders();

// A name ("transformer": FOLDER/transformer.so of the first folder that has it) or a path (with a '/').  Once
// opened it stays open.  Throws std::runtime_error: not found, saying where it was looked for and what is
// there; not a library; not a plugin; of a foreign ABI version; with a table that lacks what is required.
DECIBAN_API PluginLibrary open_plugin_library(const std::string& name);

// Checks what a library's deciban_plugin() returned and copies it.  `who` begins messages.  Throws as above.
DECIBAN_API deciban_plugin_table checked_table(const deciban_plugin_table* table, const std::string& who);

}  // namespace deciban

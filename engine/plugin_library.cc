#include "engine/plugin_library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <set>
#include <stdexcept>
#include <string_view>

namespace deciban {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEnding = ".so";
constexpr const char* kPathVariable = "DECIBAN_PLUGIN_PATH";

std::set<std::string> plugins_in(const fs::path& folder) {
  std::set<std::string> names;
  std::error_code none;
  for (fs::directory_iterator entry(folder, none), end; !none && entry != end; entry.increment(none)) {
    if (entry->path().extension() == kEnding) names.insert(entry->path().stem().string());
  }
  return names;
}

std::string joined(const std::set<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

fs::path find(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    if (!fs::exists(name)) throw std::runtime_error(fmt::format("plugin '{}': there is no such file", name));
    return name;
  }
  std::set<std::string> known;
  std::string looked;
  for (const fs::path& folder : plugin_folders()) {
    const fs::path path = folder / (name + std::string(kEnding));
    if (fs::exists(path)) return path;
    known.merge(plugins_in(folder));
    looked += (looked.empty() ? "" : ", ") + folder.string();
  }
  throw std::runtime_error(
      fmt::format("there is no plugin '{}'; looked in {} ({}); plugins there: {}", name, looked,
                  std::getenv(kPathVariable) ? fmt::format("{} is set", kPathVariable)
                                             : fmt::format("set {} for other folders", kPathVariable),
                  known.empty() ? "none" : joined(known)));
}

}  // namespace

std::vector<fs::path> plugin_folders() {
  std::vector<fs::path> folders;
  if (const char* set = std::getenv(kPathVariable)) {
    for (std::string_view rest = set; !rest.empty();) {
      const std::size_t end = std::min(rest.find(':'), rest.size());
      if (end > 0) folders.emplace_back(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  Dl_info engine{};
  if (::dladdr(reinterpret_cast<const void*>(&plugin_folders), &engine) != 0 && engine.dli_fname != nullptr) {
    folders.push_back(fs::absolute(engine.dli_fname).parent_path().lexically_normal() / "deciban" /
                      "plugins");
  }
  return folders;
}

deciban_plugin_table checked_table(const deciban_plugin_table* table, const std::string& who) {
  if (table == nullptr) throw std::runtime_error(fmt::format("{}: deciban_plugin() returned nothing", who));
  if (table->abi != DECIBAN_PLUGIN_ABI) {
    throw std::runtime_error(
        fmt::format("{} is made for version {} of the plugin ABI, this deciban speaks version {}: build it "
                    "with this deciban's engine/plugin_api.h",
                    who, table->abi, DECIBAN_PLUGIN_ABI));
  }
  // All that version 1 requires lies before `check`.
  constexpr std::size_t kLeast = offsetof(deciban_plugin_table, check);
  if (table->size < kLeast) {
    throw std::runtime_error(
        fmt::format("{}: its table says it has {} bytes, less than the {} of the required functions", who,
                    table->size, kLeast));
  }
  deciban_plugin_table copy{};
  std::memcpy(&copy, table, std::min<std::size_t>(table->size, sizeof copy));
  const auto require = [&](bool there, const char* name) {
    if (!there) throw std::runtime_error(fmt::format("{}: its table lacks the function '{}'", who, name));
  };
  require(copy.open, "open");
  require(copy.close, "close");
  require(copy.info, "info");
  require(copy.encode, "encode");
  require(copy.decode, "decode");
  require(copy.score, "score");
  if (copy.batch_open) {
    require(copy.batch_close, "batch_close");
    require(copy.batch_step, "batch_step");
    require(copy.batch_reset, "batch_reset");
    require(copy.batch_copy, "batch_copy");
    require(copy.batch_state_bytes, "batch_state_bytes");
  }
  return copy;
}

PluginLibrary open_plugin_library(const std::string& name) {
  PluginLibrary library;
  library.path = find(name);
  // Without a '/' dlopen() would search the system's libraries.
  const fs::path path = fs::absolute(library.path);
  void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* text = ::dlerror();
    throw std::runtime_error(fmt::format("plugin '{}' cannot be opened: {}", library.path.string(),
                                         text != nullptr ? text : "unknown error"));
  }
  const auto entry = reinterpret_cast<deciban_plugin_fn*>(::dlsym(handle, DECIBAN_PLUGIN_SYMBOL));
  if (entry == nullptr) {
    throw std::runtime_error(fmt::format("'{}' is no plugin of deciban: it does not export {}()",
                                         library.path.string(), DECIBAN_PLUGIN_SYMBOL));
  }
  library.table = checked_table(entry(), fmt::format("plugin '{}'", library.path.string()));
  return library;  // the handle is never closed: the plugin's objects and threads live anywhere
}

}  // namespace deciban

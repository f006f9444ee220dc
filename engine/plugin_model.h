// Models that shared libraries offer through the C ABI (engine/plugin_api.h), as LanguageModels.
#pragma once

#include <memory>
#include <string>

#include "engine/lm.h"
#include "engine/plugin_library.h"

namespace deciban {

// `words`: NAME[,KEY=VALUE…], what follows "plugin:" in `spec`.  Throws what the host or the plugin complains
// of, with the plugin's name in front.
DECIBAN_API std::unique_ptr<LanguageModel> open_plugin(const std::string& words, const std::string& spec,
                                                       const ModelOptions& options);
// Asks the plugin whether it could open this; one that has no check() is only looked at itself.
DECIBAN_API void check_plugin(const std::string& words, const std::string& spec, const ModelOptions& options);

// The same for a table that is already there, for tests.
DECIBAN_API std::unique_ptr<LanguageModel> open_plugin(PluginLibrary library, const std::string& words,
                                                       const std::string& spec, const ModelOptions& options);

}  // namespace deciban

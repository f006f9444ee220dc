// The engine's own models as a plugin: what goes through the C ABI and back must come out as it was.
#include "engine/lm.h"
#include "plugins/plugin_export.h"

namespace deciban {
namespace {

void check_builtin(const PluginOptions& options) {
  options.allow_only({"model"});
  check_model(options.require("model", "checkpoint"), options.model);
}

std::unique_ptr<LanguageModel> open_builtin(const PluginOptions& options) {
  options.allow_only({"model"});
  return open_model(options.require("model", "checkpoint"), options.model);
}

}  // namespace
}  // namespace deciban

DECIBAN_PLUGIN(deciban::open_builtin, deciban::check_builtin)

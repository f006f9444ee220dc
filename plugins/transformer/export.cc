// The transformer as a plugin: -m plugin:transformer,model=DIR_OR_GGUF, or just -m DIR_OR_GGUF.
#include "plugins/plugin_export.h"
#include "plugins/transformer/model.h"

namespace deciban::transformer {
namespace {

constexpr const char* kModel = "a Hugging Face directory, a GGUF file, or random:SHAPE";

std::unique_ptr<LanguageModel> open(const PluginOptions& options) {
  options.allow_only({"model"});
  return open_transformer(options.require("model", kModel), options.model);
}

void check(const PluginOptions& options) {
  options.allow_only({"model"});
  check_transformer(options.require("model", kModel), options.model);
}

}  // namespace
}  // namespace deciban::transformer

DECIBAN_PLUGIN(deciban::transformer::open, deciban::transformer::check)

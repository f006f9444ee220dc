#include "cli/verify_published.h"

#include "cli/commands/command.h"

namespace deciban {
namespace {

void add_verify(CLI::App& app, VerifyOptions& options) {
  app.add_option("-m,--model", options.models, "a published checkpoint")->type_name("MODEL…")->group("what");
  app.add_option("-c,--corpus", options.corpora, "a published corpus, or a folder of them")
      ->type_name("CORPUS…")
      ->group("what");
  add_model_options(app, options.model.device, options.model.format, options.model.tokenizer,
                    options.model.threads);
}

}  // namespace

Command verify_published_command() {
  return make_command<VerifyOptions>(
      "verify-published", "compare with scores that others published", "[-m MODEL… -c CORPUS…] [OPTION…]",
      {"deciban verify-published", "deciban verify-published -m rwkv7-g1g-1.5b.pth -c arxiv_cs.json"},
      add_verify, [](const VerifyOptions& options, const Console& console) {
        return verify_published(options, console);
      });
}

}  // namespace deciban

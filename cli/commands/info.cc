#include "cli/info.h"

#include "cli/commands/command.h"

namespace deciban {
namespace {

struct InfoOptions {
  std::vector<std::string> subjects;
  ModelOptions model;
  bool check = false;
};

void add_info(CLI::App& app, InfoOptions& options) {
  app.add_option("subject", options.subjects, "a model, a directory of records, a file of either, or 'tasks'")
      ->type_name("SUBJECT…")
      ->group("what");
  app.add_flag(
         "--check", options.check,
         "run the conformance suite on each MODEL: do its probabilities sum to 1, does it score the right "
         "token, … (exit code 1 if not)")
      ->group("what");
  add_model_options(app, options.model.device, options.model.format, options.model.tokenizer,
                    options.model.threads);
}

}  // namespace

Command info_command() {
  return make_command<InfoOptions>(
      "info", "describe this machine, a model, a run or a file of token scores", "[SUBJECT…] [OPTION…]",
      {"deciban info", "deciban info rwkv7-0.1b.pth", "deciban info tasks",
       "deciban info --check plugin:uniform", "deciban info runs/cs/scores.bin | head -n 1"},
      add_info, [](const InfoOptions& options, const Console& console) {
        if (options.check) return check_models(options.subjects, options.model, console);
        return info(options.subjects, options.model, console);
      });
}

}  // namespace deciban

#include "cli/convert.h"

#include "cli/commands/command.h"

namespace deciban {
namespace {

void add_convert(CLI::App& app, ConvertOptions& options) {
  app.add_option("input", options.input, "an RWKV checkpoint of any format that is read")
      ->type_name("IN")
      ->group("what");
  app.add_option("output", options.output, "the new file (.safetensors)")->type_name("OUT")->group("what");
  app.add_option("--format", options.format,
                 "of the matrices: bf16, f16, int8 (groups of 32), int4 (groups of 32) or int4g64 (of 64)")
      ->type_name("FORMAT")
      ->group("what");
  app.add_flag("--force", options.force, "overwrite OUT if it is there")->group("what");
  app.add_option("--verify", options.verify,
                 "score these texts with both: bits per byte, KL and best tokens against IN in f32")
      ->type_name("CORPUS…")
      ->group("check");
  app.add_option("--limit", options.limit, "only the first N documents of each corpus")
      ->type_name("N")
      ->group("check");
  app.add_option("--tokenizer", options.tokenizer,
                 "vocabulary or tokenizer.json; auto looks beside the model")
      ->type_name("FILE")
      ->group("check");
  app.add_option("--threads", options.threads, "of each; 0: all that the process may use")
      ->type_name("N")
      ->group("check");
}

}  // namespace

Command convert_command() {
  return make_command<ConvertOptions>(
      "convert", "write a model anew with smaller weights", "IN OUT --format FORMAT [OPTION…]",
      {"deciban convert rwkv7.pth rwkv7-int4.safetensors --format int4",
       "deciban convert rwkv7.pth small.safetensors --format int8 --verify texts/"},
      add_convert,
      [](const ConvertOptions& options, const Console& console) { return convert(options, console); });
}

}  // namespace deciban

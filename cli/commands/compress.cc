#include "cli/compress.h"

#include "cli/commands/command.h"

namespace deciban {
namespace {

void add_coding(CLI::App& app, CompressOptions& options, bool decompress) {
  app.add_option("file", options.input,
                 decompress ? "a .dcb file; - for standard input" : "any file; - for standard input")
      ->type_name("FILE")
      ->group("what");
  app.add_option("-m,--model", options.model,
                 decompress ? "the model that it was compressed with" : "a checkpoint")
      ->type_name("MODEL")
      ->group("what");
  app.add_option("-o,--output", options.output,
                 decompress ? "default: FILE without .dcb" : "default: FILE.dcb")
      ->type_name("FILE")
      ->group("what");
  app.add_flag("--force", options.force, "overwrite the output if it is there")->group("what");
  if (!decompress) {
    app.add_option(
           "--streams", options.streams,
           "segments of at least 10 kB coded in lockstep: faster, each begins without context; auto or N")
        ->type_name("N")
        ->group("what");
    app.add_flag("--no-claim", options.no_claim, "don't score the file once more to see what cutting it cost")
        ->group("what");
  }
  add_model_options(app, options.model_options.device, options.model_options.format,
                    options.model_options.tokenizer, options.model_options.threads);
}

void add_compress(CLI::App& app, CompressOptions& options) { add_coding(app, options, false); }
void add_decompress(CLI::App& app, CompressOptions& options) { add_coding(app, options, true); }

}  // namespace

Command compress_command() {
  return make_command<CompressOptions>(
      "compress", "compress a file with a model's probabilities", "-m MODEL FILE [OPTION…]",
      {"deciban compress -m rwkv7.pth paper.txt",
       "deciban compress -m rwkv7.pth --streams 1 paper.txt -o small.dcb"},
      add_compress,
      [](const CompressOptions& options, const Console& console) { return compress_file(options, console); });
}

Command decompress_command() {
  return make_command<CompressOptions>(
      "decompress", "the file back, bit by bit", "-m MODEL FILE.dcb [OPTION…]",
      {"deciban decompress -m rwkv7.pth paper.txt.dcb",
       "deciban decompress -m rwkv7.pth small.dcb -o - | less"},
      add_decompress, [](const CompressOptions& options, const Console& console) {
        return decompress_file(options, console);
      });
}

}  // namespace deciban

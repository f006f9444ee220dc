#include "cli/commands/command.h"
#include "cli/convert.h"

namespace deciban {

void add_model_options(CLI::App& app, std::string& device, std::string& mode, std::string& tokenizer,
                       int& threads) {
  const std::string group = "model";
  app.add_option("--device", device,
                 "cpu, cuda, cuda:0,1 (a copy of the model a card), auto: cuda if it is there")
      ->type_name("DEVICE")
      ->group(group);
  app.add_option(
         "--mode", mode,
         "numbers of weights and activations: auto, f32, bf16 (bf16 weights), bf16a (both), f16, f16a, "
         "int8, int8a (both), int4, int4g64, w8a16, fp8; not every device computes in each")
      ->type_name("MODE")
      ->group(group);
  app.add_option("--tokenizer", tokenizer, "vocabulary or tokenizer.json; auto looks beside the model")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--threads", threads, "0: all that the process may use")->type_name("N")->group(group);
}

std::vector<Command> command_table(const std::vector<std::string>& typed) {
  std::vector<Command> all{eval_command(typed),   report_command(), compare_command(),
                           import_command(),      bench_command(),  bench_context_command(),
                           bench_mixers_command()};
  for (Command& command : gate_commands()) all.push_back(std::move(command));
  for (Command (*make)() : {compress_command, decompress_command, convert_command, serve_command, info_command, fetch_command,
                            verify_published_command})
    all.push_back(make());
  return all;
}

}  // namespace deciban

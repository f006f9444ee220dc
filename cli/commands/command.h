// A command of the program: its words, help, options and what it does.  Each file of this folder makes one or
// a few; command_table.cc lists them all.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cli/console.h"
#include "engine/lm.h"

namespace deciban {

struct Command {
  std::string name;  // one word, or two: "gate ab"
  std::string description, usage;
  std::vector<std::string> examples;
  std::function<void(CLI::App& app)> add_options;
  std::function<int(const Console& console)> run;
  bool hidden = false;  // spoken by this program's own processes, not by people
};

// Their options live as long as any copy of them.  `typed`: the whole command line, for records.
Command eval_command(const std::vector<std::string>& typed);
Command report_command();
Command compare_command();
Command import_command();
Command bench_command();
Command bench_context_command();
Command bench_mixers_command();
Command compress_command();
Command decompress_command();
Command serve_command();
Command info_command();
Command fetch_command();
Command verify_published_command();
std::vector<Command> gate_commands();

// All of them, in the order of the overview; those of two words follow their first word's.
std::vector<Command> command_table(const std::vector<std::string>& typed);

// Options of every command that opens a model.
void add_model_options(CLI::App& app, std::string& device, std::string& mode, std::string& tokenizer,
                       int& threads);

// A command that keeps its options of one type.
template <typename Options>
Command make_command(std::string name, std::string description, std::string usage,
                     std::vector<std::string> examples, void (*add_options)(CLI::App& app, Options& options),
                     std::function<int(const Options& options, const Console& console)> run) {
  const auto options = std::make_shared<Options>();
  return {std::move(name),
          std::move(description),
          std::move(usage),
          std::move(examples),
          [options, add_options](CLI::App& app) { add_options(app, *options); },
          [options, run = std::move(run)](const Console& console) { return run(*options, console); }};
}

}  // namespace deciban

// The words of `deciban gate`: each a command of its own with its own help.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "cli/console.h"

namespace deciban {

struct GateCommand {
  std::string word;  // what follows "gate"
  std::string description, usage;
  std::vector<std::string> examples;
  std::function<void(CLI::App& app)> add_options;
  std::function<int(const Console& console)> run;
  bool hidden = false;  // spoken by other builds, not by people
};

// Options live as long as any copy of the commands.
std::vector<GateCommand> gate_commands();

// The text of `deciban gate --help`.
std::string gate_overview();

}  // namespace deciban

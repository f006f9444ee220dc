// deciban: words to calls, exceptions to messages and exit codes.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <iostream>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "cli/commands/command.h"
#include "cli/console.h"
#include "cli/help_page.h"
#include "cli/suggest.h"
#include "deciban_version.h"

namespace deciban {
namespace {

// What the user typed wrong: becomes exit code 2 with a hint at --help.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

void add_common(CLI::App& app, CommonOptions& common) {
  const std::string group = "everywhere";
  if (app.get_option_no_throw("--format") == nullptr) {  // convert's is that of weights
    app.add_option("--format", common.format, "table, md, csv, json or jsonl")
        ->type_name("FORMAT")
        ->group(group);
  }
  app.add_option("--export", common.export_file, "also write the table to FILE (.md .csv .json .jsonl)")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--color", common.color, "auto, always or never")->type_name("WHEN")->group(group);
  app.add_flag("-q,--quiet", common.quiet, "only results, warnings and errors")->group(group);
  app.add_flag("-v,--verbose", common.verbose, "say more on the way")->group(group);
  app.set_help_flag("-h,--help", "this text")->group(group);
}

// "-m, --model MODEL…"
std::string words_of(const CLI::Option* option) {
  std::string words;
  for (const std::string& name : option->get_snames()) words += (words.empty() ? "-" : ", -") + name;
  for (const std::string& name : option->get_lnames()) {
    words += (words.empty() ? "    --" : ", --") + name;
  }
  if (words.empty()) return option->get_type_name();
  if (option->get_items_expected_max() > 0) words += " " + option->get_type_name();
  return words;
}

std::string help_of(const Command& command, const CLI::App& app) {
  HelpPage page;
  page.usage = fmt::format("usage: deciban {} {}", command.name, command.usage);
  page.description = command.description;
  for (const CLI::Option* option : app.get_options()) {
    const std::string& title = option->get_group();
    if (title.empty()) continue;
    auto group = std::find_if(page.groups.begin(), page.groups.end(),
                              [&](const HelpGroup& g) { return g.title == title; });
    if (group == page.groups.end()) group = page.groups.insert(page.groups.end(), {title, {}});
    group->entries.push_back({words_of(option), option->get_description()});
  }
  // What every command has comes last.
  std::stable_partition(page.groups.begin(), page.groups.end(),
                        [](const HelpGroup& g) { return g.title != "everywhere"; });
  page.examples = command.examples;
  return render(page);
}

// Of all commands, or of those that begin with a word.
std::string overview(std::span<const Command> commands, const std::string& first = "") {
  HelpPage page;
  page.usage = first.empty() ? "usage: deciban COMMAND [OPTION…]"
                             : fmt::format("usage: deciban {} COMMAND [OPTION…]", first);
  page.description =
      "Measures language models by the log-probabilities they give to real texts: bits per byte, with their "
      "uncertainty, beside xz, zstd, brotli and bzip2.";
  HelpGroup group{"commands", {}};
  for (const Command& command : commands) {
    if (!command.hidden && (first.empty() || command.name.starts_with(first + " ")))
      group.entries.push_back({command.name, command.description});
  }
  page.groups = {group};
  if (!first.empty()) {
    page.description.clear();
    page.examples = {fmt::format("deciban {} --help", group.entries.front().words)};
    return render(page);
  }
  page.groups.push_back({"everywhere",
                         {{"-h, --help", "of deciban, or of a command: deciban eval --help"},
                          {"    --version", "version and commit"}}});
  page.examples = {"deciban eval -m rwkv7.pth -c texts.json        score texts with a model",
                   "deciban eval -m random:rwkv7-0.1b -c texts/     without weights, for its speed",
                   "deciban info rwkv7.pth                          what is in a checkpoint"};
  return render(page);
}

std::vector<std::string> flags_of(const CLI::App& app) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
    for (const std::string& name : option->get_snames()) flags.push_back("-" + name);
  }
  return flags;
}

void parse(CLI::App& app, std::vector<std::string> words) {
  std::reverse(words.begin(), words.end());  // CLI11 takes them from the back
  try {
    app.parse(std::move(words));
  } catch (const CLI::ExtrasError&) {
    std::string word = app.remaining().front();
    for (const std::string& extra : app.remaining()) {
      if (extra.starts_with("-")) {
        word = extra.substr(0, extra.find('='));
        break;
      }
    }
    if (!word.starts_with("-")) throw UsageError(fmt::format("unexpected '{}'", word));
    throw UsageError(fmt::format("unknown option '{}'{}", word, did_you_mean(word, flags_of(app))));
  } catch (const CLI::CallForHelp&) {
    throw;
  } catch (const CLI::ParseError& error) {
    throw UsageError(error.what());
  }
}

// The command that the words begin with, of two words if there is such a one; null if there is none.
const Command* find_command(std::span<const Command> commands, std::span<const std::string> words) {
  const Command* found = nullptr;
  for (const Command& command : commands) {
    if (words.empty()) break;
    if (words.size() > 1 && command.name == words[0] + " " + words[1]) return &command;
    if (command.name == words[0]) found = &command;
  }
  return found;
}

bool is_help(const std::string& word) { return word == "-h" || word == "--help" || word == "help"; }

// Nothing was named that is a command: what did they mean?
[[noreturn]] void refuse(std::span<const Command> commands, std::span<const std::string> words, bool group) {
  std::vector<std::string> names;
  for (const Command& command : commands) {
    if (!command.hidden) names.push_back(command.name);
  }
  const std::string typed = group ? words[0] + " " + words[1] : words[0];
  throw UsageError(fmt::format("unknown {} '{}'{}", typed.starts_with("-") ? "option" : "command", typed,
                               did_you_mean(typed, names)));
}

int run_command(const std::vector<std::string>& typed) {
  const std::vector<Command> commands = command_table(typed);
  std::span<const std::string> words = std::span(typed).subspan(1);
  if (words.empty()) {
    std::cerr << overview(commands);
    return kUsage;
  }
  if (words[0] == "--version") {
    std::cout << fmt::format("deciban {} ({})\n", DECIBAN_VERSION, DECIBAN_COMMIT);
    return kDone;
  }
  const bool asks_help = is_help(words[0]);
  if (asks_help) words = words.subspan(1);
  if (words.empty()) {
    std::cout << overview(commands);
    return kDone;
  }
  const Command* command = find_command(commands, words);
  if (!command) {
    const bool group = std::any_of(commands.begin(), commands.end(),
                                   [&](const Command& c) { return c.name.starts_with(words[0] + " "); });
    if (!group || (words.size() > 1 && !is_help(words[1]))) refuse(commands, words, group);
    const bool wanted = asks_help || words.size() > 1;
    (wanted ? std::cout : std::cerr) << overview(commands, words[0]);
    return wanted ? kDone : kUsage;
  }
  CommonOptions common;
  CLI::App app(command->description, command->name);
  command->add_options(app);
  add_common(app, common);
  if (asks_help) {
    std::cout << help_of(*command, app);
    return kDone;
  }
  words = words.subspan(command->name.find(' ') == std::string::npos ? 1 : 2);
  try {
    parse(app, {words.begin(), words.end()});
  } catch (const CLI::CallForHelp&) {
    std::cout << help_of(*command, app);
    return kDone;
  } catch (const UsageError& error) {
    throw UsageError(fmt::format("{} (deciban {} --help shows what there is)", error.what(), command->name));
  }
  return command->run(Console(common));
}

}  // namespace
}  // namespace deciban

int main(int argc, char** argv) {
  using namespace deciban;
  // Before options are read nothing is known of colours but what the environment says.
  const Console console{CommonOptions{}};
  try {
    return run_command({argv, argv + argc});
  } catch (const UsageError& error) {
    console.error(error.what());
    return kUsage;
  } catch (const std::invalid_argument& error) {
    console.error(error.what());
    return kUsage;
  } catch (const std::bad_alloc&) {
    console.error("not enough memory");
    return kFailed;
  } catch (const std::exception& error) {
    console.error(error.what());
    return kFailed;
  }
}

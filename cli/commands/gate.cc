#include "cli/gate.h"

#include <iostream>
#include <memory>

#include "bench/gate_worker.h"
#include "cli/commands/command.h"
#include "cli/help_page.h"

namespace deciban {
namespace {

void add_output(CLI::App& app, GateOutput& output) {
  const std::string group = "for CI";
  app.add_option("--junit", output.junit, "write the checks as JUnit XML")->type_name("FILE")->group(group);
  app.add_option("--summary", output.summary, "write counts and tables as Markdown")
      ->type_name("FILE")
      ->group(group);
  app.add_flag("--github-summary", output.github_summary, "append them to $GITHUB_STEP_SUMMARY")
      ->group(group);
  app.add_option("--annotations", output.annotations, "github: each failed check as a workflow command; none")
      ->type_name("WHICH")
      ->group(group);
}

void add_speed(CLI::App& app, GateSpeedOptions& speed) {
  app.add_option("--cases", speed.cases, "only cases whose names match, like 'linear 64x.* bf16'")
      ->type_name("REGEX")
      ->group("what");
  app.add_option("--isa", speed.isa, "kernel tables: avx2,avx512 … or all; default: the best of this CPU")
      ->delimiter(',')
      ->type_name("LIST")
      ->group("what");
  app.add_option("--device", speed.device, "cpu or cuda:N")->type_name("DEVICE")->group("what");
  app.add_option("--threads", speed.threads, "that compute a case; default 1, by its processor time")
      ->type_name("N")
      ->group("what");
  app.add_option("--rounds", speed.rounds, "new processes and one sample of each case a round; default 30")
      ->type_name("N")
      ->group("how sure");
  app.add_option("--min-effect", speed.effect, "differences up to N % do not matter; default 5")
      ->type_name("N")
      ->group("how sure");
  app.add_option("--false-alarms", speed.alarms,
                 "in at most N % of runs of unchanged code any case is called slower; default 1")
      ->type_name("N")
      ->group("how sure");
  app.add_option("--batch-time", speed.batch_milliseconds,
                 "a batch of calls takes N ms at least; default 0.5")
      ->type_name("N")
      ->group("how sure");
  app.add_option("--seed", speed.seed, "of the random orders")->type_name("N")->group("how sure");
  app.add_option("--samples", speed.samples, "write the timings to DIR as Google Benchmark JSON")
      ->type_name("DIR")
      ->group("how sure");
}

Command ab_command() {
  const auto options = std::make_shared<GateAbOptions>();
  Command command;
  command.name = "gate ab";
  command.description =
      "is the new slower than the old? two builds of deciban that take turns on this machine, or two files "
      "of "
      "Google Benchmark JSON with repetitions; exit code 4 only if a case is slower beyond doubt";
  command.usage = "OLD NEW [OPTION…]";
  command.examples = {"deciban gate ab base/bin/deciban head/bin/deciban",
                      "deciban gate ab old/deciban new/deciban --cases 'linear|head' --rounds 20",
                      "deciban gate ab old.json new.json --junit speed.xml"};
  command.add_options = [options](CLI::App& app) {
    app.add_option("old", options->before, "the program, or its timings, before the change")
        ->type_name("OLD")
        ->group("what");
    app.add_option("new", options->after, "the same after it")->type_name("NEW")->group("what");
    add_speed(app, options->speed);
    add_output(app, options->output);
  };
  command.run = [options](const Console& console) { return gate_ab(*options, console); };
  return command;
}

Command measure_command() {
  const auto threads = std::make_shared<int>(1);
  Command command;
  command.name = "gate measure-case";
  command.hidden = true;
  command.description = "answers another build's gate: a line of JSON for each line of JSON";
  command.usage = "[--threads N]";
  command.examples = {R"(echo '{"hello": 1}' | deciban gate measure-case)"};
  command.add_options = [threads](CLI::App& app) {
    app.add_option("--threads", *threads, "that compute a case")
        ->check(CLI::Range(1, 1024))
        ->type_name("N")
        ->group("what");
  };
  command.run = [threads](const Console&) {
    answer_timings(std::cin, std::cout, *threads);
    return static_cast<int>(kDone);
  };
  return command;
}

}  // namespace

std::vector<Command> gate_commands() { return {ab_command(), measure_command()}; }

}  // namespace deciban

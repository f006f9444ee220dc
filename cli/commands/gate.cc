#include "cli/gate.h"

#include <iostream>
#include <memory>

#include "bench/gate_worker.h"
#include "cli/commands/command.h"
#include "cli/gate_models.h"
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
  app.add_option("--history", output.history,
                 "keep what was found in DIR/gates.jsonl, for deciban report and compare")
      ->type_name("DIR")
      ->group(group);
  app.add_option("--annotations", output.annotations, "github: each failed check as a workflow command; none")
      ->type_name("WHICH")
      ->group(group);
}

// Baselines are the CPU's and keep their own samples.
void add_speed(CLI::App& app, GateSpeedOptions& speed, bool builds) {
  app.add_option("--cases", speed.cases, "only cases whose names match, like 'linear 64x.* bf16'")
      ->type_name("REGEX")
      ->group("what");
  app.add_option("--isa", speed.isa, "kernel tables: avx2,avx512 … or all; default: the best of this CPU")
      ->delimiter(',')
      ->type_name("LIST")
      ->group("what");
  if (builds) app.add_option("--device", speed.device, "cpu or cuda:N")->type_name("DEVICE")->group("what");
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
  if (!builds) return;
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
    add_speed(app, options->speed, true);
    add_output(app, options->output);
  };
  command.run = [options](const Console& console) { return gate_ab(*options, console); };
  return command;
}

Command record_command() {
  const auto options = std::make_shared<GateBaselineOptions>();
  Command command;
  command.name = "gate record";
  command.description =
      "time this build's kernels as a share of this machine's roofline, as a baseline for gate check";
  command.usage = "BASELINE.json [OPTION…]";
  command.examples = {"deciban gate record baseline.json",
                      "deciban gate record baseline.json --isa all --replace"};
  command.add_options = [options](CLI::App& app) {
    app.add_option("baseline", options->file, "the file to write")->type_name("BASELINE")->group("what");
    app.add_flag("--replace", options->replace, "overwrite it if it is there")->group("what");
    add_speed(app, options->speed, false);
  };
  command.run = [options](const Console& console) { return gate_record(*options, console); };
  return command;
}

Command check_command() {
  const auto options = std::make_shared<GateBaselineOptions>();
  Command command;
  command.name = "gate check";
  command.description =
      "have kernels become slower than a baseline, relative to the machine's roofline? one of another "
      "machine only "
      "flags more than 30 %; exit code 4 only on evidence";
  command.usage = "BASELINE.json [OPTION…]";
  command.examples = {"deciban gate check baseline.json",
                      "deciban gate check baseline.json --cases wkv --junit speed.xml"};
  command.add_options = [options](CLI::App& app) {
    app.add_option("baseline", options->file, "what gate record wrote")->type_name("BASELINE")->group("what");
    add_speed(app, options->speed, false);
    add_output(app, options->output);
  };
  command.run = [options](const Console& console) { return gate_check(*options, console); };
  return command;
}

Command correctness_command() {
  const auto options = std::make_shared<GateCorrectnessOptions>();
  Command command;
  command.name = "gate correctness";
  command.description =
      "are kernels right? every operation's cases against float64, and two trained models: one token at a "
      "time, "
      "chunks, companions, bits per byte against stored values; exit code 4 if something is wrong";
  command.usage = "[OPTION…]";
  command.examples = {"deciban gate correctness", "deciban gate correctness --device cuda --junit right.xml",
                      "deciban gate correctness --cases wkv7 --no-models --isa avx2"};
  command.add_options = [options](CLI::App& app) {
    app.add_option("--cases", options->cases, "only operations' cases whose names match")
        ->type_name("REGEX")
        ->group("what");
    app.add_option("--isa", options->isa, "kernel tables: avx2,avx512 …; default: all of this CPU")
        ->delimiter(',')
        ->type_name("LIST")
        ->group("what");
    app.add_option("--device", options->device, "cpu or cuda:N")->type_name("DEVICE")->group("what");
    app.add_flag("--deterministic", options->deterministic, "a card's deterministic kernels")->group("what");
    app.add_option("--mode", options->modes, "numeric modes of the models; default: all that are computed")
        ->delimiter(',')
        ->type_name("LIST")
        ->group("what");
    app.add_option("--models", options->models, "the folder datasets/demo, where it is not found")
        ->type_name("DIR")
        ->group("what");
    app.add_flag("--no-operations", options->no_operations, "only the models")->group("what");
    app.add_flag("--no-models", options->no_models, "only the operations")->group("what");
    app.add_flag("--store", options->store,
                 "write the models' values, after a change that is meant to move them")
        ->group("what");
    add_output(app, options->output);
  };
  command.run = [options](const Console& console) { return gate_correctness(*options, console); };
  return command;
}

Command kl_command() {
  const auto options = std::make_shared<GateKlOptions>();
  Command command;
  command.name = "gate kl";
  command.description =
      "how far apart are two models, or two modes of one, token by token? KL(REF || OTHER), and how often "
      "they name "
      "the same best token; no logits are kept";
  command.usage = "REF [OTHER] -c CORPUS… [OPTION…]";
  command.examples = {"deciban gate kl rwkv7.pth --mode int8 -c texts/",
                      "deciban gate kl old.pth new.pth -c dev.json --max-mean 1e-3"};
  command.add_options = [options](CLI::App& app) {
    app.add_option("reference", options->reference, "the model that is taken for right")
        ->type_name("REF")
        ->group("what");
    app.add_option("other", options->other, "another with the same tokens; default: REF")
        ->type_name("OTHER")
        ->group("what");
    app.add_option("-c,--corpus", options->corpora,
                   "JSON list of texts, JSON Lines, folder of texts, or a text")
        ->type_name("CORPUS…")
        ->group("what");
    app.add_option("--limit", options->limit, "only the first N documents of each corpus")
        ->type_name("N")
        ->group("what");
    app.add_option("--mode", options->mode, "OTHER's numbers: f32, bf16, int8 …")
        ->type_name("MODE")
        ->group("models");
    app.add_option("--reference-mode", options->reference_mode, "REF's; default f32")
        ->type_name("MODE")
        ->group("models");
    app.add_option("--device", options->device, "OTHER's: cpu, cuda:N, auto")
        ->type_name("DEVICE")
        ->group("models");
    app.add_option("--reference-device", options->reference_device, "REF's")
        ->type_name("DEVICE")
        ->group("models");
    app.add_option("--tokenizer", options->tokenizer, "vocabulary or tokenizer.json")
        ->type_name("FILE")
        ->group("models");
    app.add_option("--threads", options->threads, "of each; 0: all that the process may use")
        ->type_name("N")
        ->group("models");
    app.add_option("--window", options->window, "how texts are cut, as in deciban eval; default whole")
        ->type_name("WINDOW")
        ->group("models");
    app.add_option("--start", options->start, "bos, none or a token's id")
        ->type_name("START")
        ->group("models");
    const std::string bars = "bars";
    app.add_option("--max-mean", options->max_mean, "fail if the mean KL is above X nats beyond its interval")
        ->type_name("X")
        ->group(bars);
    app.add_option("--max-p99", options->max_p99, "fail if the 99th percentile is above X nats")
        ->type_name("X")
        ->group(bars);
    app.add_option("--min-agreement", options->min_agreement,
                   "fail if fewer than N % name the same best token")
        ->type_name("N")
        ->group(bars);
    add_output(app, options->output);
  };
  command.run = [options](const Console& console) { return gate_kl(*options, console); };
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

std::vector<Command> gate_commands() {
  return {ab_command(),          record_command(), check_command(),
          correctness_command(), kl_command(),     measure_command()};
}

}  // namespace deciban

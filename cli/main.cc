// deciban: words to calls, exceptions to messages and exit codes.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <functional>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "cli/bench.h"
#include "cli/bench_context.h"
#include "cli/bench_mixers.h"
#include "cli/compress.h"
#include "cli/console.h"
#include "cli/eval.h"
#include "cli/fetch.h"
#include "cli/help_page.h"
#include "cli/info.h"
#include "cli/suggest.h"
#include "cli/verify_published.h"
#include "datasets/sources.h"
#include "deciban_version.h"
#include "evals/tasks.h"

namespace deciban {
namespace {

// What the user typed wrong: becomes exit code 2 with a hint at --help.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Command {
  CLI::App* app = nullptr;
  std::string usage;
  std::vector<std::string> examples;
  std::function<int(const Console&)> run;
};

struct Arguments {
  CommonOptions common;
  EvalOptions eval;
  ModelOptions info_model;
  VerifyOptions verify;
  std::vector<std::string> subjects;
  FetchOptions fetch;
  BenchOptions bench;
  ContextOptions context;
  BenchMixersOptions mixers;
  CompressOptions compress;
};

void add_common(CLI::App* app, CommonOptions& common) {
  const std::string group = "everywhere";
  app->add_option("--format", common.format, "table, md, csv, json or jsonl")
      ->type_name("FORMAT")
      ->group(group);
  app->add_option("--export", common.export_file, "also write the table to FILE (.md .csv .json .jsonl)")
      ->type_name("FILE")
      ->group(group);
  app->add_option("--color", common.color, "auto, always or never")->type_name("WHEN")->group(group);
  app->add_flag("-q,--quiet", common.quiet, "only results, warnings and errors")->group(group);
  app->add_flag("-v,--verbose", common.verbose, "say more on the way")->group(group);
  app->set_help_flag("-h,--help", "this text")->group(group);
}

void add_model_options(CLI::App* app, std::string& device, std::string& mode, std::string& tokenizer,
                       int& threads) {
  const std::string group = "model";
  app->add_option("--device", device,
                  "cpu, cuda, cuda:0,1 (a copy of the model a card), auto: cuda if it is there")
      ->type_name("DEVICE")
      ->group(group);
  app->add_option(
         "--mode", mode,
         "numbers of weights and activations: auto, f32, bf16 (bf16 weights), bf16a (both), f16, f16a, "
         "int8, int8a (both), w8a16, fp8; not every device computes in each")
      ->type_name("MODE")
      ->group(group);
  app->add_option("--tokenizer", tokenizer, "vocabulary or tokenizer.json; auto looks beside the model")
      ->type_name("FILE")
      ->group(group);
  app->add_option("--threads", threads, "0: all that the process may use")->type_name("N")->group(group);
}

// "compression: bits of whole documents; …"
std::string task_words() {
  std::string words;
  for (const TaskEntry& task : task_table())
    words += fmt::format("{}{}: {}", words.empty() ? "" : "; ", task.name, task.what);
  return words;
}

void add_eval(CLI::App* app, EvalOptions& options) {
  app->add_option("-m,--model", options.models,
                  "checkpoint (.pth, .safetensors, folder …) or random:rwkv7-0.1b")
      ->type_name("MODEL…")
      ->group("what");
  app->add_option("-c,--corpus", options.corpora,
                  "JSON list of texts, JSON Lines, folder of texts, or a text")
      ->type_name("CORPUS…")
      ->group("what");
  app->add_option("-t,--task", options.tasks, task_words())->delimiter(',')->type_name("TASK")->group("what");
  app->add_option("-o,--output", options.output,
                  "directory of the records; a run that is there is gone on with (default runs/DATE-MODEL)")
      ->type_name("DIR")
      ->group("what");
  app->add_option("--label", options.labels, "name of each model in table and records")
      ->type_name("NAME…")
      ->group("what");
  add_model_options(app, options.device, options.mode, options.tokenizer, options.threads);
  app->add_option("--batch", options.batch, "tokens computed together: auto or a number")
      ->type_name("TOKENS")
      ->group("model");
  app->add_flag("--deterministic", options.deterministic,
                "on a card too, results depend on nothing that is computed beside them; slower")
      ->group("model");
  app->add_option(
         "--window", options.window,
         "whole, tokens:N[:OVERLAP], bytes:N[:OVERLAP], uncheatable:N, uncheatable2:N; auto: whole where "
         "the model can")
      ->type_name("WINDOW")
      ->group("how");
  app->add_option("--start", options.start,
                  "what a text follows: bos (the model's separator), none or a token's id")
      ->type_name("START")
      ->group("how");
  app->add_option("--characters", options.characters,
                  "task uncheatable: texts of more than LEAST, of these the first MOST")
      ->type_name("LEAST:MOST")
      ->group("how");
  app->add_option("--cutoff", options.cutoff,
                  "texts until this month or day are shown apart, since models may have read them; auto: as "
                  "known of the models; none")
      ->type_name("DATE")
      ->group("how");
  app->add_option("--by", options.by, "month: a row for each month in which texts were submitted")
      ->type_name("month")
      ->group("how");
  app->add_option("--limit", options.limit, "only the first N or N% of each corpus")
      ->type_name("N")
      ->group("how");
  app->add_option("--shard", options.shard, "the I-th of N parts; auto asks Slurm, OpenMPI and PMI; off")
      ->type_name("I/N")
      ->group("how");
  app->add_option("--seed", options.seed, "of all that is drawn at random")->type_name("N")->group("how");
  app->add_flag("--token-scores", options.token_scores, "keep every token's score in DIR/scores.bin")
      ->group("how");
  app->add_option("--verify", options.verify,
                  "also really compress and decompress the first N or N% documents, or all, and compare with "
                  "the claim")
      ->type_name("N")
      ->group("how");
  app->add_flag("--no-compressors", options.no_compressors, "leave out the rows of xz and zstd")
      ->group("how");
  app->add_flag("--dry-run", options.dry_run, "only read, tokenise and count")->group("how");
}

void add_fetch(CLI::App* app, FetchOptions& options) {
  const auto word = [&](const char* names, std::string& value, const char* what, const char* type,
                        const char* group) {
    app->add_option(names, value, what)->type_name(type)->group(group);
  };
  std::string sources;
  for (const Source& source : kSources)
    sources += fmt::format("{}{}: {}", sources.empty() ? "" : "; ", source.shape, source.what);
  app->add_option("source", options.source, sources)->type_name("SOURCE")->group("what");
  word("-o,--output", options.output,
       "where to put it; beside it FILE's manifest and, while it runs, FILE.part", "FILE", "what");
  word("--from-manifest", options.manifest, "make the corpus of this manifest again", "FILE", "what");
  app->add_flag("--publish", options.publish,
                "also write the edition that may be passed on: texts under open licences, of others ids, "
                "hashes and offsets")
      ->group("what");
  word("--from", options.from, "first day of submission or creation, or a month (2026-10)", "DATE",
       "which documents");
  word("--to", options.to, "last day, included; default: the end of --from's month", "DATE",
       "which documents");
  app->add_option("-n,--count", options.count,
                  "documents to draw; default 100, of the hub all (else N of each split)")
      ->type_name("N")
      ->group("which documents");
  app->add_option("--seed", options.seed, "decides which ones; default 1")
      ->type_name("N")
      ->group("which documents");
  app->add_option("--min-chars", options.min_characters,
                  "shorter texts are dropped; default 2000, of Wikipedia 1000")
      ->type_name("N")
      ->group("which documents");
  app->add_option("--category", options.categories,
                  "categories (cs.CL) or archives (math) of arXiv, equal shares of each")
      ->delimiter(',')
      ->type_name("NAME,…")
      ->group("arxiv");
  word("--licence", options.licence, "any (default), or open: CC0, CC BY, CC BY-SA", "WHICH", "arxiv");
  word("--text", options.text, "from html, source, or auto: HTML, else source (default)", "FORM", "arxiv");
  word("--math", options.math, "tex keeps it as TeX (default), drop leaves it out, token puts [MATH]", "HOW",
       "arxiv");
  app->add_flag("--cross-lists", options.cross_lists, "also papers whose main category is another")
      ->group("arxiv");
  word("--config", options.config, "only this configuration of the data set", "NAME", "hub");
  word("--split", options.split, "only this split", "NAME", "hub");
  word("--column", options.column, "where the text is; default: text, else content", "NAME", "hub");
  word("--file", options.file, "instead of rows this file of the data set", "PATH", "hub");
  word("--revision", options.revision, "branch, tag or commit of --file", "NAME", "hub");
  word("--sha256", options.digest, "that --file must have", "HEX", "hub");
  word("--contact", options.contact,
       "your e-mail address or page, for the servers' operators; or set DECIBAN_CONTACT", "ADDRESS",
       "network");
  app->add_option("--interval", options.interval,
                  "between requests; arXiv's own servers never get less than 3")
      ->type_name("SECONDS")
      ->group("network");
  std::string names;
  for (const auto& server : kServers) names += fmt::format("{}{}", names.empty() ? "" : ", ", server.name);
  app->add_option("--server", options.servers, "another address, for mirrors: " + names)
      ->type_name("NAME=URL")
      ->group("network");
}

void add_bench(CLI::App* app, BenchOptions& options) {
  app->add_option("-m,--model", options.models, "checkpoint, random:rwkv7-0.1b, plugin:…")
      ->type_name("MODEL…")
      ->group("what");
  app->add_option("-p,--lengths", options.lengths,
                  "lengths T in tokens: 256,1k,8k or 256..64k (doubling); default 256..4096")
      ->type_name("LIST")
      ->group("what");
  app->add_option("-n,--generate", options.generate,
                  "where T <= N, also time the generation of the first T tokens; default 1024")
      ->type_name("N")
      ->group("what");
  app->add_option("--batch", options.batches, "sequences side by side; default 1")
      ->type_name("LIST")
      ->group("what");
  app->add_option("--preset", options.preset,
                  "rwkv-paper: the paper's cost figures on 160 M shapes; rwkv-paper-1.5b, rwkv-paper-3b")
      ->type_name("NAME")
      ->group("what");
  app->add_option("-o,--output", options.output,
                  "directory of costs.jsonl; a sweep that is there is gone on with (default runs/bench-DATE)")
      ->type_name("DIR")
      ->group("what");
  app->add_option("--label", options.labels, "name of each model in table and points")
      ->type_name("NAME…")
      ->group("what");
  add_model_options(app, options.device, options.mode, options.tokenizer, options.threads);
  app->add_flag("--deterministic", options.deterministic,
                "a card's slower kernels that do not depend on the batch")
      ->group("model");
  app->add_option("--min-runs", options.least_runs, "of each measurement; default 5")
      ->type_name("N")
      ->group("how well");
  app->add_option("--min-time", options.least_seconds, "measured altogether; default 0.3")
      ->type_name("SECONDS")
      ->group("how well");
  app->add_option("--noise", options.noise, "measure until the median is known to ±N %; default 3")
      ->type_name("N")
      ->group("how well");
  app->add_option("--time-limit", options.limit_seconds, "of a point, whatever its noise; default 60")
      ->type_name("SECONDS")
      ->group("how well");
  app->add_option("--seed", options.seed, "of the redrawn values that laws are chosen with")
      ->type_name("N")
      ->group("how well");
  app->add_flag("--point", options.point)->group("");  // the child process that measures one point
}

void add_bench_mixers(CLI::App* app, BenchMixersOptions& options) {
  const auto word = [&](const std::string& flag, auto& value, const std::string& what, const char* type,
                        const char* group) {
    return app->add_option(flag, value, what)->type_name(type)->group(group);
  };
  word("-p,--lengths", options.lengths,
       "lengths T in tokens: 256,1k,8k or 256..16k (doubling); default 256..4096", "LIST", "what");
  word("--width", options.widths, "channels d, multiples of 64; default 64,256", "LIST", "what");
  word("--only", options.only,
       "attention, reformer, performer, linear, aft-full, aft-local, mega, hyena, rwkv4, rwkv7; default all",
       "NAME,…", "what")
      ->delimiter(',');
  word("-o,--output", options.output,
       "directory of costs.jsonl; a sweep that is there is gone on with (default runs/mixers-DATE)", "DIR",
       "what");
  word("--min-runs", options.least_runs, "of each measurement; default 3", "N", "how well");
  word("--min-time", options.least_seconds, "measured altogether; default 0.1", "SECONDS", "how well");
  word("--noise", options.noise, "measure until the median is known to ±N %; default 5", "N", "how well");
  word("--time-limit", options.limit_seconds,
       "that one run may take; repeats end after a tenth of it; default 20", "SECONDS", "how well");
  word("--seed", options.seed, "of the redrawn values that laws are chosen with", "N", "how well");
}

void add_bench_context(CLI::App* app, ContextOptions& options) {
  const auto word = [&](const char* names, auto& value, const char* what, const char* type,
                        const char* group) {
    app->add_option(names, value, what)->type_name(type)->group(group);
  };
  word("-m,--model", options.models, "checkpoint, random:rwkv7-0.1b, plugin:…", "MODEL…", "what");
  word("-c,--corpus", options.corpora, "long texts: JSON Lines, folder of texts, or a text", "CORPUS…",
       "what");
  app->add_flag("--recall", options.recall, "also synthetic texts that tell names' numbers and ask for one")
      ->group("what");
  word("--contexts", options.contexts, "bytes before the target; default 0,1k,2k,…,64k", "LIST", "what");
  word("--target", options.target, "last bytes of each document that are scored; default 1024", "BYTES",
       "what");
  word("--pairs", options.pairs, "names told in a synthetic text; default 1,4,16", "LIST", "what");
  word("--recall-documents", options.recall_documents, "of each length and number of pairs; default 50", "N",
       "what");
  word("-o,--output", options.output, "directory of records and costs (default runs/context-DATE)", "DIR",
       "what");
  word("--label", options.labels, "name of each model in table and records", "NAME…", "what");
  word("--limit", options.limit, "only the first N or N% of each corpus", "N", "what");
  word("--seed", options.seed, "of all that is drawn at random", "N", "what");
  app->add_flag("--no-costs", options.no_costs, "don't measure what the lengths cost")->group("what");
  add_model_options(app, options.device, options.mode, options.tokenizer, options.threads);
}

void add_compress(CLI::App* app, CompressOptions& options, bool decompress) {
  app->add_option("file", options.input,
                  decompress ? "a .dcb file; - for standard input" : "any file; - for standard input")
      ->type_name("FILE")
      ->group("what");
  app->add_option("-m,--model", options.model,
                  decompress ? "the model that it was compressed with" : "a checkpoint")
      ->type_name("MODEL")
      ->group("what");
  app->add_option("-o,--output", options.output,
                  decompress ? "default: FILE without .dcb" : "default: FILE.dcb")
      ->type_name("FILE")
      ->group("what");
  app->add_flag("--force", options.force, "overwrite the output if it is there")->group("what");
  if (!decompress) {
    app->add_option(
           "--streams", options.streams,
           "segments of at least 10 kB coded in lockstep: faster, each begins without context; auto or N")
        ->type_name("N")
        ->group("what");
    app->add_flag("--no-claim", options.no_claim,
                  "don't score the file once more to see what cutting it cost")
        ->group("what");
  }
  add_model_options(app, options.model_options.device, options.model_options.format,
                    options.model_options.tokenizer, options.model_options.threads);
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

std::string help_of(const Command& command) {
  HelpPage page;
  page.usage = "usage: " + command.usage;
  page.description = command.app->get_description();
  for (const CLI::Option* option : command.app->get_options()) {
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

std::string overview(const std::map<std::string, Command>& commands, const std::vector<std::string>& order) {
  HelpPage page;
  page.usage = "usage: deciban COMMAND [OPTION…]";
  page.description =
      "Measures language models by the log-probabilities they give to real texts: bits per byte, with their "
      "uncertainty, beside xz and zstd.";
  HelpGroup group{"commands", {}};
  for (const std::string& name : order)
    group.entries.push_back({name, commands.at(name).app->get_description()});
  page.groups = {group,
                 {"everywhere",
                  {{"-h, --help", "of deciban, or of a command: deciban eval --help"},
                   {"    --version", "version and commit"}}}};
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

int run_command(int argc, char** argv) {
  Arguments arguments;
  std::map<std::string, Command> commands;
  const std::vector<std::string> order{"eval",       "bench", "bench context", "bench mixers",    "compress",
                                       "decompress", "info",  "fetch",         "verify-published"};
  std::vector<std::unique_ptr<CLI::App>> apps;
  const auto add = [&](const std::string& name, const std::string& description, const std::string& usage,
                       std::vector<std::string> examples) -> Command& {
    apps.push_back(std::make_unique<CLI::App>(description, name));
    commands[name] = {apps.back().get(), "deciban " + name + " " + usage, std::move(examples), {}};
    return commands[name];
  };
  const std::vector<std::string> typed(argv, argv + argc);

  Command& eval_command =
      add("eval", "score texts with models: bits per byte of each", "-m MODEL… -c CORPUS… [OPTION…]",
          {"deciban eval -m rwkv7-0.1b.pth -c arxiv_cs.json -o runs/cs",
           "deciban eval -m new.pth -m old.pth -c texts/ --format md --export result.md",
           "deciban eval --dry-run --tokenizer rwkv_vocab_v20230424.txt -c arxiv_cs.json"});
  add_eval(eval_command.app, arguments.eval);
  eval_command.run = [&](const Console& console) { return eval(arguments.eval, typed, console); };

  Command& bench_command =
      add("bench", "what models cost at each length: time, memory, and how they grow", "-m MODEL… [OPTION…]",
          {"deciban bench -m random:rwkv7-0.1b -m random:rwkv4-169m -p 256..8k",
           "deciban bench -m rwkv7.pth -m llama-1b/ -p 256..64k --batch 1,8 -o runs/cost",
           "deciban bench --preset rwkv-paper --threads 1"});
  add_bench(bench_command.app, arguments.bench);
  bench_command.run = [&](const Console& console) { return bench(arguments.bench, console); };

  Command& mixers_command =
      add("bench mixers", "Table 1 of the RWKV paper, measured: one layer's sequence mixers", "[OPTION…]",
          {"deciban bench mixers", "deciban bench mixers -p 256..16k --width 64,256,1024 -o runs/table1",
           "deciban bench mixers --only attention,rwkv7 -p 1k..32k"});
  add_bench_mixers(mixers_command.app, arguments.mixers);
  mixers_command.run = [&](const Console& console) { return bench_mixers(arguments.mixers, console); };

  Command& context_command =
      add("bench context", "what a longer context buys in bits, beside what it costs",
          "-m MODEL… -c CORPUS… [OPTION…]",
          {"deciban bench context -m rwkv7.pth -c papers.jsonl --contexts 0,1k,4k,16k",
           "deciban bench context -m rwkv7.pth --recall --contexts 1k,4k --pairs 1,16"});
  add_bench_context(context_command.app, arguments.context);
  context_command.run = [&](const Console& console) { return bench_context(arguments.context, console); };

  Command& compress_command =
      add("compress", "compress a file with a model's probabilities", "-m MODEL FILE [OPTION…]",
          {"deciban compress -m rwkv7.pth paper.txt",
           "deciban compress -m rwkv7.pth --streams 1 paper.txt -o small.dcb"});
  add_compress(compress_command.app, arguments.compress, false);
  compress_command.run = [&](const Console& console) { return compress_file(arguments.compress, console); };
  Command& decompress_command = add("decompress", "the file back, bit by bit", "-m MODEL FILE.dcb [OPTION…]",
                                    {"deciban decompress -m rwkv7.pth paper.txt.dcb",
                                     "deciban decompress -m rwkv7.pth small.dcb -o - | less"});
  add_compress(decompress_command.app, arguments.compress, true);
  decompress_command.run = [&](const Console& console) {
    return decompress_file(arguments.compress, console);
  };

  Command& info_command =
      add("info", "describe this machine, a model, a run or a file of token scores", "[SUBJECT…] [OPTION…]",
          {"deciban info", "deciban info rwkv7-0.1b.pth", "deciban info runs/cs/scores.bin | head -n 1"});
  info_command.app
      ->add_option("subject", arguments.subjects, "a model, a directory of records, or a file of either")
      ->type_name("SUBJECT…")
      ->group("what");
  add_model_options(info_command.app, arguments.info_model.device, arguments.info_model.format,
                    arguments.info_model.tokenizer, arguments.info_model.threads);
  info_command.run = [&](const Console& console) {
    return info(arguments.subjects, arguments.info_model, console);
  };

  Command& fetch_command =
      add("fetch", "download texts and what evaluations need; the only command that does",
          "SOURCE|--from-manifest FILE [OPTION…]",
          {"deciban fetch arxiv --category cs.CL,math --from 2026-10 -n 200 \\",
           "              --contact you@example.org -o papers.jsonl",
           "deciban fetch --from-manifest papers.manifest.json -o again.jsonl",
           "deciban fetch hub:Jellyfish042/UncheatableEval-2026-07", "deciban fetch vocab:world"});
  add_fetch(fetch_command.app, arguments.fetch);
  fetch_command.run = [&](const Console& console) { return fetch(arguments.fetch, console); };

  Command& verify_command =
      add("verify-published", "compare with scores that others published", "[-m MODEL… -c CORPUS…] [OPTION…]",
          {"deciban verify-published", "deciban verify-published -m rwkv7-g1g-1.5b.pth -c arxiv_cs.json"});
  verify_command.app->add_option("-m,--model", arguments.verify.models, "a published checkpoint")
      ->type_name("MODEL…")
      ->group("what");
  verify_command.app
      ->add_option("-c,--corpus", arguments.verify.corpora, "a published corpus, or a folder of them")
      ->type_name("CORPUS…")
      ->group("what");
  add_model_options(verify_command.app, arguments.verify.model.device, arguments.verify.model.format,
                    arguments.verify.model.tokenizer, arguments.verify.model.threads);
  verify_command.run = [&](const Console& console) { return verify_published(arguments.verify, console); };
  for (auto& [name, command] : commands) add_common(command.app, arguments.common);

  // The command that the words after the program's name begin with: of two words if there is such a one.
  const auto named = [&](int count, char** words) -> std::string {
    if (count < 2) return {};
    const std::string two = count > 2 ? fmt::format("{} {}", words[1], words[2]) : "";
    return commands.contains(two) ? two : words[1];
  };
  if (argc < 2) {
    std::cerr << overview(commands, order);
    return kUsage;
  }
  const std::string word = argv[1];
  if (word == "--version") {
    std::cout << fmt::format("deciban {} ({})\n", DECIBAN_VERSION, DECIBAN_COMMIT);
    return kDone;
  }
  if (word == "-h" || word == "--help" || word == "help") {
    const auto asked = commands.find(named(argc - 1, argv + 1));
    std::cout << (asked == commands.end() ? overview(commands, order) : help_of(asked->second));
    return kDone;
  }
  const std::string name = named(argc, argv);
  const auto command = commands.find(name);
  if (command == commands.end()) {
    throw UsageError(fmt::format("unknown {} '{}'{}", word.starts_with("-") ? "option" : "command", word,
                                 did_you_mean(word, order)));
  }
  try {
    parse(*command->second.app, {argv + (name == word ? 2 : 3), argv + argc});
  } catch (const CLI::CallForHelp&) {
    std::cout << help_of(command->second);
    return kDone;
  } catch (const UsageError& error) {
    throw UsageError(fmt::format("{} (deciban {} --help shows what there is)", error.what(), name));
  }
  return command->second.run(Console(arguments.common));
}

}  // namespace
}  // namespace deciban

int main(int argc, char** argv) {
  using namespace deciban;
  // Before options are read nothing is known of colours but what the environment says.
  const Console console{CommonOptions{}};
  try {
    return run_command(argc, argv);
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

#include "cli/bench.h"

#include "cli/bench_context.h"
#include "cli/bench_mixers.h"
#include "cli/commands/command.h"

namespace deciban {
namespace {

void add_bench(CLI::App& app, BenchOptions& options) {
  app.add_option("-m,--model", options.models, "checkpoint, random:rwkv7-0.1b, plugin:…")
      ->type_name("MODEL…")
      ->group("what");
  app.add_option("-p,--lengths", options.lengths,
                 "lengths T in tokens: 256,1k,8k or 256..64k (doubling); default 256..4096")
      ->type_name("LIST")
      ->group("what");
  app.add_option("-n,--generate", options.generate,
                 "where T <= N, also time the generation of the first T tokens; default 1024")
      ->type_name("N")
      ->group("what");
  app.add_option("--batch", options.batches, "sequences side by side; default 1")
      ->type_name("LIST")
      ->group("what");
  app.add_option("--preset", options.preset,
                 "rwkv-paper: the paper's cost figures on 160 M shapes; rwkv-paper-1.5b, rwkv-paper-3b")
      ->type_name("NAME")
      ->group("what");
  app.add_option("-o,--output", options.output,
                 "directory of costs.jsonl; a sweep that is there is gone on with (default runs/bench-DATE)")
      ->type_name("DIR")
      ->group("what");
  app.add_option("--label", options.labels, "name of each model in table and points")
      ->type_name("NAME…")
      ->group("what");
  add_model_options(app, options.device, options.mode, options.tokenizer, options.threads);
  app.add_flag("--deterministic", options.deterministic,
               "a card's slower kernels that do not depend on the batch")
      ->group("model");
  app.add_option("--min-runs", options.least_runs, "of each measurement; default 5")
      ->type_name("N")
      ->group("how well");
  app.add_option("--min-time", options.least_seconds, "measured altogether; default 0.3")
      ->type_name("SECONDS")
      ->group("how well");
  app.add_option("--noise", options.noise, "measure until the median is known to ±N %; default 3")
      ->type_name("N")
      ->group("how well");
  app.add_option("--time-limit", options.limit_seconds, "of a point, whatever its noise; default 60")
      ->type_name("SECONDS")
      ->group("how well");
  app.add_option("--seed", options.seed, "of the redrawn values that laws are chosen with")
      ->type_name("N")
      ->group("how well");
  app.add_flag("--point", options.point)->group("");  // the child process that measures one point
}

void add_bench_context(CLI::App& app, ContextOptions& options) {
  const auto word = [&](const char* names, auto& value, const char* what, const char* type,
                        const char* group) {
    app.add_option(names, value, what)->type_name(type)->group(group);
  };
  word("-m,--model", options.models, "checkpoint, random:rwkv7-0.1b, plugin:…", "MODEL…", "what");
  word("-c,--corpus", options.corpora, "long texts: JSON Lines, folder of texts, or a text", "CORPUS…",
       "what");
  app.add_flag("--recall", options.recall, "also synthetic texts that tell names' numbers and ask for one")
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
  app.add_flag("--no-costs", options.no_costs, "don't measure what the lengths cost")->group("what");
  add_model_options(app, options.device, options.mode, options.tokenizer, options.threads);
}

void add_bench_mixers(CLI::App& app, BenchMixersOptions& options) {
  const auto word = [&](const std::string& flag, auto& value, const std::string& what, const char* type,
                        const char* group) {
    return app.add_option(flag, value, what)->type_name(type)->group(group);
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

}  // namespace

Command bench_command() {
  return make_command<BenchOptions>(
      "bench", "what models cost at each length: time, memory, and how they grow", "-m MODEL… [OPTION…]",
      {"deciban bench -m random:rwkv7-0.1b -m random:rwkv4-169m -p 256..8k",
       "deciban bench -m rwkv7.pth -m llama-1b/ -p 256..64k --batch 1,8 -o runs/cost",
       "deciban bench --preset rwkv-paper --threads 1"},
      add_bench, [](const BenchOptions& options, const Console& console) { return bench(options, console); });
}

Command bench_context_command() {
  return make_command<ContextOptions>(
      "bench context", "what a longer context buys in bits, beside what it costs",
      "-m MODEL… -c CORPUS… [OPTION…]",
      {"deciban bench context -m rwkv7.pth -c papers.jsonl --contexts 0,1k,4k,16k",
       "deciban bench context -m rwkv7.pth --recall --contexts 1k,4k --pairs 1,16"},
      add_bench_context,
      [](const ContextOptions& options, const Console& console) { return bench_context(options, console); });
}

Command bench_mixers_command() {
  return make_command<BenchMixersOptions>(
      "bench mixers", "Table 1 of the RWKV paper, measured: one layer's sequence mixers", "[OPTION…]",
      {"deciban bench mixers", "deciban bench mixers -p 256..16k --width 64,256,1024 -o runs/table1",
       "deciban bench mixers --only attention,rwkv7 -p 1k..32k"},
      add_bench_mixers, [](const BenchMixersOptions& options, const Console& console) {
        return bench_mixers(options, console);
      });
}

}  // namespace deciban

#include "cli/report.h"

#include "cli/commands/command.h"
#include "cli/compare.h"
#include "cli/import.h"

namespace deciban {
namespace {

void add_compare(CLI::App& app, CompareOptions& options) {
  app.add_option("side", options.sides, "base, then new: each a run's directory or records, or RUN:MODEL")
      ->type_name("BASE NEW")
      ->group("what");
  app.add_option("-t,--task", options.task, "only this task; default: all that both have")
      ->type_name("TASK")
      ->group("what");
  app.add_option(
         "--same-within", options.same_within,
         "differences below this share of the base are none that matter; default 0.5%, 0: never say same")
      ->type_name("SHARE")
      ->group("how");
  app.add_option(
         "--fail-if", options.fail_if,
         "exit with 4 if the new one is worse; if that is unclear, too; or if it is different (not shown to "
         "be the same)")
      ->type_name("WORD")
      ->group("how");
  app.add_flag("--across", options.across, "compare even where windows or start tokens differ")->group("how");
  app.add_option("--seed", options.seed, "of the resamples")->type_name("N")->group("how");
}

void add_report(CLI::App& app, ReportCommand& options) {
  app.add_option("run", options.runs, "directories of runs, directories of such, or files of records")
      ->type_name("DIR…")
      ->group("what");
  app.add_option("-o,--output", options.output, "the page, PAGE.html; without it a table is printed")
      ->type_name("PAGE")
      ->group("what");
  app.add_option("--table", options.table, "what is printed: leaderboard (default), sources or tasks")
      ->type_name("NAME")
      ->group("what");
  app.add_option("--title", options.title, "the page's heading")->type_name("TEXT")->group("page");
  app.add_option(
         "-c,--corpus", options.corpora,
         "texts of the runs, checked by SHA-256: with token scores, passages are shown coloured by surprise")
      ->type_name("CORPUS…")
      ->group("page");
  app.add_option("--document", options.documents,
                 "show these documents' passages; default: three that differ most")
      ->type_name("ID…")
      ->group("page");
  app.add_option("--published", options.published,
                 "set beside published figures, in grey: a name, a file, or all")
      ->type_name("NAME…")
      ->group("page");
  app.add_flag("--list-published", options.list_published, "show which there are")->group("page");
  app.add_option("--seed", options.seed, "of the resamples")->type_name("N")->group("how");
}

void add_import(CLI::App& app, ImportOptions& options) {
  app.add_option("file", options.files, "files, or directories of .json and .jsonl")
      ->type_name("FILE…")
      ->group("what");
  app.add_option("-o,--output", options.output, "directory of the records")->type_name("DIR")->group("what");
  app.add_option("--label", options.label, "the model's name, instead of the files'")
      ->type_name("NAME")
      ->group("what");
}

}  // namespace

Command report_command() {
  return make_command<ReportCommand>(
      "report", "one page, or one table, of any number of runs", "DIR… [-o PAGE.html] [OPTION…]",
      {"deciban report runs/nov -o report.html", "deciban report runs/* --format md --export board.md",
       "deciban report runs/nov -c arxiv.jsonl --published rwkv-wiki-1.5b -o report.html"},
      add_report,
      [](const ReportCommand& options, const Console& console) { return report(options, console); });
}

Command compare_command() {
  return make_command<CompareOptions>(
      "compare", "two models on the same documents: better, worse, same or unclear", "BASE NEW [OPTION…]",
      {"deciban compare runs/old runs/new --fail-if worse",
       "deciban compare runs/nov:rwkv7 runs/nov:rwkv4 --same-within 1%",
       "deciban compare runs/f16 runs/int8 --format json --export verdict.json"},
      add_compare,
      [](const CompareOptions& options, const Console& console) { return compare(options, console); });
}

Command import_command() {
  return make_command<ImportOptions>(
      "import", "results of uncheatable_eval, lm-eval, llama-bench, Google Benchmark → records",
      "FILE… -o DIR [OPTION…]",
      {"deciban import results/RWKV__rwkv-4-169m-pile -o runs/lm-eval",
       "deciban import bench.json --label llama-1b -o runs/llama-bench",
       "deciban report runs/mine runs/lm-eval -o report.html"},
      add_import,
      [](const ImportOptions& options, const Console& console) { return import_results(options, console); });
}

}  // namespace deciban

#include "cli/eval.h"

#include <fmt/format.h>

#include "cli/commands/command.h"
#include "evals/tasks.h"

namespace deciban {
namespace {

// "compression: bits of whole documents; …"
std::string task_words() {
  std::string words;
  for (const TaskEntry& task : task_table())
    words += fmt::format("{}{}: {}", words.empty() ? "" : "; ", task.name, task.what);
  return words + "; or standard tasks: arc_easy, mmlu, rwkv-paper … (deciban info tasks lists them)";
}

void add_eval(CLI::App& app, EvalOptions& options) {
  app.add_option("-m,--model", options.models,
                 "checkpoint (.pth, .safetensors, folder …), random:rwkv7-0.1b, plugin:NAME, exec:COMMAND or "
                 "a server's http://…")
      ->type_name("MODEL…")
      ->group("what");
  app.add_option("-c,--corpus", options.corpora, "JSON list of texts, JSON Lines, folder of texts, or a text")
      ->type_name("CORPUS…")
      ->group("what");
  app.add_option("-t,--task", options.tasks, task_words())
      ->delimiter(',')
      ->type_name("TASK,…")
      ->group("what");
  app.add_option("-o,--output", options.output,
                 "directory of the records; a run that is there is gone on with (default runs/DATE-MODEL)")
      ->type_name("DIR")
      ->group("what");
  app.add_option("--label", options.labels, "name of each model in table and records")
      ->type_name("NAME…")
      ->group("what");
  app.add_option("--shots", options.shots, "examples before each question")->type_name("K")->group("tasks");
  app.add_option("--task-mode", options.task_mode,
                 "lm-eval[:N]: as lm-evaluation-harness, requests of at most N tokens; paper: as its version "
                 "0.3 in the RWKV papers; rnn: nothing cut off")
      ->type_name("MODE")
      ->group("tasks");
  app.add_option("--tasks-data", options.tasks_data,
                 "folder of the tasks' rows; default $DECIBAN_TASKS_DATA, else "
                 "$XDG_DATA_HOME/deciban/tasks")
      ->type_name("DIR")
      ->group("tasks");
  app.add_option("--tasks-dir", options.tasks_dir, "folder of task files of your own (docs/tasks.md)")
      ->type_name("DIR")
      ->group("tasks");
  app.add_flag("--no-sharing", options.no_sharing,
               "read what requests begin with in common again for each: slower, the same results")
      ->group("tasks");
  add_model_options(app, options.device, options.mode, options.tokenizer, options.threads);
  app.add_option("--batch", options.batch, "tokens computed together: auto or a number")
      ->type_name("TOKENS")
      ->group("model");
  app.add_flag("--deterministic", options.deterministic,
               "on a card too, results depend on nothing that is computed beside them; slower")
      ->group("model");
  app.add_option(
         "--window", options.window,
         "whole, tokens:N[:OVERLAP], bytes:N[:OVERLAP], uncheatable:N, uncheatable2:N; auto: whole where "
         "the model can")
      ->type_name("WINDOW")
      ->group("how");
  app.add_option("--start", options.start,
                 "what a text follows: bos (the model's separator), none or a token's id")
      ->type_name("START")
      ->group("how");
  app.add_option("--characters", options.characters,
                 "task uncheatable: texts of more than LEAST, of these the first MOST")
      ->type_name("LEAST:MOST")
      ->group("how");
  app.add_option("--cutoff", options.cutoff,
                 "texts until this month or day are shown apart, since models may have read them; auto: as "
                 "known of the models; none")
      ->type_name("DATE")
      ->group("how");
  app.add_option("--by", options.by, "month: a row for each month in which texts were submitted")
      ->type_name("month")
      ->group("how");
  app.add_option("--limit", options.limit, "only the first N or N% of each corpus")
      ->type_name("N")
      ->group("how");
  app.add_option("--shard", options.shard, "the I-th of N parts; auto asks Slurm, OpenMPI and PMI; off")
      ->type_name("I/N")
      ->group("how");
  app.add_option("--seed", options.seed,
                 "of all that is drawn at random; default 1, for tasks 1234 (mode paper: 42)")
      ->type_name("N")
      ->group("how");
  app.add_flag("--token-scores", options.token_scores, "keep every token's score in DIR/scores.bin")
      ->group("how");
  app.add_option("--verify", options.verify,
                 "also really compress and decompress the first N or N% documents, or all, and compare with "
                 "the claim")
      ->type_name("N")
      ->group("how");
  app.add_flag("--no-compressors", options.no_compressors, "leave out the rows of xz, zstd, brotli and bzip2")
      ->group("how");
  app.add_flag("--dry-run", options.dry_run, "only read, tokenise and count")->group("how");
}

}  // namespace

Command eval_command(const std::vector<std::string>& typed) {
  return make_command<EvalOptions>(
      "eval", "score texts with models, or questions of standard tasks",
      "-m MODEL… -c CORPUS…|-t TASK,… [OPTION…]",
      {"deciban eval -m rwkv7-0.1b.pth -c arxiv_cs.json -o runs/cs",
       "deciban eval -m new.pth -m old.pth -c texts/ --format md --export result.md",
       "deciban eval --dry-run --tokenizer rwkv_vocab_v20230424.txt -c arxiv_cs.json",
       "deciban eval -m rwkv7-0.1b.pth -t rwkv-paper --export results/",
       "deciban eval -m rwkv7-0.1b.pth -t mmlu --shots 5 --limit 20"},
      add_eval,
      [typed](const EvalOptions& options, const Console& console) { return eval(options, typed, console); });
}

}  // namespace deciban

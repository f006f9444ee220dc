#include "cli/task_eval.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <deque>
#include <memory>
#include <stdexcept>
#include <unordered_set>

#include "cli/eval_setup.h"
#include "cli/interrupt.h"
#include "cli/machine.h"
#include "cli/names.h"
#include "cli/progress.h"
#include "cli/run_info.h"
#include "cli/task_counts.h"
#include "cli/task_data.h"
#include "datasets/task_rows.h"
#include "deciban_version.h"
#include "evals/task_export.h"
#include "evals/task_results.h"
#include "evals/tasks.h"
#include "evals/template_task.h"

namespace deciban {
namespace {

// Tokens that a request may have in mode lm-eval where a model has no limit: what the harness takes then.
constexpr std::size_t kUsualLength = 2048;

constexpr std::string_view kLeastImportantOfTasks[] = {"documents", "model", "window", "interval",
                                                       "standard_error"};

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

class TaskEvaluation {
 public:
  TaskEvaluation(const EvalOptions& options, const std::vector<std::string>& command, const Console& console,
                 const ModelSource& source)
      : options_(options),
        console_(console),
        source_(source),
        model_options_(model_options(options)),
        catalogue_(task_catalogue(options.tasks_dir)) {
    run_options_.start = StartPolicy::parse(options.start);
    run_options_.limit = Limit::parse(options.limit);
    run_options_.share = !options.no_sharing;
    read_mode();
    run_options_.seed = options.seed.value_or(harness_seed(mode_));
    tasks_ = chosen_tasks(catalogue_, options.tasks, groups_);
    if (!options.corpora.empty())
      throw std::invalid_argument(
          "--corpus: tasks have data of their own; leave it out (--tasks-data DIR says where)");
    if (options.window != "auto")
      throw std::invalid_argument(
          "--window: tasks are cut as their mode says (--task-mode lm-eval:N, paper or rnn)");
    check_model_words(options);
    if (options.shots > 0 && std::all_of(tasks_.begin(), tasks_.end(), [](const TaskSpec* task) {
          return task->rules.kind == TaskRules::Kind::text;
        }))
      throw std::invalid_argument(fmt::format("--shots {}: whole texts take no examples", options.shots));
    if (options.models.empty() && !(options.dry_run && options.tokenizer != "auto"))
      throw std::invalid_argument("which model? Give one: -m FILE");
    if (options.models.size() > 1 && exports_results() && one_file())
      throw std::invalid_argument(fmt::format(
          "--export {}: several models have a file each; name a folder, and they are written below it",
          console.export_file()));
    labels_ = options.labels.empty() ? short_names(options.models) : options.labels;
    run_options_.shard = resolve_shard(options, console);
    read_rows();
    info_.command = command;
    info_.seed = run_options_.seed;
    info_.threads = options.threads;
    info_.policies = run_policies(options, run_options_);
    info_.policies["task-mode"] = options.task_mode;
    info_.policies["shots"] = fmt::format("{}", options.shots);
    for (const auto& corpus : corpora_) info_.corpora.push_back(&corpus);
    for (const auto& task : made_) {
      info_.tasks[task->name()] = task->aggregations();
      info_.task_versions[task->name()] = task->version();
    }
  }

  int dry_run() {
    Table table;
    if (options_.models.empty()) {
      const auto model = tokenizer_model(options_.tokenizer);
      count_requests(*model, model->info().name, assignments_, for_model(model->info()), table);
    }
    for (std::size_t i = 0; i < options_.models.size(); ++i) {
      const auto model = source_.open(options_.models[i], model_options_);
      count_requests(*model, model_label(options_, labels_, i, model->info()), assignments_,
                     for_model(model->info()), table);
    }
    constexpr std::string_view kLeast[] = {"longest", "model"};
    table.notes.push_back(
        "nothing was scored (--dry-run); read: tokens a model reads if it computes shared beginnings once");
    console_.show(std::move(table), kLeast);
    return kDone;
  }

  int run() {
    const std::filesystem::path output = output_directory(options_, labels_.front(), run_options_.shard);
    for (const std::string& spec : options_.models) source_.check(spec, model_options_);
    catch_interrupts();
    RunDirectory directory(output, run_options_.shard.file_suffix());
    console_.note(fmt::format(
        "records go to {}{}", output.string(),
        directory.resumed() > 0 ? fmt::format(" ({} are there already)", directory.resumed()) : ""));
    info_.started = utc_now();
    write_info(directory, "running");
    try {
      std::optional<TokenScoreWriter> token_scores;
      if (options_.token_scores) {
        const std::string suffix = run_options_.shard.file_suffix();
        token_scores.emplace(output / (suffix.empty() ? "scores.bin" : fmt::format("scores.{}.bin", suffix)));
        run_options_.token_scores = &*token_scores;
      }
      run_options_.stop = &interrupted();
      for (std::size_t i = 0; i < options_.models.size() && !interrupted(); ++i) score(i, directory);
    } catch (...) {
      write_info(directory, "failed");
      throw;
    }
    if (interrupted()) {
      write_info(directory, "interrupted");
      console_.note(fmt::format(
          "interrupted; {} keeps what was scored, and the same command goes on from there", output.string()));
      return kInterrupted;
    }
    write_info(directory, "done");
    report(output);
    return failed_ > 0 ? kSomeFailed : kDone;
  }

 private:
  void read_mode() {
    const std::string& word = options_.task_mode;
    if (word == "paper" || word == "rnn") {
      mode_ = word == "paper" ? TaskMode::paper : TaskMode::rnn;
      run_options_.windowing = Windowing::parse(word);
      return;
    }
    if (word == "lm-eval") return;
    if (word.starts_with("lm-eval:")) {
      run_options_.windowing = Windowing::parse(word);
      length_ = run_options_.windowing.size;
      return;
    }
    throw std::invalid_argument(fmt::format(
        "--task-mode '{}': there are lm-eval, lm-eval:N (at most N tokens), paper and rnn", word));
  }

  // The windowing depends on the model where no length is given.
  RunOptions for_model(const ModelInfo& model) const {
    RunOptions options = run_options_;
    if (mode_ == TaskMode::lm_eval)
      options.windowing = {Windowing::Kind::lm_eval,
                           length_.value_or(model.context_limit.value_or(kUsualLength)), 0};
    return options;
  }

  void read_rows() {
    const std::filesystem::path folder = task_data_folder(options_.tasks_data);
    const std::vector<TaskRows> rows = find_rows(tasks_, folder, options_.shots > 0, options_.tasks_data);
    for (std::size_t i = 0; i < tasks_.size(); ++i) {
      const TaskSpec& spec = *tasks_[i];
      const Corpus* const pool = examples(spec, rows[i]);
      Corpus corpus = read_task_rows(rows[i].questions, spec.data.form);
      corpus.name = spec.name;
      if (spec.documents > 0 && corpus.documents.size() != spec.documents) {
        console_.warn(fmt::format("{}: {} has {} rows, not the {} of the published split {}", spec.name,
                                  rows[i].questions.string(), corpus.documents.size(), spec.documents,
                                  spec.data.test));
      }
      std::vector<Document> documents;
      for (const std::size_t place : harness_order(mode_, corpus.documents.size(), run_options_.seed))
        documents.push_back(std::move(corpus.documents[place]));
      corpus.documents = std::move(documents);
      corpora_.push_back(std::move(corpus));
      const bool takes_examples = spec.rules.kind != TaskRules::Kind::text;
      made_.push_back(
          std::make_unique<TemplateTask>(spec, mode_, FewShot{takes_examples ? options_.shots : 0, pool}));
      assignments_.push_back({made_.back().get(), {&corpora_.back()}});
    }
  }

  const Corpus* examples(const TaskSpec& spec, const TaskRows& rows) {
    if (options_.shots == 0 || rows.examples.empty()) return nullptr;
    pools_.push_back(read_task_rows(rows.examples, spec.data.form));
    return &pools_.back();
  }

  void score(std::size_t i, RunDirectory& directory) {
    reset_peak_memory();
    const auto model = source_.open(options_.models[i], model_options_);
    const ModelInfo& info = model->info();
    RunOptions options = for_model(info);
    options.label = model_label(options_, labels_, i, info);
    info_.models.push_back({options.label, info, {{options.windowing.name(), ""}}, 0, {}});
    write_info(directory, "running");
    console_.detail(fmt::format("{}: {} on {}, {} threads, tokenizer {}, {}", options.label, info.format,
                                info.device, info.threads, info.tokenizer, options.windowing.name()));
    ProgressLine progress(options.label, console_.shows_progress());
    const double begun = now();
    const RunSummary summary = deciban::run(*model, assignments_, options, directory, &progress);
    scored_.push_back(
        {{options.label, options.windowing.name()}, info, begun, now() - begun, options.windowing.size});
    failed_ += summary.progress.failed;
    keys_.insert(summary.keys.begin(), summary.keys.end());
    info_.models.back().peak_memory = summary.progress.done > 0 ? peak_memory() : 0;
    report_run(console_, options.label, summary);
  }

  void write_info(RunDirectory& directory, const std::string& status) {
    info_.status = status;
    info_.ended = status == "running" ? "" : utc_now();
    directory.write_run_info(
        run_info_json(info_, read_text(run_info_file(directory.path(), run_options_.shard))));
  }

  // --export names one of the harness's files or a folder for them, and not a table.
  bool exports_results() const {
    const std::filesystem::path file = console_.export_file();
    return !file.empty() && (file.extension() == ".json" || !file.has_extension() || is_directory(file));
  }
  bool one_file() const { return std::filesystem::path(console_.export_file()).extension() == ".json"; }

  void report(const std::filesystem::path& output) {
    std::vector<Record> records = read_records({output});
    std::erase_if(records, [&](const Record& record) { return !keys_.contains(record.key); });
    TaskReportOptions options;
    options.mode = mode_;
    options.shots = options_.shots;
    options.seed = options_.seed.value_or(kSeed);
    std::vector<TaskResult> all;
    for (const Scored& model : scored_) {
      const std::vector<TaskResult> results = task_results(records, model.model, tasks_, groups_, options);
      if (exports_results()) export_model(model, records, results, options);
      all.insert(all.end(), results.begin(), results.end());
    }
    Table table = task_table(all);
    table.notes.insert(table.notes.begin(),
                       fmt::format("mode {}{}, {} shots, {} of each task{}", task_mode_name(mode_),
                                   mode_ == TaskMode::lm_eval && scored_.size() == 1
                                       ? fmt::format(" ({} tokens)", scored_[0].length)
                                       : "",
                                   options_.shots, run_options_.limit.name(),
                                   run_options_.shard.count > 1
                                       ? fmt::format(", shard {} of them", run_options_.shard.name())
                                       : ""));
    if (exports_results())
      console_.print_table(std::move(table), kLeastImportantOfTasks);
    else
      console_.show(std::move(table), kLeastImportantOfTasks);
  }

  struct Scored {
    TaskModel model;
    ModelInfo info;
    double begun = 0, seconds = 0;
    std::size_t length = 0;
  };

  void export_model(const Scored& model, const std::vector<Record>& records,
                    const std::vector<TaskResult>& results, const TaskReportOptions& options) {
    std::map<std::pair<std::string, std::string>, const Record*> by_document;
    for (const Record& record : records) {
      if (record.model == model.model.label && record.windowing == model.model.windowing &&
          record.status == "ok")
        by_document[{record.task, record.document}] = &record;
    }
    std::vector<ExportedTask> exported;
    for (const Assignment& assignment : assignments_) {
      const Corpus& corpus = *assignment.corpora.front();
      ExportedTask task{static_cast<const TemplateTask*>(assignment.task), &corpus, {}};
      for (std::size_t d = 0; d < corpus.documents.size(); ++d) {
        const auto found = by_document.find({assignment.task->name(), corpus.documents[d].id});
        if (found != by_document.end()) task.scored.emplace_back(d, found->second);
      }
      if (!task.scored.empty()) exported.push_back(std::move(task));
    }
    ExportRun run;
    run.model = model.info;
    run.label = model.model.label;
    run.limit = run_options_.limit.name();
    run.seed = run_options_.seed;
    run.resamples = options.resamples;
    run.length = model.length;
    run.started = model.begun;
    run.seconds = model.seconds;
    run.version = DECIBAN_VERSION;
    run.commit = DECIBAN_COMMIT;
    const std::filesystem::path file = export_results(console_.export_file(), run, exported, results);
    console_.note(
        fmt::format("{} and its samples are written as lm-evaluation-harness writes them", file.string()));
  }

  const EvalOptions& options_;
  const Console& console_;
  const ModelSource& source_;
  const ModelOptions model_options_;
  const TaskCatalogue catalogue_;
  TaskMode mode_ = TaskMode::lm_eval;
  std::optional<std::size_t> length_;  // of lm-eval:N
  RunOptions run_options_;
  std::vector<const TaskSpec*> tasks_;
  std::vector<const TaskGroup*> groups_;
  std::vector<std::string> labels_;
  std::deque<Corpus> corpora_, pools_;  // pointed to
  std::vector<std::unique_ptr<TemplateTask>> made_;
  std::vector<Assignment> assignments_;
  RunInfo info_;
  std::vector<Scored> scored_;
  std::unordered_set<std::string> keys_;
  std::size_t failed_ = 0;
};

}  // namespace

bool asks_for_tasks(const EvalOptions& options) {
  const auto of_texts = std::find_if(options.tasks.begin(), options.tasks.end(),
                                     [](const std::string& name) { return find_task(name); });
  const auto other = std::find_if(options.tasks.begin(), options.tasks.end(),
                                  [](const std::string& name) { return !find_task(name); });
  if (other == options.tasks.end()) return false;
  if (of_texts == options.tasks.end()) return true;
  std::vector<const TaskGroup*> groups;
  chosen_tasks(task_catalogue(options.tasks_dir), std::vector<std::string>{*other},
               groups);  // if it is a typo
  throw std::invalid_argument(fmt::format(
      "--task {} scores texts and {} has data of its own: run them one after the other (-o may be "
      "the same)",
      *of_texts, *other));
}

int eval_tasks(const EvalOptions& options, const std::vector<std::string>& command, const Console& console,
               const ModelSource& source) {
  TaskEvaluation evaluation(options, command, console, source);
  return options.dry_run ? evaluation.dry_run() : evaluation.run();
}

}  // namespace deciban

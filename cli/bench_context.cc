#include "cli/bench_context.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <stdexcept>

#include "bench/child.h"
#include "cli/bench.h"
#include "cli/interrupt.h"
#include "cli/machine.h"
#include "cli/names.h"
#include "cli/progress.h"
#include "datasets/corpus.h"
#include "evals/context.h"
#include "evals/recall.h"
#include "evals/run.h"
#include "reports/context_table.h"
#include "reports/cost_table.h"

namespace deciban {
namespace {

// "0" besides what parse_lengths() takes.
std::vector<std::size_t> parse_contexts(const std::string& word) {
  if (word == "0") return {0};
  if (!word.starts_with("0,")) return parse_lengths(word);
  std::vector<std::size_t> contexts = parse_lengths(word.substr(2));
  contexts.insert(contexts.begin(), 0);
  return contexts;
}

class ContextBench {
 public:
  ContextBench(const ContextOptions& options, const Console& console, const ModelSource& source,
               MeasurePoint measure)
      : options_(options), console_(console), source_(source), measure_(std::move(measure)) {
    if (options.models.empty())
      throw std::invalid_argument("which model? name one with -m, for example -m rwkv7.pth");
    if (options.corpora.empty() && !options.recall)
      throw std::invalid_argument("which texts? give long ones with -c FILE, or --recall for synthetic ones");
    if (options.target == 0) throw std::invalid_argument("--target must be at least 1 byte");
    model_options_.device = options.device;
    model_options_.format = options.mode;
    model_options_.tokenizer = options.tokenizer;
    model_options_.threads = options.threads;
    labels_ = options.labels.empty() ? short_names(options.models) : options.labels;
    if (labels_.size() != options.models.size())
      throw std::invalid_argument(
          fmt::format("{} labels for {} models", labels_.size(), options.models.size()));
    contexts_ = parse_contexts(options.contexts);
    std::sort(contexts_.begin(), contexts_.end());
    for (const std::string& path : options.corpora) corpora_.push_back(read_corpus(path));
    check_lengths();
    make_recall();
  }

  int run() {
    for (const std::string& spec : options_.models) source_.check(spec, model_options_);
    catch_interrupts();
    const std::string output =
        options_.output.empty() ? fmt::format("runs/context-{}", local_date()) : options_.output;
    RunDirectory directory(output, "");
    for (std::size_t i = 0; i < options_.models.size() && !interrupted(); ++i) score(i, directory);
    CostFile costs(output);
    if (!options_.no_costs && !interrupted()) measure_costs(read_records({output}), costs);
    const std::vector<Record> records = read_records({output});
    const std::vector<ContextRow> rows = context_rows(records, costs.points(), options_.seed);
    constexpr std::string_view kLeast[] = {"documents", "gain_interval", "tokens", "step_seconds"};
    if (!corpora_.empty()) console_.show(context_table(rows), kLeast);
    if (options_.recall && !(console_.one_table_only() && !corpora_.empty()))
      console_.show(recall_table(records, options_.seed));
    if (interrupted()) {
      console_.note(fmt::format("interrupted; the same command goes on from {}", output));
      return kInterrupted;
    }
    console_.note(fmt::format("records and costs in {}", output));
    return failed_ > 0 ? kSomeFailed : kDone;
  }

 private:
  // All contexts are measured on the same documents: those long enough for the longest.
  void check_lengths() {
    if (corpora_.empty()) return;
    const std::size_t least = contexts_.back() + options_.target;
    std::size_t enough = 0, longest = 0;
    for (const Corpus& corpus : corpora_) {
      for (const Document& document : corpus.documents) {
        enough += document.text.size() >= least;
        longest = std::max(longest, document.text.size());
      }
    }
    if (enough == 0) {
      throw std::invalid_argument(fmt::format(
          "no document has the {} bytes that a context of {} before {} needs (the longest has {}); "
          "name shorter ones with --contexts",
          least, contexts_.back(), options_.target, longest));
    }
    console_.note(
        fmt::format("{} documents have the {} bytes that the longest context needs", enough, least));
    for (const std::size_t context : contexts_)
      tasks_.push_back(std::make_unique<ContextTask>(context, options_.target, least));
  }

  void make_recall() {
    if (!options_.recall) return;
    for (const std::size_t context : contexts_) {
      for (const std::size_t pairs : parse_lengths(options_.pairs))
        recall_.push_back(recall_corpus({context, pairs, options_.recall_documents, options_.seed}));
    }
  }

  void score(std::size_t i, RunDirectory& directory) {
    const auto model = source_.open(options_.models[i], model_options_);
    RunOptions run_options;
    run_options.windowing = Windowing::parse("whole");
    run_options.limit = Limit::parse(options_.limit);
    run_options.seed = options_.seed;
    run_options.label = labels_[i];
    run_options.stop = &interrupted();
    ProgressLine progress(labels_[i], console_.shows_progress());
    const auto part = [&](std::span<Task* const> tasks, std::span<const Corpus* const> corpora) {
      if (tasks.empty() || corpora.empty() || interrupted()) return;
      failed_ += deciban::run(*model, tasks, corpora, run_options, directory, &progress).progress.failed;
    };
    std::vector<Task*> tasks;
    for (const auto& task : tasks_) tasks.push_back(task.get());
    std::vector<const Corpus*> corpora, recall;
    for (const Corpus& corpus : corpora_) corpora.push_back(&corpus);
    for (const Corpus& corpus : recall_) recall.push_back(&corpus);
    part(tasks, corpora);
    RecallTask recall_task;
    Task* const only = &recall_task;
    part({&only, 1}, recall);
  }

  // What reading the mean number of tokens of each context costs.
  void measure_costs(const std::vector<Record>& records, CostFile& costs) {
    const Machine machine = this_machine();
    SweepOptions sweep_options;
    sweep_options.model_options = model_options_;
    sweep_options.goal = {.least_runs = 3, .least_seconds = 0.1, .noise = 0.05, .limit_seconds = 20};
    sweep_options.machine = fmt::format("{}, {} CPUs", machine.cpu, machine.cpus);
    sweep_options.stop = &interrupted();
    const std::vector<std::string> command{this_program(), "bench", "--point"};
    const MeasurePoint measure = measure_ ? measure_ : [&](const PointRequest& request) {
      return measure_in_child(request, command, sweep_options.load_seconds, sweep_options.stop);
    };
    const std::vector<ContextRow> rows = context_rows(records, {}, options_.seed);
    for (std::size_t i = 0; i < options_.models.size(); ++i) {
      sweep_options.models = {{options_.models[i], labels_[i]}};
      sweep_options.lengths.clear();
      for (const ContextRow& row : rows) {
        if (row.model == labels_[i] && row.tokens >= 1)
          sweep_options.lengths.push_back(static_cast<std::size_t>(std::lround(row.tokens)));
      }
      if (sweep_options.lengths.empty()) continue;
      sweep(sweep_options, costs, measure, [&](const CostPoint& point, std::size_t done, std::size_t all) {
        console_.note(fmt::format("[{}/{}] cost of {} at {} tokens", done, all, point.model, point.length));
      });
    }
  }

  const ContextOptions& options_;
  const Console& console_;
  const ModelSource& source_;
  MeasurePoint measure_;
  ModelOptions model_options_;
  std::vector<std::string> labels_;
  std::vector<std::size_t> contexts_;
  std::vector<Corpus> corpora_, recall_;
  std::vector<std::unique_ptr<ContextTask>> tasks_;
  std::size_t failed_ = 0;
};

}  // namespace

int bench_context(const ContextOptions& options, const Console& console, const ModelSource& source,
                  MeasurePoint measure) {
  return ContextBench(options, console, source, std::move(measure)).run();
}

}  // namespace deciban

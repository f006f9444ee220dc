#include "cli/eval.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <unordered_set>

#include "cli/dry_run.h"
#include "cli/eval_report.h"
#include "cli/interrupt.h"
#include "cli/machine.h"
#include "cli/names.h"
#include "cli/progress.h"
#include "cli/run_info.h"
#include "cli/shard_environment.h"
#include "cli/suggest.h"
#include "cli/training_cutoff.h"
#include "evals/codec/verify.h"
#include "evals/compression_table.h"
#include "evals/compressor_records.h"
#include "evals/matched.h"
#include "evals/run.h"
#include "evals/submission.h"
#include "evals/tasks.h"
#include "evals/token_scores.h"

namespace deciban {
namespace {

// Left out first where the terminal is narrow.
constexpr std::string_view kLeastImportant[] = {"state_bytes",
                                                "bytes",
                                                "device",
                                                "scored_tokens",
                                                "bits_per_character",
                                                "nats_per_token",
                                                "bytes_per_second",
                                                "documents",
                                                "unscored_bytes",
                                                "mode",
                                                "parameters",
                                                "peak_memory_bytes",
                                                "tokens_per_second",
                                                "window",
                                                "compression_rate_percent"};

std::size_t parse_batch(const std::string& word) {
  if (word == "auto") return 0;
  std::size_t tokens = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), tokens);
  if (error != std::errc{} || end != word.data() + word.size() || tokens == 0) {
    throw std::invalid_argument(fmt::format("--batch '{}': must be auto or a number of tokens", word));
  }
  return tokens;
}

// "2000:5000": the fewest and the most characters of task uncheatable.
TaskSettings task_settings(const EvalOptions& options) {
  TaskSettings settings;
  const std::string& word = options.characters;
  const char* const end = word.data() + word.size();
  const auto least = std::from_chars(word.data(), end, settings.least_characters);
  if (least.ec == std::errc{} && least.ptr != end && *least.ptr == ':') {
    const auto most = std::from_chars(least.ptr + 1, end, settings.most_characters);
    if (most.ec == std::errc{} && most.ptr == end) return settings;
  }
  throw std::invalid_argument(fmt::format("--characters '{}': must be LEAST:MOST, such as 2000:5000", word));
}

ModelOptions model_options(const EvalOptions& options) {
  ModelOptions result;
  result.device = options.device;
  result.format = options.mode;
  result.tokenizer = options.tokenizer;
  if (options.threads < 0)
    throw std::invalid_argument(fmt::format("--threads {}: must not be negative", options.threads));
  result.threads = options.threads;
  result.chunk_rows = parse_batch(options.batch);
  result.deterministic = options.deterministic;
  return result;
}

Shard resolve_shard(const EvalOptions& options, const Console& console) {
  if (options.shard == "off") return {};
  if (options.shard != "auto") return Shard::parse(options.shard);
  const auto launched = shard_from_environment([](const char* name) { return std::getenv(name); });
  if (!launched) return {};
  console.note(fmt::format("shard {} because of {} (--shard off scores everything)", launched->shard.name(),
                           launched->from));
  return launched->shard;
}

std::vector<Corpus> read_corpora(const std::vector<std::string>& paths, const Console& console) {
  std::vector<Corpus> corpora;
  const std::vector<std::string> names = short_names(paths);
  std::set<std::string> digests;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    Corpus corpus = read_corpus(paths[i]);
    if (!digests.insert(corpus.digest).second) {
      console.warn(
          fmt::format("{} holds the same texts as another corpus of this run; it is left out", paths[i]));
      continue;
    }
    corpus.name = names[i];
    console.detail(fmt::format("corpus {}: {} documents, {} ({}, {})", corpus.name, corpus.documents.size(),
                               byte_count(static_cast<double>(corpus.bytes())), corpus.kind, corpus.digest));
    corpora.push_back(std::move(corpus));
  }
  return corpora;
}

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class Evaluation {
 public:
  Evaluation(const EvalOptions& options, const std::vector<std::string>& command, const Console& console,
             const ModelSource& source)
      : options_(options), console_(console), source_(source), model_options_(model_options(options)) {
    run_options_.start = StartPolicy::parse(options.start);
    run_options_.limit = Limit::parse(options.limit);
    run_options_.seed = options.seed;
    if (options.window != "auto") window_ = Windowing::parse(options.window);
    const TaskSettings settings = task_settings(options);
    for (const std::string& name : options.tasks) {
      const TaskEntry* const entry = find_task(name);
      if (!entry)
        throw std::invalid_argument(
            fmt::format("unknown task '{}'{}", name, did_you_mean(name, task_names())));
      if (std::find(entries_.begin(), entries_.end(), entry) != entries_.end()) continue;
      entries_.push_back(entry);
      tasks_.push_back(entry->make(settings));
      task_pointers_.push_back(tasks_.back().get());
    }
    if (entries_.empty()) throw std::invalid_argument("which task? Give one: -t compression");
    if (entries_.size() > 1 && console.one_table_only()) {
      throw std::invalid_argument(
          "several tasks make several tables: give one --task with --export or --format csv, json or jsonl");
    }
    if (!options.by.empty() && options.by != "month")
      throw std::invalid_argument(fmt::format("--by '{}': must be month", options.by));
    if (options.cutoff != "auto" && options.cutoff != "none") cutoff_ = parse_cutoff(options.cutoff);
    if (!options.labels.empty() && options.labels.size() != options.models.size()) {
      throw std::invalid_argument(
          fmt::format("{} --label for {} --model: give one for each model, in order, or none",
                      options.labels.size(), options.models.size()));
    }
    if (std::set<std::string>(options.labels.begin(), options.labels.end()).size() != options.labels.size()) {
      throw std::invalid_argument("--label: two models have the same one");
    }
    if (std::set<std::string>(options.models.begin(), options.models.end()).size() != options.models.size()) {
      throw std::invalid_argument("--model: the same model is given twice");
    }
    if (options.corpora.empty()) throw std::invalid_argument("which texts? Give a corpus: -c FILE");
    if (options.models.empty() && !(options.dry_run && options.tokenizer != "auto")) {
      throw std::invalid_argument(options.dry_run ? "which tokens? Give a model (-m FILE) or --tokenizer FILE"
                                                  : "which model? Give one: -m FILE");
    }
    labels_ = options.labels.empty() ? short_names(options.models) : options.labels;
    run_options_.shard = resolve_shard(options, console);
    info_.command = command;
    info_.seed = options.seed;
    info_.threads = options.threads;
    info_.policies = {{"window", options.window},
                      {"start", run_options_.start.name()},
                      {"limit", run_options_.limit.name()},
                      {"shard", run_options_.shard.name()},
                      {"mode", options.mode},
                      {"device", options.device},
                      {"deterministic", options.deterministic ? "yes" : "no"},
                      {"batch", options.batch},
                      {"characters", options.characters},
                      {"cutoff", options.cutoff},
                      {"tokenizer", options.tokenizer}};
    corpora_ = read_corpora(options.corpora, console);
    for (const Corpus& corpus : corpora_) corpus_pointers_.push_back(&corpus);
  }

  int dry_run() {
    Table table;
    std::size_t bad = 0;
    if (options_.models.empty()) {
      const auto model = tokenizer_model(options_.tokenizer);
      bad = count(*model, model->info().name, table);
    }
    for (std::size_t i = 0; i < options_.models.size(); ++i) {
      const auto model = source_.open(options_.models[i], model_options_);
      bad += count(*model, label(i, model->info()), table);
    }
    table.notes.push_back(
        "nothing was scored (--dry-run); sequences and unscored bytes are those of the window");
    constexpr std::string_view kLeast[] = {"longest_document_tokens", "bytes_per_token", "characters",
                                           "sequences"};
    console_.show(std::move(table), kLeast);
    return bad > 0 ? kSomeFailed : kDone;
  }

  int run() {
    const std::filesystem::path output = output_directory();
    // A mistake in the last model's name is told now, not after the others' hours.
    for (const std::string& spec : options_.models) source_.check(spec, model_options_);
    catch_interrupts();
    RunDirectory directory(output, run_options_.shard.file_suffix());
    console_.note(fmt::format(
        "records go to {}{}", output.string(),
        directory.resumed() > 0 ? fmt::format(" ({} are there already)", directory.resumed()) : ""));
    info_.started = utc_now();
    info_.corpora = corpus_pointers_;
    for (const Task* task : task_pointers_) {
      info_.tasks[task->name()] = task->aggregations();
      info_.task_versions[task->name()] = task->version();
    }
    write_info(directory, "running");
    try {
      std::optional<TokenScoreWriter> token_scores;
      if (options_.token_scores) {
        const std::string suffix = run_options_.shard.file_suffix();
        token_scores.emplace(output / (suffix.empty() ? "scores.bin" : fmt::format("scores.{}.bin", suffix)));
        run_options_.token_scores = &*token_scores;
      }
      run_options_.stop = &interrupted();
      score_everything(directory);
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
    show_tables(output);
    return failed_ > 0 ? kSomeFailed : kDone;
  }

 private:
  std::size_t count(const LanguageModel& model, const std::string& name, Table& table) {
    RunOptions counted = run_options_;
    counted.windowing = window_.value_or(own_best(model.info()));
    return count_documents(model, name, corpus_pointers_, counted, table);
  }

  std::string label(std::size_t i, const ModelInfo& info) const {
    const bool given = !options_.labels.empty() || std::filesystem::exists(options_.models[i]);
    return given || info.name.empty() ? labels_[i] : info.name;
  }

  std::filesystem::path output_directory() const {
    if (!options_.output.empty()) return options_.output;
    if (run_options_.shard.count > 1) {
      throw std::invalid_argument(
          "--output is needed with shards, so that all write to one directory: -o DIR");
    }
    std::string name = std::filesystem::path(labels_.front()).filename().string();
    std::replace_if(
        name.begin(), name.end(), [](char c) { return c == ':' || c == '/' || c == ' '; }, '-');
    return std::filesystem::path("runs") / fmt::format("{}-{}", local_date(), name);
  }

  void score_everything(RunDirectory& directory) {
    score_models(directory);
    if (!with_compressors() || interrupted()) return;
    ProgressLine progress("compressors", console_.shows_progress());
    account(record_compressors(corpus_pointers_, run_options_.limit, run_options_.shard, directory,
                               &interrupted(), &progress));
  }

  void score_models(RunDirectory& directory) {
    MatchedWindow matched(corpus_pointers_, run_options_.limit, run_options_.start);
    const bool compares = !window_ && options_.models.size() > 1;
    std::vector<std::size_t> limited;
    for (std::size_t i = 0; i < options_.models.size() && !interrupted(); ++i) {
      const auto model = open(i);
      if (model->info().context_limit) limited.push_back(i);
      if (compares) matched.fit(*model);
      score(*model, i, window_.value_or(own_best(model->info())), directory);
    }
    if (!compares || limited.empty() || interrupted()) return;
    // Where models with and without a limit meet, the byte context they are compared in is the same for all.
    for (bool settled = limited.size() < 2; !settled;) {
      settled = true;
      for (const std::size_t i : limited) settled = matched.fit(*open(i)) && settled;
    }
    const Windowing window = matched.windowing();
    if (window.kind == Windowing::Kind::whole) {
      console_.note("every document fits every model: all have the same context");
      return;
    }
    console_.note(fmt::format("matched window for models with and without a limit: {}", window.name()));
    for (std::size_t i = 0; i < options_.models.size() && !interrupted(); ++i) {
      score(*open(i), i, window, directory);
    }
    for (ModelEntry& entry : info_.models) {
      for (auto& [name, role] : entry.windows) {
        if (entry.windows.size() > 1) role = name == window.name() ? "matched" : "own best";
      }
    }
  }

  std::unique_ptr<LanguageModel> open(std::size_t i) {
    reset_peak_memory();
    return source_.open(options_.models[i], model_options_);
  }

  void score(LanguageModel& model, std::size_t i, const Windowing& window, RunDirectory& directory) {
    const ModelInfo& info = model.info();
    RunOptions options = run_options_;
    options.windowing = window;
    options.label = label(i, info);
    console_.detail(fmt::format("{}: {} parameters, {}, {} on {}, {} threads, tokenizer {}, window {}",
                                options.label, info.parameters, info.family, info.format, info.device,
                                info.threads, info.tokenizer, window.name()));
    if (options.start.kind == StartPolicy::Kind::bos && !info.start_token) {
      console_.warn(fmt::format(
          "{} has no document separator: the first token of each document stays unscored", options.label));
    }
    if (i == info_.models.size()) {
      info_.models.push_back({options.label, info, {}, 0, {}});
      note_cutoff(i);
    }
    info_.models[i].windows.emplace(window.name(), "");
    write_info(directory, "running");
    {
      ProgressLine progress(options.label, console_.shows_progress());
      const RunSummary summary =
          deciban::run(model, task_pointers_, corpus_pointers_, options, directory, &progress);
      account(summary);
      info_.models[i].peak_memory =
          std::max(info_.models[i].peak_memory, summary.progress.done > 0 ? peak_memory() : 0);
      report(options.label, summary);
    }
    if (!options_.verify.empty() && window.kind == Windowing::Kind::whole && !interrupted()) {
      ProgressLine progress(options.label + " (coding)", console_.shows_progress());
      account(record_coded(model, corpus_pointers_, options, Limit::parse(options_.verify), directory,
                           &progress));
    }
  }

  // The latest cut-off of all models is that of the run: what is newer, none of them has read.
  void note_cutoff(std::size_t i) {
    if (options_.cutoff != "auto") return;
    info_.models[i].cutoff = training_cutoff(options_.models[i], info_.models[i].info.name);
    if (info_.models[i].cutoff) cutoff_ = later_cutoff(cutoff_, info_.models[i].cutoff->date);
  }

  // Beside whole documents; they know nothing of other tasks.
  bool with_compressors() const {
    return !options_.no_compressors &&
           std::any_of(entries_.begin(), entries_.end(),
                       [](const TaskEntry* entry) { return entry->name == "compression"; });
  }

  void account(const RunSummary& summary) {
    failed_ += summary.progress.failed;
    if (first_failure_.empty()) first_failure_ = summary.first_failure;
    keys_.insert(summary.keys.begin(), summary.keys.end());
  }

  void report(const std::string& label, const RunSummary& summary) const {
    const RunProgress& progress = summary.progress;
    if (progress.resumed > 0) {
      console_.note(fmt::format("{}: {} of {} documents were scored before", label, progress.resumed,
                                progress.documents));
    }
    if (summary.excluded > 0) {
      console_.note(
          fmt::format("{}: {} documents left out, since they are none for the task (too short, or "
                      "parts are missing)",
                      label, summary.excluded));
    }
    if (summary.repeated > 0) {
      console_.note(fmt::format("{}: {} documents repeat the text of another; they were scored once", label,
                                summary.repeated));
    }
    if (summary.lossy_documents > 0) {
      console_.warn(fmt::format(
          "{}: its tokenizer normalises {} documents ({} bytes differ); rates count the raw bytes", label,
          summary.lossy_documents, summary.lossy_bytes));
    }
    if (progress.failed > 0) {
      console_.warn(fmt::format("{}: {} of {} documents failed; the first: {}", label, progress.failed,
                                progress.documents, summary.first_failure));
    }
  }

  std::filesystem::path info_file(const std::filesystem::path& output) const {
    const std::string suffix = run_options_.shard.file_suffix();
    return output / (suffix.empty() ? "run.json" : fmt::format("run.{}.json", suffix));
  }

  void write_info(RunDirectory& directory, const std::string& status) {
    info_.status = status;
    info_.ended = status == "running" ? "" : utc_now();
    directory.write_run_info(run_info_json(info_, read_text(info_file(directory.path()))));
  }

  void show_tables(const std::filesystem::path& output) const {
    std::vector<Record> records = read_records({output});
    std::erase_if(records, [&](const Record& record) { return !keys_.contains(record.key); });
    std::vector<TableModel> rows;
    const std::string run_json = read_text(info_file(output));
    for (const ModelEntry& entry : info_.models) {
      // A sitting that had nothing left to score took no memory for it; an earlier one did.
      const std::uint64_t peak = recorded_peak_memory(run_json, entry);
      for (const auto& [window, role] : entry.windows) {
        rows.push_back({entry.label, window, role, entry.info.format, entry.info.device,
                        entry.info.parameters, peak, entry.info.state_bytes, !entry.info.constant_state});
      }
    }
    // Rows that are to be compared stand together.
    std::stable_sort(rows.begin(), rows.end(),
                     [](const TableModel& a, const TableModel& b) { return a.role < b.role; });
    if (with_compressors()) {
      for (const CompressorRow& row : compressor_rows())
        rows.push_back({row.label, row.windowing, "", "", "", 0, 0, 0, false});
    }
    std::vector<std::string> names;
    for (const Corpus& corpus : corpora_) names.push_back(corpus.name);
    const ReportOptions report{options_.seed, cutoff_, options_.by == "month"};
    for (const TaskEntry* entry : entries_) {
      Table table = task_report(*entry, records, rows, names, report);
      table.notes.insert(table.notes.begin(), summary_line());
      if (entries_.size() > 1) table.notes.insert(table.notes.begin(), fmt::format("task {}", entry->name));
      console_.show(std::move(table), kLeastImportant);
    }
    if (!options_.verify.empty() && !console_.one_table_only()) console_.show(coded_table(records));
  }

  std::string summary_line() const {
    std::size_t documents = 0;
    for (const Corpus& corpus : corpora_) documents += run_options_.limit.of(corpus.documents.size());
    std::set<std::string> windows;
    for (const ModelEntry& entry : info_.models) {
      for (const auto& [window, role] : entry.windows) windows.insert(window);
    }
    std::string line = fmt::format("{} documents", documents);
    if (run_options_.shard.count > 1)
      line += fmt::format(" (this table: those of shard {})", run_options_.shard.name());
    if (windows.size() == 1) line += fmt::format(", window {}", *windows.begin());
    const bool unused = window_ && window_->kind == Windowing::Kind::uncheatable;
    line += fmt::format(", start {}", unused ? "none (as this window has it)" : run_options_.start.name());
    if (failed_ > 0) line += fmt::format(", {} failed ({})", failed_, first_failure_);
    return line;
  }

  const EvalOptions& options_;
  const Console& console_;
  const ModelSource& source_;
  const ModelOptions model_options_;
  std::vector<const TaskEntry*> entries_;  // of the tasks asked for
  std::vector<std::unique_ptr<Task>> tasks_;
  std::vector<Task*> task_pointers_;
  std::string cutoff_;  // of all models together; empty: none is known
  RunOptions run_options_;
  std::optional<Windowing> window_;  // none: each model's own
  std::vector<std::string> labels_;
  std::vector<Corpus> corpora_;
  std::vector<const Corpus*> corpus_pointers_;
  RunInfo info_;
  std::unordered_set<std::string> keys_;  // of the records this run stands for
  std::size_t failed_ = 0;
  std::string first_failure_;
};

}  // namespace

int eval(const EvalOptions& options, const std::vector<std::string>& command, const Console& console,
         const ModelSource& source) {
  Evaluation evaluation(options, command, console, source);
  return options.dry_run ? evaluation.dry_run() : evaluation.run();
}

}  // namespace deciban

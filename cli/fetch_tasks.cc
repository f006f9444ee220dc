#include "cli/fetch_tasks.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>
#include <vector>

#include "cli/fetch_job.h"
#include "cli/fetch_progress.h"
#include "cli/interrupt.h"
#include "cli/task_data.h"
#include "cli/terminal.h"
#include "datasets/corpus_writer.h"
#include "datasets/task_fetch.h"
#include "datasets/task_rows.h"

namespace deciban {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> words_of(const std::string& names) {
  std::vector<std::string> words;
  for (std::size_t from = 0; from <= names.size();) {
    const std::size_t comma = std::min(names.find(',', from), names.size());
    if (comma > from) words.push_back(names.substr(from, comma - from));
    from = comma + 1;
  }
  return words;
}

// Every split once: the questions, and the examples where they are few or asked for.
std::vector<TaskSplit> splits_of(const std::vector<const TaskSpec*>& tasks, const fs::path& folder,
                                 bool examples) {
  std::vector<TaskSplit> splits;
  for (const TaskSpec* task : tasks) {
    const TaskData& data = task->data;
    if (data.dataset.empty()) {
      throw std::invalid_argument(fmt::format("task {} names no data set of the hub; put its rows into {}",
                                              task->name,
                                              (folder / data.folder / (data.test + ".jsonl")).string()));
    }
    std::vector<std::string> names{data.test};
    const bool few = task->rules.sampler == TaskRules::Sampler::first;
    if (!data.shots.empty() && data.shots != data.test && (examples || few)) names.push_back(data.shots);
    for (const std::string& name : names) {
      const fs::path target = folder / data.folder / (name + ".jsonl");
      const bool known = std::any_of(splits.begin(), splits.end(),
                                     [&](const TaskSplit& split) { return split.target == target; });
      if (!known) splits.push_back({data.dataset, data.config, name, target});
    }
  }
  return splits;
}

}  // namespace

int fetch_tasks(const FetchOptions& options, const std::string& names, const Console& console) {
  std::string unused;
  const Source& source = source_of("tasks", unused);
  const TaskCatalogue catalogue = task_catalogue(options.tasks_dir);
  const std::vector<std::string> words = words_of(names);
  if (words.empty())
    throw std::invalid_argument(
        "which tasks? For example tasks:arc_easy,piqa (deciban info tasks lists them)");
  std::vector<const TaskGroup*> groups;
  const std::vector<const TaskSpec*> tasks = chosen_tasks(catalogue, words, groups);
  const fs::path folder = task_data_folder(options.output);
  std::vector<TaskSplit> splits = splits_of(tasks, folder, options.examples);
  const std::size_t all = splits.size();
  std::erase_if(splits, [](const TaskSplit& split) { return fs::exists(split.target); });
  if (splits.size() < all)
    console.note(fmt::format("{} of {} files are in {} already", all - splits.size(), all, folder.string()));
  catch_interrupts();
  PoliteClient client(fetch_client_options(options, source), Clock::system(),
                      [] { return interrupted().load(); });
  const HubServers servers{server_url("hub", options.servers), server_url("hub-rows", options.servers)};
  std::size_t failed = 0;
  for (const TaskSplit& split : splits) {
    FetchProgressLine line(console);
    client.on_delay = [&](const std::string& reason) { line.delay(reason); };
    fs::create_directories(split.target.parent_path());
    Ledger ledger(ledger_path(split.target), settings_of(split));
    if (ledger.resumed() > 0) line.note(fmt::format("{} goes on", split.target.string()));
    FetchContext context{client, ledger, line};
    try {
      const FetchedSplit fetched = fetch_task_split(context, split, servers, hub_token());
      line.wipe();
      ledger.remove();
      console.note(fmt::format("{}: {} rows of {} {}/{}, commit {}, licence {}", split.target.string(),
                               fetched.rows, split.dataset, split.config, split.split,
                               fetched.revision.empty() ? "not given" : fetched.revision, fetched.licence));
    } catch (const FetchStopped& stopped) {
      line.wipe();
      console.note(fmt::format("{}: {}", split.target.string(), stopped.what()));
      return kInterrupted;
    } catch (const FetchError& error) {
      line.wipe();
      console.error(
          fmt::format("{}{}", error.what(),
                      ledger.empty() ? "" : "; what was fetched is kept: the same command goes on"));
      ++failed;
      // Nobody is there: the others will not come either.
      if (!error.reached) return kFailed;
    }
  }
  if (failed > 0) return failed == splits.size() ? kFailed : kSomeFailed;
  console.note(fmt::format("deciban eval -m MODEL -t {}{} scores them", names,
                           options.output.empty() ? "" : " --tasks-data " + options.output));
  return kDone;
}

}  // namespace deciban

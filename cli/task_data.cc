#include "cli/task_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

#include "cli/suggest.h"
#include "datasets/task_rows.h"
#include "evals/tasks.h"

namespace deciban {
namespace {

std::filesystem::path of_environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

void add_once(std::vector<std::string>& words, const std::string& word) {
  if (std::find(words.begin(), words.end(), word) == words.end()) words.push_back(word);
}

}  // namespace

std::filesystem::path task_data_folder(const std::string& word) {
  if (!word.empty()) return word;
  if (const auto set = of_environment("DECIBAN_TASKS_DATA"); !set.empty()) return set;
  if (const auto data = of_environment("XDG_DATA_HOME"); !data.empty()) return data / "deciban/tasks";
  if (const auto home = of_environment("HOME"); !home.empty()) return home / ".local/share/deciban/tasks";
  throw std::runtime_error("where are the tasks' data? Give a folder: --tasks-data DIR");
}

std::vector<const TaskSpec*> chosen_tasks(const TaskCatalogue& catalogue, std::span<const std::string> words,
                                          std::vector<const TaskGroup*>& groups) {
  std::vector<const TaskSpec*> tasks;
  const auto add = [&](const std::string& name) {
    const TaskSpec* task = catalogue.find(name);
    if (!task)
      throw std::invalid_argument(fmt::format("a group names the task {}, which there is not", name));
    if (std::find(tasks.begin(), tasks.end(), task) == tasks.end()) tasks.push_back(task);
  };
  const auto add_group = [&](const TaskGroup* group) {
    if (std::find(groups.begin(), groups.end(), group) == groups.end()) groups.push_back(group);
  };
  for (const std::string& word : words) {
    if (const TaskGroup* group = catalogue.find_group(word)) {
      add_group(group);
      for (const std::string& inner : group->groups) add_group(catalogue.find_group(inner));
      for (const std::string& name : group->tasks) add(name);
    } else if (catalogue.find(word)) {
      add(word);
    } else {
      std::vector<std::string> known = catalogue.names();
      for (const std::string& name : task_names()) known.push_back(name);
      throw std::invalid_argument(fmt::format("unknown task '{}'{} (deciban info tasks lists them)", word,
                                              did_you_mean(word, known)));
    }
  }
  return tasks;
}

bool is_task(const TaskCatalogue& catalogue, const std::string& word) {
  return catalogue.find(word) || catalogue.find_group(word);
}

std::vector<TaskRows> find_rows(std::span<const TaskSpec* const> tasks, const std::filesystem::path& folder,
                                bool with_examples, const std::string& folder_word) {
  std::vector<TaskRows> found;
  std::vector<std::string> missing;
  for (const TaskSpec* task : tasks) {
    const TaskData& data = task->data;
    TaskRows rows;
    rows.questions = find_task_rows(folder / data.folder, data.test, data.form);
    if (rows.questions.empty()) add_once(missing, task->name);
    if (with_examples && !data.shots.empty()) {
      rows.examples = find_task_rows(folder / data.folder, data.shots, data.form);
      if (rows.examples.empty()) add_once(missing, task->name);
    }
    found.push_back(std::move(rows));
  }
  if (missing.empty()) return found;
  // All of a family are fetched by its group's name.
  std::vector<std::string> words;
  for (const std::string& name : missing)
    add_once(words, name.starts_with("mmlu_") && missing.size() > 20 ? "mmlu" : name);
  const TaskSpec& first = **std::find_if(tasks.begin(), tasks.end(),
                                         [&](const TaskSpec* task) { return task->name == missing.front(); });
  throw std::runtime_error(fmt::format(
      "{} {} no data in {} ({} should be {}/{}.jsonl{}). Fetch it with: deciban fetch tasks:{}{}{}",
      missing.size() == 1 ? missing.front() : fmt::format("{} tasks", missing.size()),
      missing.size() == 1 ? "has" : "have", folder.string(), missing.size() == 1 ? "it" : "the first",
      first.data.folder, first.data.test,
      with_examples && !first.data.shots.empty()
          ? fmt::format(", and {}.jsonl for examples", first.data.shots)
          : "",
      fmt::join(words, ","), with_examples ? " --examples" : "",
      folder_word.empty() ? "" : " -o " + folder_word));
}

}  // namespace deciban

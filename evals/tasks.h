// Every task there is, in one table.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "evals/task.h"

namespace deciban {

// What the command line may say about tasks.
struct TaskSettings {
  std::size_t least_characters = 2000, most_characters = 5000;  // of uncheatable
  std::size_t derangements = 20;                                // of abstract-conclusion
};

// The kind of table that a task's records make.
enum class TaskReport { compression, abstract_conclusion };

struct TaskEntry {
  std::string_view name;
  std::string_view what;  // one line for --help
  TaskReport report;
  std::unique_ptr<Task> (*make)(const TaskSettings& settings);
};

std::span<const TaskEntry> task_table();
// Null if there is no task of this name.
const TaskEntry* find_task(std::string_view name);
std::vector<std::string> task_names();

}  // namespace deciban

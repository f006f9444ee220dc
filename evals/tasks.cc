#include "evals/tasks.h"

#include <algorithm>

#include "evals/abstract_conclusion.h"
#include "evals/compression.h"
#include "evals/uncheatable.h"

namespace deciban {
namespace {

// A new task is a line here and a file of its own.
constexpr TaskEntry kTasks[] = {
    {"compression", "bits of whole documents", TaskReport::compression,
     [](const TaskSettings&) -> std::unique_ptr<Task> { return std::make_unique<CompressionTask>(); }},
    {"uncheatable", "bits of their first characters, as uncheatable_eval", TaskReport::compression,
     [](const TaskSettings& settings) -> std::unique_ptr<Task> {
       return std::make_unique<UncheatableTask>(settings.least_characters, settings.most_characters);
     }},
    {"abstract-conclusion", "what a paper's abstract tells of its conclusion",
     TaskReport::abstract_conclusion,
     [](const TaskSettings& settings) -> std::unique_ptr<Task> {
       return std::make_unique<AbstractConclusionTask>(settings.derangements);
     }},
};

}  // namespace

std::span<const TaskEntry> task_table() { return kTasks; }

const TaskEntry* find_task(std::string_view name) {
  const auto found = std::find_if(std::begin(kTasks), std::end(kTasks),
                                  [&](const TaskEntry& task) { return task.name == name; });
  return found == std::end(kTasks) ? nullptr : found;
}

std::vector<std::string> task_names() {
  std::vector<std::string> names;
  for (const TaskEntry& task : kTasks) names.emplace_back(task.name);
  return names;
}

}  // namespace deciban

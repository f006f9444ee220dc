// Where the standard tasks' rows lie on this machine, and what is missing of them.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "cli/eval.h"
#include "datasets/corpus.h"
#include "evals/task_spec.h"

namespace deciban {

// The folder of task data: `word` if it is not empty, else $DECIBAN_TASKS_DATA, else
// $XDG_DATA_HOME/deciban/tasks, else ~/.local/share/deciban/tasks.  Throws std::runtime_error if none of
// these is known.
std::filesystem::path task_data_folder(const std::string& word);

// The tasks that words name, each once, in their order; groups stand for their tasks.  `groups` gets the
// groups named, and those within them.  Throws std::invalid_argument for an unknown word, with the nearest.
std::vector<const TaskSpec*> chosen_tasks(const TaskCatalogue& catalogue, std::span<const std::string> words,
                                          std::vector<const TaskGroup*>& groups);
// Whether a word names a task of the catalogue or a group.
bool is_task(const TaskCatalogue& catalogue, const std::string& word);

struct TaskRows {
  std::filesystem::path questions, examples;  // files; examples only where they are asked for
};

// The files of the tasks.  Throws std::runtime_error naming all tasks that have none, and the command that
// fetches them.
std::vector<TaskRows> find_rows(std::span<const TaskSpec* const> tasks, const std::filesystem::path& folder,
                                bool with_examples, const std::string& folder_word);

}  // namespace deciban

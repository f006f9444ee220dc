// A task as its file describes it (evals/tasks/*.json, docs/tasks.md): data, templates, metrics.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "evals/template.h"

namespace deciban {

// Which rules a task's requests follow.
//   lm_eval  lm-evaluation-harness as it is today (0.4.10 and later)
//   paper    its version 0.3, on which the scores of the RWKV papers were made
//   rnn      today's requests for models that carry a state: nothing is cut off
enum class TaskMode { lm_eval, paper, rnn };

// What a task asks and how the answers are judged, under one set of rules.
struct TaskRules {
  enum class Kind {
    multiple_choice,  // the likeliest continuation of one context, or the likeliest context of one
                      // continuation
    word,             // one continuation: its probability, and whether greedy decoding gives it
    text              // a whole text
  };
  enum class Sampler { random, first };

  Kind kind = Kind::multiple_choice;
  std::string version;
  std::vector<std::pair<std::string, Template>>
      fields;               // computed first, of the row's own fields; others may use them
  std::string description;  // before everything
  Template context;
  std::vector<Template> contexts;       // one a choice, instead of `context`; then `continuation` is the same
  std::vector<Template> choices;        // several, or
  std::optional<Template> choice_list;  // one that gives a list
  Template continuation;                // of words, and of choices between contexts
  std::optional<Template> gold;         // index of the right choice
  std::optional<Template> labels, answers;  // names of the choices and the right ones (f1, em)
  std::optional<Template> target;           // what few-shot examples end with; else the right choice
  Template text, counted;                   // of kind text: what is scored, and whose words and bytes count
  std::vector<std::string> metrics;
  std::optional<Template> cluster;  // questions of equal value are not independent
  std::string delimiter = " ", shots_delimiter = "\n\n";
  Sampler sampler = Sampler::random;
  bool last_wins = false;       // of choices with equal scores the last is the answer, not the first
  bool shots_drop_own = false;  // an example more is drawn, and the question itself is dropped from them
};

// Where a task's rows come from.
struct TaskData {
  std::string dataset, config;  // on the Hugging Face hub
  std::string test, shots;      // splits: the questions, and where examples are drawn from (may be empty)
  std::string folder;           // below the folder of task data; its files are SPLIT.jsonl
  std::string form;             // what raw files are known (datasets/task_rows.h); may be empty
};

struct TaskSpec {
  std::string name, what, licence, source;
  std::string alias;          // what the harness's tables call it
  std::string family;         // the name with its $parameter, of tasks that one file describes; else empty
  std::size_t documents = 0;  // in the split `test`, as published; 0: not known
  TaskData data;
  TaskRules rules, paper_rules;
  // What the harness's transform of rows adds to them, for exported samples.
  std::vector<std::pair<std::string, Template>> exported;
  const TaskRules& rules_of(TaskMode mode) const { return mode == TaskMode::paper ? paper_rules : rules; }
};

// Tasks whose mean is shown.
struct TaskGroup {
  std::string name, what, alias;
  std::vector<std::string> tasks;               // all of them, those of groups within it too
  std::vector<std::string> groups;              // groups within it
  bool weighted = true;                         // by the number of documents; else a plain mean of the tasks
  std::map<std::string, std::string> measures;  // the one measure that counts for a task; else those it has
};

struct TaskCatalogue {
  std::vector<TaskSpec> tasks;
  std::vector<TaskGroup> groups;
  const TaskSpec* find(std::string_view name) const;  // null if there is none
  const TaskGroup* find_group(std::string_view name) const;
  std::vector<std::string> names() const;  // of groups and tasks
};

// Adds what one file describes: a task, a family of tasks, groups.  `file` names it in errors.  Throws
// std::invalid_argument for what is wrong in it, and for a name that is taken.
void add_task_file(TaskCatalogue& catalogue, const std::string& file, std::string_view text);

// The tasks that the program brings along, and those of the *.json files of `folder`, if it is not empty.
TaskCatalogue task_catalogue(const std::filesystem::path& folder = {});

// "lm-eval", "paper", "rnn".
std::string task_mode_name(TaskMode mode);

}  // namespace deciban

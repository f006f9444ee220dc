// The shapes in which authors gave out their task data, turned into the hub's rows.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace deciban {

using TaskRow = nlohmann::ordered_json;

struct TaskForm {
  std::string_view name;
  // Rows of a file that is no JSON; null: there is none.
  std::vector<TaskRow> (*from_text)(std::string_view text);
  // Rows of one JSON value that may hold several or need changes.  Throws std::runtime_error saying what is
  // missing.  Null: it is a row as it stands.
  std::vector<TaskRow> (*from_json)(TaskRow value);
  // "validation" → "val.jsonl" and the like.
  std::vector<std::string_view> (*file_names)(std::string_view split);
};

// Null if there is none of this name.
const TaskForm* find_task_form(std::string_view name);

}  // namespace deciban

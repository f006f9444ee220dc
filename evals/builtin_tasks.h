// The task files that are part of the program: evals/tasks/*.json as they were when it was built.
#pragma once

#include <span>
#include <string_view>

namespace deciban {

struct BuiltinTask {
  std::string_view name;  // of the file: "arc_easy.json"
  std::string_view text;
};

// By name.
std::span<const BuiltinTask> builtin_tasks();

}  // namespace deciban

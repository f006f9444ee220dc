#include "evals/tasks.h"

#include <gtest/gtest.h>

#include <set>

namespace deciban {
namespace {

TEST(Tasks, EachHasItsNameAndAVersion) {
  std::set<std::string> names;
  for (const TaskEntry& entry : task_table()) {
    const auto task = entry.make({});
    EXPECT_EQ(task->name(), entry.name);
    EXPECT_FALSE(task->version().empty());
    EXPECT_FALSE(task->aggregations().empty());
    EXPECT_TRUE(names.insert(task->name()).second);
    EXPECT_EQ(find_task(entry.name), &entry);
  }
  EXPECT_EQ(find_task("compresion"), nullptr);
  EXPECT_EQ(task_names().size(), names.size());
}

TEST(Tasks, SettingsReachThem) {
  TaskSettings settings;
  settings.most_characters = 9000;
  EXPECT_EQ(find_task("uncheatable")->make(settings)->version(), "1:2000:9000");
  settings.derangements = 40;
  EXPECT_EQ(find_task("abstract-conclusion")->make(settings)->version(), "1:40");
}

}  // namespace
}  // namespace deciban

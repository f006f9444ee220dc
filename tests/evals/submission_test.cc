#include "evals/submission.h"

#include <gtest/gtest.h>

namespace deciban {
namespace {

Record record(const std::string& published) {
  Record r;
  if (!published.empty()) r.labels["published"] = published;
  return r;
}

TEST(Submission, ReadsCutoffs) {
  EXPECT_EQ(parse_cutoff("2025-03"), "2025-03");
  EXPECT_EQ(parse_cutoff("2025-03-15"), "2025-03-15");
  for (const char* bad :
       {"", "2025", "2025-13", "2025-3", "2025-03-1", "2025-03-32", "March 2025", "2025-03-15x"})
    EXPECT_THROW(parse_cutoff(bad), std::invalid_argument) << bad;
  EXPECT_EQ(later_cutoff("2025-03", "2025-03-15"), "2025-03");
  EXPECT_EQ(later_cutoff("2024-12", "2025-01-01"), "2025-01-01");
  EXPECT_EQ(later_cutoff("", "2025-01"), "2025-01");
}

// A text counts as new only if it must be: a month as cut-off counts to its end, a month as date from its
// beginning.
TEST(Submission, NewerIsNewerForCertain) {
  EXPECT_TRUE(is_after("2025-04-01", "2025-03"));
  EXPECT_TRUE(is_after("2025-04", "2025-03"));
  EXPECT_FALSE(is_after("2025-03-31", "2025-03"));
  EXPECT_FALSE(is_after("2025-03", "2025-03-15"));
  EXPECT_TRUE(is_after("2025-03-16T10:00:00Z", "2025-03-15"));
  EXPECT_FALSE(is_after("2025-03-15T10:00:00Z", "2025-03-15"));
  EXPECT_FALSE(is_after("", "2025-03"));
  EXPECT_FALSE(is_after("soon", "2025-03"));
}

TEST(Submission, PartsRecords) {
  const std::vector<Record> records{record("2025-02-01"), record("2025-05-09"), record(""),
                                    record("2025-05")};
  const auto parts = part_by_cutoff(records, "2025-03");
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(parts[0].name, "after 2025-03");
  EXPECT_EQ(parts[0].records.size(), 2u);
  EXPECT_EQ(parts[1].name, "until 2025-03");
  EXPECT_EQ(parts[2].name, "undated");
  const auto months = part_by_month(records);
  ASSERT_EQ(months.size(), 3u);
  EXPECT_EQ(months[0].name, "2025-05");
  EXPECT_EQ(months[0].records.size(), 2u);
  EXPECT_EQ(months[2].name, "undated");
}

}  // namespace
}  // namespace deciban

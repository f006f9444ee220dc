#include "evals/abstract_conclusion_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

namespace deciban {
namespace {

Record record(const std::string& corpus, int i, double own, double other, double nothing) {
  Record r;
  r.model = "m";
  r.task = "abstract-conclusion";
  r.windowing = "whole";
  r.corpus = corpus;
  r.document = std::to_string(i);
  const double bytes = 100 + i;
  r.measures = {{"bits_given_own", {own * bytes, bytes}},
                {"bits_given_other", {other * bytes, bytes}},
                {"bits_given_nothing", {nothing * bytes, bytes}},
                {"bits_told_by_abstract", {(other - own) * bytes, bytes}},
                {"control_level", {0, 1}}};
  r.queries.resize(7);
  return r;
}

nlohmann::json rows(const std::vector<Record>& records, const std::vector<std::string>& corpora) {
  const std::vector<TableModel> models{{"m", "whole"}};
  std::ostringstream text;
  print(text, abstract_conclusion_table(records, models, corpora, 1), TableFormat::json);
  return nlohmann::json::parse(text.str());
}

TEST(AbstractConclusionTable, ShowsTheDifferenceWithItsInterval) {
  std::vector<Record> records;
  for (int i = 0; i < 20; ++i) records.push_back(record("c", i, 1.5, 1.5 + 0.1 * (1 + i % 3), 2));
  records.push_back(record("c", 90, 9, 9, 9));
  records.back().status = "failed";
  records.push_back(record("c", 91, 9, 9, 9));
  records.back().task = "compression";
  const auto row = rows(records, {"c"}).at(0);
  EXPECT_EQ(row["documents"], 20);
  EXPECT_EQ(row["failed"], 1);
  EXPECT_EQ(row["queries"], 140);
  EXPECT_NEAR(row["bits_per_byte_given_own"].get<double>(), 1.5, 1e-12);
  EXPECT_NEAR(row["bits_per_byte_given_nothing"].get<double>(), 2, 1e-12);
  const double told = row["bits_per_byte_told_by_abstract"];
  EXPECT_NEAR(told, row["bits_per_byte_given_other"].get<double>() - 1.5, 1e-12);
  EXPECT_LT(row["bits_per_byte_told_low"].get<double>(), told);
  EXPECT_GT(row["bits_per_byte_told_high"].get<double>(), told);
  // The order that documents were scored in moves nothing.
  std::reverse(records.begin(), records.end());
  EXPECT_EQ(rows(records, {"c"}).at(0), row);
}

TEST(AbstractConclusionTable, SeveralCorporaArePooled) {
  std::vector<Record> records;
  for (int i = 0; i < 12; ++i) records.push_back(record("a", i, 1, 2, 3));
  for (int i = 0; i < 12; ++i) records.push_back(record("b", i, 1, 4, 5));
  const auto all = rows(records, {"a", "b"});
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[2]["corpus"], "all");
  EXPECT_NEAR(all[2]["bits_per_byte_told_by_abstract"].get<double>(), 2, 1e-12);
  EXPECT_TRUE(rows({record("a", 1, 1, 2, 3)}, {"a"}).at(0)["bits_per_byte_told_low"].is_null());
}

}  // namespace
}  // namespace deciban

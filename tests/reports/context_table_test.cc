#include "reports/context_table.h"

#include <gtest/gtest.h>

namespace deciban {
namespace {

Record record(const std::string& model, const std::string& task, std::size_t document, double bits) {
  Record r;
  r.model = model;
  r.task = task;
  r.corpus = task == "recall" ? "recall 4 pairs in 1024 bytes" : "papers";
  r.document = std::to_string(document);
  r.tokens = 256;
  r.measures["bits_per_byte"] = {bits, 1024};
  r.measures["choice"] = {document % 2 == 0 ? 1.0 : 0.0, 1};
  return r;
}

TEST(ContextTable, PairsEachContextWithNone) {
  std::vector<Record> records;
  for (std::size_t d = 0; d < 12; ++d) {
    const double own = 2048 + 100.0 * static_cast<double>(d);
    records.push_back(record("a", "context:4096", d, own - 512));
    records.push_back(record("a", "context:0", d, own));
    records.push_back(record("a", "context:odd", d, 1));  // no context size
  }
  Record failed = record("b", "context:4096", 0, 0);
  failed.status = "failed";
  failed.reason = "too long";
  records.push_back(failed);
  CostPoint cost;
  cost.model = "a";
  cost.length = 1300;  // 256 tokens of 1024 bytes: 1280 for 5120
  cost.metrics["prefill_seconds"] = {0.25, 0.25, 0.25, 1};
  const std::vector<CostPoint> costs{cost};
  const auto rows = context_rows(records, costs);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].context, 0u);
  EXPECT_NEAR(rows[0].bits_per_byte.value, (2048 + 550) / 1024.0, 1e-12);
  EXPECT_EQ(rows[0].cost, nullptr);
  EXPECT_EQ(rows[1].context, 4096u);
  EXPECT_NEAR(rows[1].gain.value, 0.5, 1e-12);
  ASSERT_TRUE(rows[1].gain.interval);  // the same gain in every document
  EXPECT_NEAR(rows[1].gain.interval->high - rows[1].gain.interval->low, 0, 1e-9);
  EXPECT_NEAR(rows[1].tokens, 1280, 1e-9);
  EXPECT_EQ(rows[1].cost, &costs[0]);
  EXPECT_EQ(rows[2].failure, "too long");
  const Table table = context_table(rows);
  EXPECT_EQ(table.rows[1][8].text, "250 ms");
  EXPECT_EQ(table.notes[0], "b with 4096 bytes of context: too long");
}

TEST(RecallTable, SharesStayWithinTheirBounds) {
  std::vector<Record> records;
  for (std::size_t d = 0; d < 10; ++d) records.push_back(record("a", "recall", 2 * d, 3000));
  const Table table = recall_table(records);
  ASSERT_EQ(table.rows.size(), 1u);
  EXPECT_EQ(table.rows[0][4].text, "100 %");
  EXPECT_EQ(table.rows[0][5].text, "72 … 100 %");
}

}  // namespace
}  // namespace deciban

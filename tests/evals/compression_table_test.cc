#include "evals/compression_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>
#include <sstream>

#include "evals/compressor_records.h"

namespace deciban {
namespace {

using nlohmann::json;
using testing::HasSubstr;

Record record(const std::string& model, const std::string& corpus, int i, double bits_per_byte,
              std::uint64_t bytes = 100) {
  Record r;
  r.model = model;
  r.task = "compression";
  r.windowing = "whole";
  r.corpus = corpus;
  r.document = std::to_string(i);
  r.bytes = bytes;
  r.characters = bytes / 2;
  r.tokens = r.scored_tokens = bytes / 4;
  r.logprob = -bits_per_byte * static_cast<double>(bytes) * std::numbers::ln2;
  r.seconds = 0.5;
  return r;
}

json rows(const Table& table) {
  std::ostringstream text;
  print(text, table, TableFormat::json);
  return json::parse(text.str());
}

Table table_of(const std::vector<Record>& records, const std::vector<TableModel>& models,
               const std::vector<std::string>& corpora) {
  return compression_table(records, models, corpora, 1);
}

TEST(CompressionTable, FiguresComeFromTheRecords) {
  std::vector<Record> records;
  for (int i = 0; i < 20; ++i) records.push_back(record("m", "c", i, 1.0 + 0.05 * (i % 5)));
  const json row =
      rows(table_of(records, {{"m", "whole", "", "f32", "cpu", 2116416, 1000, 500, false}}, {"c"}))[0];
  EXPECT_NEAR(row["bits_per_byte"].get<double>(), 1.1, 1e-12);
  EXPECT_LT(row["bits_per_byte_low"], 1.1);
  EXPECT_GT(row["bits_per_byte_high"], 1.1);
  EXPECT_NEAR(row["compression_rate_percent"].get<double>(), 13.75, 1e-9);
  EXPECT_NEAR(row["bits_per_character"].get<double>(), 2.2, 1e-12);
  EXPECT_NEAR(row["nats_per_token"].get<double>(), 4.4 * std::numbers::ln2, 1e-12);
  EXPECT_NEAR(row["bytes_per_second"].get<double>(), 200, 1e-9);
  EXPECT_NEAR(row["tokens_per_second"].get<double>(), 50, 1e-9);
  EXPECT_EQ(row["documents"], 20);
  EXPECT_EQ(row["bytes"], 2000);
  EXPECT_EQ(row["peak_memory_bytes"], 1000);
  EXPECT_EQ(row["state_bytes"], 500);
}

TEST(CompressionTable, OtherRecordsDoNotCount) {
  std::vector<Record> records{record("m", "c", 0, 1), record("other", "c", 0, 5), record("m", "other", 0, 5)};
  records.push_back(record("m", "c", 1, 5));
  records.back().windowing = "tokens:8";
  records.push_back(record("m", "c", 2, 5));
  records.back().task = "piqa";
  records.push_back(record("m", "c", 3, 5));
  records.back().status = "failed";
  const json row = rows(table_of(records, {{"m", "whole"}}, {"c"}))[0];
  EXPECT_NEAR(row["bits_per_byte"].get<double>(), 1, 1e-12);
  EXPECT_EQ(row["documents"], 1);
  EXPECT_EQ(row["failed"], 1);
}

TEST(CompressionTable, FewDocumentsHaveNoIntervalAndANoteSaysSo) {
  std::vector<Record> records;
  for (int i = 0; i < 9; ++i) records.push_back(record("m", "c", i, 1 + 0.1 * i));
  const Table table = table_of(records, {{"m", "whole"}}, {"c"});
  EXPECT_TRUE(rows(table)[0]["bits_per_byte_low"].is_null());
  ASSERT_EQ(table.notes.size(), 1u);
  EXPECT_THAT(table.notes[0], HasSubstr("fewer than 10 documents"));
}

TEST(CompressionTable, CorporaAreShownPooledAndAveraged) {
  std::vector<Record> records;
  for (int i = 0; i < 12; ++i) {
    records.push_back(record("m", "small", i, 1.0, 100));
    records.push_back(record("m", "large", i, 2.0, 300));
  }
  const json all = rows(table_of(records, {{"m", "whole"}}, {"small", "large"}));
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[2]["corpus"], "all bytes");
  EXPECT_NEAR(all[2]["bits_per_byte"].get<double>(), 1.75, 1e-12);
  EXPECT_EQ(all[3]["corpus"], "mean of corpora");
  EXPECT_NEAR(all[3]["bits_per_byte"].get<double>(), 1.5, 1e-12);
  EXPECT_NEAR(all[3]["bits_per_character"].get<double>(), 3.0, 1e-12);
}

TEST(CompressionTable, UnscoredBytesAreChargedApart) {
  std::vector<Record> records;
  for (int i = 0; i < 10; ++i) {
    records.push_back(record("m", "c", i, 1.0));
    records.back().unscored_bytes = 5;
  }
  const Table table = table_of(records, {{"m", "whole"}}, {"c"});
  const json row = rows(table)[0];
  EXPECT_NEAR(row["bits_per_byte"].get<double>(), 1.0, 1e-12);
  EXPECT_NEAR(row["bits_per_byte_charged"].get<double>(), 1.4, 1e-12);
  EXPECT_EQ(row["unscored_bytes"], 50);
  std::ostringstream text;
  print(text, table, TableFormat::table, 200);
  EXPECT_THAT(text.str(), HasSubstr("charged"));
  for (Record& r : records) r.unscored_bytes = 0;
  std::ostringstream scored;
  print(scored, table_of(records, {{"m", "whole"}}, {"c"}), TableFormat::table, 200);
  EXPECT_THAT(scored.str(), testing::Not(HasSubstr("charged")));
}

TEST(CompressionTable, WindowsAreShownWhereTheyDiffer) {
  std::vector<Record> records;
  for (int i = 0; i < 10; ++i) {
    records.push_back(record("m", "c", i, 1.0));
    records.push_back(record("m", "c", i, 1.1));
    records.back().windowing = "bytes:512";
  }
  const Table table = table_of(records, {{"m", "bytes:512", "matched"}, {"m", "whole", "own best"}}, {"c"});
  std::ostringstream text;
  print(text, table, TableFormat::table, 200);
  EXPECT_THAT(text.str(), HasSubstr("bytes:512 (matched)"));
  EXPECT_THAT(text.str(), HasSubstr("whole (own best)"));
  EXPECT_NEAR(rows(table)[0]["bits_per_byte"].get<double>(), 1.1, 1e-12);
}

TEST(CompressionTable, CopiedResultsDoNotCountAsSpeed) {
  std::vector<Record> records{record("m", "c", 0, 1), record("m", "c", 1, 1)};
  records[1].seconds = 0;
  EXPECT_NEAR(rows(table_of(records, {{"m", "whole"}}, {"c"}))[0]["bytes_per_second"].get<double>(), 200,
              1e-9);
}

TEST(CompressionTable, SolidArchivesHaveOneFigure) {
  std::vector<Record> records{record("xz -9e, solid", "c", 0, 2.0, 1000)};
  records[0].windowing = kSolidArchive;
  records[0].scored_tokens = 0;
  const Table table = table_of(records, {{"xz -9e, solid", std::string(kSolidArchive)}}, {"c"});
  EXPECT_TRUE(rows(table)[0]["bits_per_byte_low"].is_null());
  EXPECT_TRUE(rows(table)[0]["scored_tokens"].is_null());
  ASSERT_FALSE(table.notes.empty());
  EXPECT_THAT(table.notes[0], HasSubstr("one archive"));
}

TEST(CompressionTable, NothingScoredIsAnEmptyTable) {
  EXPECT_TRUE(table_of({}, {{"m", "whole"}}, {"c"}).rows.empty());
}

}  // namespace
}  // namespace deciban

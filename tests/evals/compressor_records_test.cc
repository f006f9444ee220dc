#include "evals/compressor_records.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <numbers>

#include "datasets/sha256.h"
#include "evals/compressor.h"

namespace deciban {
namespace {

class CompressorRecords : public testing::Test {
 protected:
  CompressorRecords() {
    corpus_.name = "texts";
    for (int i = 0; i < 4; ++i) {
      Document document;
      document.id = std::to_string(i);
      document.text = fmt::format("text number {} with some words that all of them share", i);
      document.digest = Sha256::of(document.text);
      corpus_.documents.push_back(document);
    }
    Document tokens;
    tokens.id = "tokens";
    tokens.tokens = {1, 2, 3};
    corpus_.documents.push_back(tokens);
  }
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() /
              fmt::format("deciban-xz-{}-{}", ::getpid(),
                          testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  RunSummary go(const Shard& shard = {}) {
    RunDirectory directory(folder_, shard.file_suffix());
    const Corpus* const corpora[] = {&corpus_};
    return record_compressors(corpora, {}, shard, directory, nullptr);
  }
  std::map<std::string, Record> records() const {
    std::map<std::string, Record> result;
    for (const Record& record : read_records({folder_}))
      result[record.model + "/" + record.document] = record;
    return result;
  }

  std::filesystem::path folder_;
  Corpus corpus_;
};

TEST_F(CompressorRecords, HoldTheSizesOfDocumentsAndOfTheSolidArchive) {
  const RunSummary summary = go();
  EXPECT_EQ(summary.progress.done, 20u);  // four compressors, four documents and one archive
  EXPECT_EQ(summary.keys.size(), 20u);
  const auto all = records();
  const Record& one = all.at("xz -9e/2");
  EXPECT_DOUBLE_EQ(-one.logprob / std::numbers::ln2 / 8,
                   static_cast<double>(xz_size(corpus_.documents[2].text).bytes));
  EXPECT_EQ(one.bytes, corpus_.documents[2].text.size());
  EXPECT_GT(one.measures.at("header_bytes").sum, 0);
  const Record& solid = all.at("zstd -19 --ultra, solid/(all 4 documents)");
  EXPECT_EQ(solid.bytes, 4 * corpus_.documents[0].text.size());
  EXPECT_EQ(solid.windowing, kSolidArchive);
  EXPECT_LT(-solid.logprob, -4 * all.at("zstd -19 --ultra/0").logprob);
}

TEST_F(CompressorRecords, AreMadeOnce) {
  go();
  const RunSummary again = go();
  EXPECT_EQ(again.progress.done, 0u);
  EXPECT_EQ(again.progress.resumed, 20u);
}

TEST_F(CompressorRecords, ShardsHaveNoSolidArchive) {
  go({0, 2});
  go({1, 2});
  EXPECT_EQ(records().size(), 16u);
}

TEST(CompressorRows, AreKnownByTheirLabels) {
  for (const CompressorRow& row : compressor_rows()) EXPECT_TRUE(is_compressor(row.label));
  EXPECT_FALSE(is_compressor("rwkv7"));
}

}  // namespace
}  // namespace deciban

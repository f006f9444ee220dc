#include "evals/run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <numbers>

#include "datasets/sha256.h"
#include "evals/compression.h"
#include "reports/statistics.h"
#include "tests/evals/fake_models.h"

namespace deciban {
namespace {

using fakes::HashModel;
using fakes::LossyModel;
using fakes::PairModel;
using fakes::TroubledModel;
using fakes::UniformModel;
using testing::HasSubstr;

class Run : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() /
              fmt::format("deciban-run-{}-{}", ::getpid(),
                          testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path at(const std::string& name) const { return folder_ / name; }

  RunSummary go(LanguageModel& model, const std::string& name, const RunOptions& options = {},
                RunObserver* observer = nullptr) {
    RunDirectory directory(at(name), options.shard.file_suffix());
    Task* const tasks[] = {&task_};
    const Corpus* const corpora[] = {&corpus_, &other_};
    return run(model, tasks, corpora, options, directory, observer);
  }

  // By corpus and document; without what may differ between two equal runs.
  std::map<std::string, std::string> records(const std::string& name) const {
    std::map<std::string, std::string> result;
    for (Record record : read_records({at(name)})) {
      record.seconds = 0;
      const std::string id = record.corpus + "/" + record.document;
      EXPECT_FALSE(result.contains(id)) << id;
      result[id] = to_json_line(record);
    }
    return result;
  }
  Record record(const std::string& name, const std::string& document) const {
    for (Record& record : read_records({at(name)})) {
      if (record.corpus + "/" + record.document == document) return record;
    }
    ADD_FAILURE() << "no record of " << document;
    return {};
  }

  static void add(Corpus& corpus, const std::string& text) {
    Document document;
    document.id = std::to_string(corpus.documents.size());
    document.text = text;
    document.digest = Sha256::of(text);
    corpus.documents.push_back(document);
  }
  static Corpus make(const std::string& name, std::size_t documents) {
    Corpus corpus;
    corpus.name = name;
    corpus.digest = Sha256::of(name);
    for (std::size_t i = 0; i < documents; ++i) {
      std::string text = fmt::format("{} number {}: ", name, i);
      for (std::size_t k = 0; k < (i * 37) % 90; ++k) text += static_cast<char>('a' + (i + k * k) % 26);
      add(corpus, text + "é漢");
    }
    return corpus;
  }

  std::filesystem::path folder_;
  CompressionTask task_;
  Corpus corpus_ = make("first", 12), other_ = make("second", 5);
};

TEST_F(Run, UniformModelNeedsEightBitsAByte) {
  UniformModel model;
  const RunSummary summary = go(model, "out");
  EXPECT_EQ(summary.progress.done, 17u);
  EXPECT_EQ(summary.progress.failed, 0u);
  std::uint64_t bytes = 0;
  for (const Record& record : read_records({at("out")})) {
    const Measure bits = record.measures.at("bits_per_byte");
    EXPECT_NEAR(bits.sum, 8.0 * static_cast<double>(record.bytes), 1e-6 * bits.sum);
    EXPECT_EQ(bits.weight, static_cast<double>(record.bytes));
    EXPECT_EQ(record.scored_tokens, record.bytes);
    EXPECT_EQ(record.characters, record.bytes - 3);
    EXPECT_EQ(record.model, "uniform");
    EXPECT_EQ(record.labels.at("start"), "0");
    EXPECT_GE(record.seconds, 0);
    bytes += record.bytes;
  }
  EXPECT_EQ(bytes, corpus_.bytes() + other_.bytes());
}

TEST_F(Run, SumsAreTheModelsProbabilitiesInOrder) {
  HashModel model;
  go(model, "out");
  const std::vector<Token> tokens = model.encode("\0" + corpus_.documents[7].text);
  std::vector<Token> all{0};
  const std::vector<Token> text = model.encode(corpus_.documents[7].text);
  all.insert(all.end(), text.begin(), text.end());
  CompensatedSum sum;
  for (std::size_t i = 1; i < all.size(); ++i)
    sum.add(HashModel::of(std::span(all).first(i), all[i]).logprob);
  EXPECT_EQ(record("out", "first/7").logprob, sum.value());
}

TEST_F(Run, OrderOfDeliveryChangesNothing) {
  for (const char* window : {"whole", "tokens:17:5", "bytes:24:8", "uncheatable:9", "uncheatable2:9"}) {
    RunOptions options;
    options.windowing = Windowing::parse(window);
    PairModel straight;
    go(straight, std::string("straight") + window, options);
    PairModel scrambled;
    scrambled.room = 23;
    scrambled.scramble = true;
    go(scrambled, std::string("scrambled") + window, options);
    EXPECT_EQ(records(std::string("straight") + window), records(std::string("scrambled") + window))
        << window;
  }
}

TEST_F(Run, WhatHasARecordIsSkipped) {
  HashModel model;
  RunOptions some;
  some.limit = Limit::parse("4");
  EXPECT_EQ(go(model, "out", some).progress.done, 8u);
  const std::size_t before = model.sequences;
  const RunSummary summary = go(model, "out");
  EXPECT_EQ(summary.progress.resumed, 8u);
  EXPECT_EQ(summary.progress.done, 9u);
  EXPECT_EQ(summary.keys.size(), 17u);
  EXPECT_EQ(model.sequences - before, 9u);
  HashModel fresh;
  go(fresh, "once");
  EXPECT_EQ(records("out"), records("once"));
}

TEST_F(Run, AnotherPolicyIsAnotherResult) {
  HashModel model;
  go(model, "out");
  RunOptions other;
  other.windowing = Windowing::parse("tokens:16:8");
  EXPECT_EQ(go(model, "out", other).progress.resumed, 0u);
  other.start = StartPolicy::parse("none");
  EXPECT_EQ(go(model, "out", other).progress.resumed, 0u);
  model.edit().numerics_version = 2;
  EXPECT_EQ(go(model, "out").progress.resumed, 0u);
  // A start token that a policy does not use does not matter.
  RunOptions old;
  old.windowing = Windowing::parse("uncheatable:16");
  EXPECT_EQ(go(model, "out", old).progress.resumed, 0u);
  old.start = StartPolicy::parse("none");
  EXPECT_EQ(go(model, "out", old).progress.resumed, 17u);
}

TEST_F(Run, DocumentsWithTheSameTextAreScoredOnce) {
  add(corpus_, corpus_.documents[3].text);
  add(other_, corpus_.documents[3].text);
  other_.documents.back().published = "2026-04-01";
  HashModel model;
  const RunSummary summary = go(model, "out");
  EXPECT_EQ(summary.repeated, 2u);
  EXPECT_EQ(model.sequences, 17u);
  EXPECT_EQ(records("out").size(), 19u);
  EXPECT_EQ(record("out", "first/12").logprob, record("out", "first/3").logprob);
  EXPECT_EQ(record("out", "second/5").labels.at("published"), "2026-04-01");
  EXPECT_EQ(go(model, "out").progress.resumed, 19u);
  EXPECT_EQ(records("out").size(), 19u);
}

TEST_F(Run, ShardsMakeOneRun) {
  HashModel whole;
  go(whole, "once");
  std::set<std::string> keys;
  for (std::size_t i = 0; i < 3; ++i) {
    HashModel model;
    RunOptions options;
    options.shard = {i, 3};
    for (const std::string& key : go(model, "shards", options).keys) EXPECT_TRUE(keys.insert(key).second);
  }
  EXPECT_EQ(records("shards"), records("once"));
}

TEST_F(Run, OneFailureIsOneFailedRecord) {
  corpus_.documents[2].error = "row 3: no text";
  add(corpus_, "");
  for (const auto& [trouble, reason] : std::map<TroubledModel::Trouble, std::string>{
           {TroubledModel::Trouble::fails, "out of paper"},
           {TroubledModel::Trouble::nan, "not a number"},
           {TroubledModel::Trouble::positive, "above 1"},
           {TroubledModel::Trouble::minus_infinity, "probability of 0"},
           {TroubledModel::Trouble::too_few, "scores for"},
           {TroubledModel::Trouble::silent, "no result"}}) {
    TroubledModel model;
    model.trouble = trouble;
    model.when = {4};
    model.room = 3;
    const std::string name = std::to_string(static_cast<int>(trouble));
    const RunSummary summary = go(model, name);
    EXPECT_EQ(summary.progress.failed, 3u);
    EXPECT_EQ(summary.progress.done, 18u);
    EXPECT_EQ(summary.first_failure, "first/2: row 3: no text");
    EXPECT_EQ(record(name, "first/5").status, "failed");  // the fifth sequence; document 2 had none
    EXPECT_THAT(record(name, "first/5").reason, HasSubstr(reason));
    EXPECT_THAT(record(name, "first/12").reason, HasSubstr("empty"));
    // Failed documents are tried again.
    HashModel well;
    EXPECT_EQ(go(well, name).progress.done, 3u);
    EXPECT_EQ(record(name, "first/5").status, "ok");
  }
}

TEST_F(Run, OneFailedWindowFailsItsDocument) {
  TroubledModel model;
  model.trouble = TroubledModel::Trouble::fails;
  model.when = {1};
  model.room = 5;
  model.scramble = true;
  RunOptions options;
  options.windowing = Windowing::parse("tokens:8");
  const RunSummary summary = go(model, "out", options);
  EXPECT_EQ(summary.progress.failed, 1u);
  EXPECT_EQ(summary.progress.done, 17u);
}

TEST_F(Run, ALostModelEndsTheRunAndKeepsTheRecords) {
  TroubledModel model;
  model.trouble = TroubledModel::Trouble::throws;
  model.when = {6};
  EXPECT_THROW(go(model, "out"), std::runtime_error);
  EXPECT_EQ(records("out").size(), 6u);
  HashModel well;
  EXPECT_EQ(go(well, "out").progress.resumed, 6u);
}

TEST_F(Run, ASecondDeliveryIsAnErrorOfTheModel) {
  TroubledModel model;
  model.trouble = TroubledModel::Trouble::twice;
  model.when = {2};
  EXPECT_THROW(go(model, "out"), std::runtime_error);
}

TEST_F(Run, StopsWhenAskedAndGoesOnLater) {
  std::atomic<bool> stop = false;
  struct StopAfter : RunObserver {
    std::atomic<bool>& stop;
    explicit StopAfter(std::atomic<bool>& s) : stop(s) {}
    void recorded(const Record&) override {
      if (++seen == 5) stop = true;
    }
    int seen = 0;
  } observer(stop);
  HashModel model;
  model.room = 2;
  RunOptions options;
  options.stop = &stop;
  const RunSummary summary = go(model, "out", options, &observer);
  EXPECT_TRUE(summary.interrupted);
  EXPECT_LE(records("out").size(), 7u);
  stop = false;
  EXPECT_FALSE(go(model, "out", options).interrupted);
  HashModel fresh;
  go(fresh, "once");
  EXPECT_EQ(records("out"), records("once"));
}

TEST_F(Run, ErrorsOfWritingReachTheCaller) {
  struct Failing : RunObserver {
    void recorded(const Record&) override { throw std::runtime_error("disk full"); }
  } observer;
  HashModel model;
  model.room = 4;
  EXPECT_THROW(go(model, "out", {}, &observer), std::runtime_error);
}

TEST_F(Run, LimitedModelsFailOnlyWhatDoesNotFit) {
  HashModel model;
  model.edit().context_limit = 60;
  const RunSummary summary = go(model, "out");
  EXPECT_GT(summary.progress.failed, 0u);
  EXPECT_LT(summary.progress.failed, 17u);
  EXPECT_THAT(summary.first_failure, HasSubstr("--window tokens:60:30"));
}

TEST_F(Run, AWindowWithoutRoomIsTheCallersMistake) {
  HashModel model;
  RunOptions options;
  options.windowing = Windowing::parse("tokens:4:3");
  EXPECT_THROW(go(model, "out", options), std::invalid_argument);
  options.windowing = Windowing::parse("uncheatable2:8");
  options.start = StartPolicy::parse("none");
  EXPECT_THROW(go(model, "out", options), std::invalid_argument);
}

TEST_F(Run, NormalisingTokenizersAreCounted) {
  add(corpus_, "Shouting LOUDLY in a text of its own");
  LossyModel model;
  const RunSummary summary = go(model, "out");
  EXPECT_EQ(summary.lossy_documents, 1u);
  EXPECT_EQ(record("out", "first/12").lossy_bytes, 7u);
  EXPECT_EQ(record("out", "first/12").bytes, 36u);  // of the raw text
}

TEST_F(Run, PretokenisedDocumentsAreScoredAsTheyAre) {
  PairModel model;
  Document document;
  document.id = "given";
  document.tokens = {'a', 'b', 300, ' '};
  document.digest = "digest of the tokens";
  document.fields = {{"category", "cs.CL"}, {"source", "arXiv"}};
  corpus_.documents = {document};
  document.id = "foreign";
  document.digest = "another";
  document.tokens = {5000};
  corpus_.documents.push_back(document);
  go(model, "out");
  const Record given = record("out", "first/given");
  EXPECT_EQ(given.tokens, 4u);
  EXPECT_EQ(given.bytes, 5u);
  EXPECT_EQ(given.labels.at("category"), "cs.CL");
  EXPECT_EQ(given.labels.at("source"), "arXiv");
  EXPECT_THAT(record("out", "first/foreign").reason, HasSubstr("token 0 is 5000"));
}

TEST_F(Run, SecondsOfTheDocumentsAddUp) {
  struct Slow : HashModel {
    void deliver(std::size_t index, const Sequence& sequence, ScoreSink& done) override {
      ::usleep(2000);
      HashModel::deliver(index, sequence, done);
    }
  } model;
  model.room = 6;
  const RunSummary summary = go(model, "out");
  double seconds = 0;
  for (const Record& record : read_records({at("out")})) seconds += record.seconds;
  EXPECT_GT(seconds, 17 * 0.002 * 0.95);
  EXPECT_LE(seconds, summary.progress.seconds * 1.05);
}

TEST_F(Run, TokenScoresAddUpToTheRecords) {
  PairModel model;
  model.room = 5;
  model.scramble = true;
  RunOptions options;
  options.windowing = Windowing::parse("uncheatable:9");
  std::filesystem::create_directories(folder_);
  {
    TokenScoreWriter writer(at("scores.bin"));
    options.token_scores = &writer;
    go(model, "out", options);
  }
  std::map<std::string, Record> by_key;
  for (const Record& record : read_records({at("out")})) by_key[record.key] = record;
  TokenScoreReader reader(at("scores.bin"));
  std::size_t documents = 0;
  while (const auto document = reader.next()) {
    ++documents;
    const Record& record = by_key.at(document->key);
    ASSERT_EQ(document->queries.size(), 1u);
    const TokenColumns& columns = document->queries[0];
    CompensatedSum sum;
    std::uint64_t bytes = 0, scored = 0, unscored_bytes = 0;
    for (std::size_t i = 0; i < columns.tokens.size(); ++i) {
      bytes += columns.bytes[i];
      if (std::isnan(columns.logprob[i])) {
        unscored_bytes += columns.bytes[i];
        EXPECT_EQ(columns.best[i], -1);
      } else {
        sum.add(columns.logprob[i]);
        ++scored;
        EXPECT_GE(columns.best_logprob[i], columns.logprob[i]);
      }
    }
    EXPECT_EQ(bytes, record.bytes);
    EXPECT_EQ(scored, record.scored_tokens);
    EXPECT_EQ(unscored_bytes, record.unscored_bytes);
    EXPECT_NEAR(sum.value(), record.logprob, 1e-9);
  }
  EXPECT_EQ(documents, 17u);
}

TEST_F(Run, TokenScoresAreMadeUpForWhereOnlyRecordsAre) {
  HashModel model;
  go(model, "out");
  const auto before = records("out");
  RunOptions options;
  TokenScoreWriter writer(at("scores.bin"));
  options.token_scores = &writer;
  EXPECT_EQ(go(model, "out", options).progress.done, 17u);
  EXPECT_EQ(records("out"), before);
  EXPECT_EQ(go(model, "out", options).progress.resumed, 17u);
}

}  // namespace
}  // namespace deciban

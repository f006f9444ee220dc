#include "evals/abstract_conclusion.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>
#include <set>

#include "evals/run.h"
#include "tests/evals/fake_models.h"
#include "tests/scratch_directory.h"

namespace deciban {
namespace {

using testing::HasSubstr;

Corpus papers(std::size_t count) {
  Corpus corpus;
  corpus.name = "papers";
  corpus.digest = "corpus-digest";
  for (std::size_t i = 0; i < count; ++i) {
    Document paper;
    paper.id = fmt::format("p{}", i);
    const std::string topic = fmt::format("topic-{}-", i);
    std::string abstract, conclusion;
    while (abstract.size() < 150 + i) abstract += topic;
    while (conclusion.size() < 250 + i) conclusion += topic;
    paper.text = abstract + conclusion;
    paper.fields = {{"abstract", abstract}, {"conclusion", conclusion}, {"categories", {"cs.CL", "cs.LG"}}};
    paper.digest = paper.id;
    corpus.documents.push_back(std::move(paper));
  }
  return corpus;
}

TEST(AbstractConclusion, AsksForOwnNothingAndOthers) {
  AbstractConclusionTask task;
  const Corpus corpus = papers(12);
  task.prepare(corpus, 1);
  const std::vector<Query> queries = task.queries(corpus, 3);
  const std::string own = corpus.documents[3].fields["abstract"];
  ASSERT_GT(queries.size(), 3u);
  EXPECT_EQ(queries[0].context, "Abstract\n\n" + own + "\n\nConclusion\n\n");
  EXPECT_EQ(queries[1].context, "Conclusion\n\n");
  std::set<std::string> contexts;
  for (const Query& query : queries) {
    EXPECT_EQ(query.continuation, corpus.documents[3].fields["conclusion"].get<std::string>());
    contexts.insert(query.context);
  }
  EXPECT_EQ(contexts.size(), queries.size()) << "every abstract is asked for once";
}

// A model that pays 1 bit for each byte after the right abstract, 3 after another's, 5 after nothing.
TEST(AbstractConclusion, MeasuresTheDifference) {
  AbstractConclusionTask task;
  const Corpus corpus = papers(12);
  task.prepare(corpus, 1);
  const std::size_t others = task.queries(corpus, 0).size() - 2;
  std::vector<QueryScore> scores(others + 2);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    scores[i].bytes = 260;
    scores[i].logprob = -260 * std::numbers::ln2 * (i == 0 ? 1 : i == 1 ? 5 : 3);
  }
  const Measures measures = task.judge(corpus, 0, scores);
  const auto ratio = [&](const char* name) { return measures.at(name).sum / measures.at(name).weight; };
  EXPECT_NEAR(ratio("bits_given_own"), 1, 1e-12);
  EXPECT_NEAR(ratio("bits_given_nothing"), 5, 1e-12);
  EXPECT_NEAR(ratio("bits_given_other"), 3, 1e-12);
  EXPECT_NEAR(ratio("bits_told_by_abstract"), 2, 1e-12);
  EXPECT_EQ(ratio("control_level"), 0);
  for (const auto& [name, measure] : measures) EXPECT_TRUE(task.aggregations().contains(name)) << name;
}

// An abstract drawn in more derangements weighs more: the mean is over derangements, not over abstracts.
TEST(AbstractConclusion, MeansOverDerangements) {
  AbstractConclusionTask one(1);
  const Corpus corpus = papers(12);
  one.prepare(corpus, 5);
  EXPECT_EQ(one.queries(corpus, 0).size(), 3u);
  AbstractConclusionTask task(20);
  task.prepare(corpus, 5);
  std::vector<QueryScore> scores(task.queries(corpus, 0).size());
  for (QueryScore& score : scores) score.bytes = 100;
  // Only the first control costs anything: what the mean says is its share of the 20 derangements.
  scores[2].logprob = -20 * std::numbers::ln2;
  const double times = task.judge(corpus, 0, scores).at("bits_given_other").sum;
  EXPECT_NEAR(times, std::round(times), 1e-9);
  EXPECT_GE(times, 1);
  EXPECT_LE(times, 20);
}

TEST(AbstractConclusion, PapersWithoutAPartAreNoDocumentsOfIt) {
  AbstractConclusionTask task;
  Corpus corpus = papers(10);
  corpus.documents[2].fields["conclusion"] = "";
  corpus.documents[5].fields.erase("abstract");
  task.prepare(corpus, 1);
  EXPECT_EQ(task.exclusion(corpus, 2), "no conclusion");
  EXPECT_EQ(task.exclusion(corpus, 5), "no abstract");
  EXPECT_EQ(task.exclusion(corpus, 0), "");
  for (const Query& query : task.queries(corpus, 0))
    EXPECT_THAT(query.context, testing::Not(HasSubstr("topic-5-")));
  Corpus few = papers(1);
  EXPECT_THAT(message_of([&] { task.prepare(few, 1); }), HasSubstr("at least two papers"));
}

// The key of a record changes with whatever its queries depend on.
TEST(AbstractConclusion, DigestIsThatOfTheQueries) {
  const Corpus corpus = papers(12);
  AbstractConclusionTask task;
  task.prepare(corpus, 1);
  const std::string digest = task.digest(corpus, 0);
  AbstractConclusionTask again;
  again.prepare(corpus, 1);
  EXPECT_EQ(again.digest(corpus, 0), digest);
  AbstractConclusionTask other_seed;
  other_seed.prepare(corpus, 2);
  EXPECT_NE(other_seed.digest(corpus, 0), digest);
  Corpus changed = papers(12);
  for (std::size_t i = 1; i < 12; ++i) changed.documents[i].fields["abstract"] = std::string(200 + i, 'z');
  AbstractConclusionTask with_others;
  with_others.prepare(changed, 1);
  EXPECT_NE(with_others.digest(changed, 0), digest);
  // The text beside the parts does not matter.
  Corpus text = papers(12);
  text.documents[0].digest = "other";
  again.prepare(text, 1);
  EXPECT_EQ(again.digest(text, 0), digest);
}

// From end to end: controls come from all papers even if only some are scored, so a limit or a shard changes
// no number.
TEST(AbstractConclusion, LimitsAndShardsChangeNothing) {
  const Corpus corpus = papers(14);
  const ScratchDirectory scratch;
  const auto records = [&](const std::string& name, const RunOptions& options) {
    fakes::HashModel model;
    AbstractConclusionTask task;
    Task* const tasks[] = {&task};
    const Corpus* const corpora[] = {&corpus};
    {
      RunDirectory directory(scratch / name, options.shard.file_suffix());
      run(model, tasks, corpora, options, directory);
    }
    std::map<std::string, std::string> result;
    for (Record record : read_records({scratch / name})) {
      record.seconds = 0;
      result[record.document] = to_json_line(record);
    }
    return result;
  };
  const auto whole = records("whole", {});
  EXPECT_EQ(whole.size(), 14u);
  RunOptions limited;
  limited.limit = Limit::parse("5");
  for (const auto& [id, line] : records("limited", limited)) EXPECT_EQ(line, whole.at(id));
  RunOptions sharded;
  sharded.shard = Shard::parse("1/2");
  records("sharded", sharded);
  sharded.shard = Shard::parse("2/2");
  EXPECT_EQ(records("sharded", sharded), whole);
}

}  // namespace
}  // namespace deciban

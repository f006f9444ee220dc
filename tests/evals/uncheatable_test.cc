#include "evals/uncheatable.h"

#include <gtest/gtest.h>

#include "datasets/sha256.h"
#include "evals/run.h"
#include "tests/evals/fake_models.h"
#include "tests/scratch_directory.h"
#include "tests/shared_data.h"

namespace deciban {
namespace {

TEST(Uncheatable, CutsAtCharacters) {
  EXPECT_EQ(first_characters("aé漢b", 3), "aé漢");
  EXPECT_EQ(first_characters("aé", 2), "aé");
  EXPECT_EQ(first_characters("aé", 5), "aé");
  EXPECT_EQ(first_characters("", 5), "");
}

TEST(Uncheatable, ScoresBeginningsOfLongTextsOnly) {
  Corpus corpus;
  corpus.name = "c";
  for (const std::string& text : {std::string(10, 'a'), std::string(11, 'b'), std::string(40, 'c')}) {
    Document document;
    document.id = text.substr(0, 1);
    document.text = text + "é";
    document.digest = Sha256::of(document.text);
    corpus.documents.push_back(document);
  }
  UncheatableTask task(11, 30);
  const ScratchDirectory scratch;
  fakes::UniformModel model;
  Task* const tasks[] = {&task};
  const Corpus* const corpora[] = {&corpus};
  RunDirectory directory(scratch / "run");
  const RunSummary summary = run(model, tasks, corpora, {}, directory);
  EXPECT_EQ(summary.excluded, 1u);
  EXPECT_EQ(summary.progress.failed, 0u);
  const auto records = read_records({scratch / "run"});
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].bytes, 13u);
  EXPECT_EQ(records[0].characters, 12u);
  EXPECT_EQ(records[1].bytes, 30u);
  EXPECT_EQ(records[1].task, "uncheatable");
  EXPECT_NEAR(records[1].measures.at("bits_per_byte").sum, 240, 1e-4);
  EXPECT_EQ(records[1].measures.at("bits_per_character").weight, 30);
}

// Texts that begin alike are alike to this task; other bounds make another result.
TEST(Uncheatable, KeysFollowWhatIsScored) {
  Corpus corpus;
  corpus.documents.resize(2);
  corpus.documents[0].text = std::string(40, 'a') + "x";
  corpus.documents[1].text = std::string(40, 'a') + "y";
  UncheatableTask task(5, 40);
  EXPECT_EQ(task.digest(corpus, 0), task.digest(corpus, 1));
  EXPECT_NE(task.version(), UncheatableTask(5, 41).version());
  EXPECT_THROW(UncheatableTask(10, 5), std::invalid_argument);
}

// The original's texts are cut already: all of them stay as they are.
TEST(Uncheatable, TakesTheOriginalsTextsWhole) {
  DECIBAN_NEEDS_SHARED("data/uncheatable/dev.json");
  const Corpus corpus = read_corpus(shared("data/uncheatable/dev.json"));
  UncheatableTask task;
  for (std::size_t i = 0; i < corpus.documents.size(); ++i) {
    EXPECT_EQ(task.exclusion(corpus, i), "");
    EXPECT_EQ(task.queries(corpus, i).at(0).continuation, corpus.documents[i].text);
  }
}

}  // namespace
}  // namespace deciban

#include "evals/matched.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "tests/evals/fake_models.h"

namespace deciban {
namespace {

using fakes::HashModel;
using fakes::PairModel;

Corpus corpus_of(const std::vector<std::string>& texts) {
  Corpus corpus;
  for (const std::string& text : texts) {
    Document document;
    document.text = text;
    corpus.documents.push_back(document);
  }
  return corpus;
}

std::string letters(std::size_t n) {
  std::string text;
  for (std::size_t i = 0; i < n; ++i) text += i % 7 == 6 ? ' ' : static_cast<char>('a' + i % 26);
  return text;
}

TEST(OwnBest, WholeUnlessThereIsALimit) {
  HashModel model;
  EXPECT_EQ(own_best(model.info()).name(), "whole");
  model.edit().context_limit = 2048;
  EXPECT_EQ(own_best(model.info()).name(), "tokens:2048:1024");
}

TEST(MatchedWindow, WholeWhereEverythingFits) {
  const Corpus corpus = corpus_of({letters(500), letters(300)});
  const Corpus* const corpora[] = {&corpus};
  HashModel unlimited, limited;
  limited.edit().context_limit = 501;  // with the start token
  MatchedWindow matched(corpora, {}, {});
  EXPECT_TRUE(matched.fit(unlimited));
  EXPECT_TRUE(matched.fit(limited));
  EXPECT_EQ(matched.windowing().name(), "whole");
}

TEST(MatchedWindow, IsTheLargestThatFits) {
  const Corpus corpus = corpus_of({letters(5000), letters(300)});
  const Corpus* const corpora[] = {&corpus};
  HashModel model;  // a token a byte
  model.edit().context_limit = 500;
  MatchedWindow matched(corpora, {}, {});
  EXPECT_FALSE(matched.fit(model));
  EXPECT_TRUE(matched.fit(model));
  EXPECT_EQ(matched.windowing().name(), "bytes:448");  // 7 * 64 + 1 <= 500 < 8 * 64 + 1
}

TEST(MatchedWindow, FitsEveryModelByItsOwnTokens) {
  const Corpus corpus = corpus_of({letters(5000), letters(3000), std::string(400, 'Q')});
  const Corpus* const corpora[] = {&corpus};
  PairModel pairs;
  pairs.edit().context_limit = 300;
  HashModel bytes;
  bytes.edit().context_limit = 400;
  MatchedWindow matched(corpora, {}, {});
  while (!(matched.fit(pairs) & matched.fit(bytes))) {
  }
  const Windowing window = matched.windowing();
  EXPECT_EQ(window.kind, Windowing::Kind::bytes);
  EXPECT_EQ(window.size % kMatchedGranularity, 0u);
  for (const LanguageModel* model :
       {static_cast<LanguageModel*>(&pairs), static_cast<LanguageModel*>(&bytes)}) {
    for (const Document& document : corpus.documents)
      EXPECT_NO_THROW(cut(*model, window, 0, "", document.text));
  }
  // 400 capitals are 400 tokens for either model: "Q" decides for `pairs`.
  EXPECT_EQ(window.size, 256u);
}

TEST(MatchedWindow, CountsOnlySelectedDocuments) {
  const Corpus corpus = corpus_of({letters(300), letters(5000)});
  const Corpus* const corpora[] = {&corpus};
  HashModel model;
  model.edit().context_limit = 400;
  MatchedWindow matched(corpora, Limit::parse("1"), {});
  EXPECT_TRUE(matched.fit(model));
  EXPECT_EQ(matched.windowing().name(), "whole");
}

TEST(MatchedWindow, RefusesALimitThatHoldsNothing) {
  const Corpus corpus = corpus_of({letters(300)});
  const Corpus* const corpora[] = {&corpus};
  HashModel model;
  model.edit().context_limit = 20;
  MatchedWindow matched(corpora, {}, {});
  EXPECT_THROW(matched.fit(model), std::invalid_argument);
}

}  // namespace
}  // namespace deciban

#include "evals/window.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <stdexcept>

#include "tests/evals/fake_models.h"

namespace deciban {
namespace {

using fakes::HashModel;
using fakes::LossyModel;
using fakes::PairModel;
using testing::ElementsAre;
using testing::HasSubstr;

std::string message_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "nothing was thrown";
}

std::vector<Token> scored_suffixes(const Windows& windows) {
  std::vector<Token> all;
  for (const Window& w : windows.windows)
    all.insert(all.end(), w.tokens.begin() + static_cast<long>(w.first), w.tokens.end());
  return all;
}

std::vector<Token> scored_text(const Windows& windows) {
  std::vector<Token> all;
  for (std::size_t i = 0; i < windows.text_tokens.size(); ++i) {
    if (windows.scored[i]) all.push_back(windows.text_tokens[i]);
  }
  return all;
}

// Letters, spaces, and characters of two to four bytes.
std::string random_text(std::mt19937& random, std::size_t characters) {
  const std::vector<std::string> alphabet{"a", "b", "c", "d", " ", "X", "é", "漢", "🜁", "\n"};
  std::string text;
  for (std::size_t i = 0; i < characters; ++i) text += alphabet[random() % alphabet.size()];
  return text;
}

TEST(Windowing, ParsesAndNames) {
  for (const char* word : {"whole", "tokens:8", "tokens:2048:1024", "bytes:4096", "bytes:4096:512",
                           "uncheatable:1024", "uncheatable2:4000"}) {
    EXPECT_EQ(Windowing::parse(word).name(), word);
  }
  EXPECT_EQ(Windowing::parse("tokens:8:0"), Windowing::parse("tokens:8"));
}

TEST(Windowing, RefusesNamingWordReasonAndForms) {
  const std::pair<const char*, const char*> bad[] = {{"hole", "unknown policy"},
                                                     {"tokens", "size is missing"},
                                                     {"tokens:", "'' is not a count"},
                                                     {"tokens:x", "'x'"},
                                                     {"tokens:8:8", "overlap"},
                                                     {"tokens:1", "at least 2"},
                                                     {"bytes:3", "at least 4"},
                                                     {"bytes:8:5", "overlap"},
                                                     {"uncheatable:8:2", "too many parts"},
                                                     {"whole:3", "takes no size"},
                                                     {"tokens:-4", "'-4'"},
                                                     {"tokens:8:2:1", "too many parts"},
                                                     {"tokens:99999999999999999999", "is not a count"},
                                                     {"", "unknown policy"}};
  for (const auto& [word, reason] : bad) {
    const std::string message = message_of([&] { Windowing::parse(word); });
    EXPECT_THAT(message, HasSubstr(reason)) << word;
    EXPECT_THAT(message, HasSubstr("tokens:N[:OVERLAP]")) << word;
  }
}

TEST(Cut, WholeIsOneWindowAfterTheStartToken) {
  const HashModel model;
  const Windows with = cut(model, {}, 0, "", "abc");
  ASSERT_EQ(with.windows.size(), 1u);
  EXPECT_THAT(with.windows[0].tokens, ElementsAre(0, 'a', 'b', 'c'));
  EXPECT_EQ(with.windows[0].first, 1u);
  EXPECT_EQ(with.unscored_bytes, 0u);
  const Windows without = cut(model, {}, std::nullopt, "", "abc");
  EXPECT_THAT(without.windows[0].tokens, ElementsAre('a', 'b', 'c'));
  EXPECT_EQ(without.windows[0].first, 1u);
  EXPECT_EQ(without.unscored_bytes, 1u);
  EXPECT_THAT(without.scored, ElementsAre(false, true, true));
}

TEST(Cut, ContextIsReadButNotScored) {
  const HashModel model;
  const Windows windows = cut(model, {}, 0, "xy", "abc");
  EXPECT_THAT(windows.windows[0].tokens, ElementsAre(0, 'x', 'y', 'a', 'b', 'c'));
  EXPECT_EQ(windows.windows[0].first, 3u);
  EXPECT_EQ(windows.tokens, 3u);
}

TEST(Cut, TokensOverlap) {
  const HashModel model;
  const Windows windows = cut(model, Windowing::parse("tokens:5:2"), 0, "", "abcdefgh");
  ASSERT_EQ(windows.windows.size(), 3u);
  EXPECT_THAT(windows.windows[0].tokens, ElementsAre(0, 'a', 'b', 'c', 'd'));
  EXPECT_THAT(windows.windows[1].tokens, ElementsAre(0, 'c', 'd', 'e', 'f'));
  EXPECT_EQ(windows.windows[1].first, 3u);
  EXPECT_THAT(windows.windows[2].tokens, ElementsAre(0, 'e', 'f', 'g', 'h'));
  const Windows context = cut(model, Windowing::parse("tokens:5:2"), 0, "xyz", "abc");
  ASSERT_EQ(context.windows.size(), 2u);
  EXPECT_THAT(context.windows[0].tokens, ElementsAre(0, 'x', 'y', 'z', 'a'));
  EXPECT_THAT(context.windows[1].tokens, ElementsAre(0, 'z', 'a', 'b', 'c'));
}

TEST(Cut, OldUncheatableLeavesTheFirstTokenOfEveryChunk) {
  const HashModel model;
  // The start token is not used, whatever the run's policy is.
  const Windows windows = cut(model, Windowing::parse("uncheatable:3"), 0, "", "abcdefg");
  ASSERT_EQ(windows.windows.size(), 2u);
  EXPECT_THAT(windows.windows[0].tokens, ElementsAre('a', 'b', 'c'));
  EXPECT_THAT(windows.windows[1].tokens, ElementsAre('d', 'e', 'f'));
  EXPECT_THAT(windows.scored, ElementsAre(false, true, true, false, true, true, false));
  EXPECT_EQ(windows.unscored_bytes, 3u);
}

TEST(Cut, NewUncheatableStartsEveryChunkAnew) {
  const HashModel model;
  const Windows windows = cut(model, Windowing::parse("uncheatable2:3"), 0, "", "abcde");
  ASSERT_EQ(windows.windows.size(), 2u);
  EXPECT_THAT(windows.windows[0].tokens, ElementsAre(0, 'a', 'b', 'c'));
  EXPECT_THAT(windows.windows[1].tokens, ElementsAre(0, 'd', 'e'));
  EXPECT_EQ(windows.unscored_bytes, 0u);
  EXPECT_THAT(message_of([&] { cut(model, Windowing::parse("uncheatable2:3"), std::nullopt, "", "abc"); }),
              HasSubstr("needs a start token"));
}

TEST(Cut, BytesCutsAtCharacters) {
  const HashModel model;
  const Windows windows = cut(model, Windowing::parse("bytes:5"), 0, "", "a漢漢b");  // 1 + 3 + 3 + 1 bytes
  ASSERT_EQ(windows.windows.size(), 2u);
  EXPECT_EQ(windows.windows[0].tokens.size(), 1u + 4);
  EXPECT_EQ(windows.windows[1].tokens.size(), 1u + 4);
}

TEST(Cut, BytesTokenisesEveryPieceByItself) {
  const PairModel model;
  // The pairs of "abcdefgh" would be ab cd ef gh; pieces of five bytes begin anew.
  const Windows windows = cut(model, Windowing::parse("bytes:5"), 0, "", "abcdefgh");
  ASSERT_EQ(windows.windows.size(), 2u);
  EXPECT_EQ(windows.windows[0].tokens.size(), 1u + 3);
  EXPECT_EQ(model.decode(std::span(windows.windows[1].tokens).subspan(1)), "fgh");
}

TEST(Cut, PropertiesHoldForEveryPolicy) {
  std::mt19937 random(7);
  const HashModel bytes;
  const PairModel pairs;
  const LanguageModel* models[] = {&bytes, &pairs};
  const char* policies[] = {"whole",          "tokens:2",      "tokens:7",       "tokens:9:3",
                            "tokens:64:63",   "bytes:4",       "bytes:9:5",      "bytes:64",
                            "bytes:32:28",    "uncheatable:2", "uncheatable:16", "uncheatable2:1",
                            "uncheatable2:10"};
  for (int round = 0; round < 40; ++round) {
    const std::string text = random_text(random, random() % 120);
    for (const LanguageModel* model : models) {
      for (const char* word : policies) {
        for (const std::optional<Token> start : {std::optional<Token>(0), std::optional<Token>()}) {
          const Windowing policy = Windowing::parse(word);
          if (policy.kind == Windowing::Kind::uncheatable2 && !start) continue;
          if (policy.kind == Windowing::Kind::tokens && start && policy.size < policy.overlap + 2) continue;
          const Windows windows = cut(*model, policy, start, "", text);
          SCOPED_TRACE(
              fmt::format("{} {} start {} text '{}'", model->info().name, word, start ? "0" : "none", text));
          EXPECT_EQ(model->decode(windows.text_tokens), text);
          EXPECT_EQ(windows.tokens, windows.text_tokens.size());
          EXPECT_EQ(windows.scored.size(), windows.tokens);
          EXPECT_EQ(windows.lossy_bytes, 0u);
          EXPECT_EQ(scored_suffixes(windows), scored_text(windows));
          EXPECT_EQ(model->decode(scored_text(windows)).size() + windows.unscored_bytes, text.size());
          std::size_t end = 0;  // the text token after the window's last
          for (const Window& window : windows.windows) {
            EXPECT_GE(window.first, 1u);
            EXPECT_LT(window.first, window.tokens.size());
            const bool started = start && policy.kind != Windowing::Kind::uncheatable;
            if (started) {
              EXPECT_EQ(window.tokens.front(), 0);
            }
            const std::string seen = model->decode(std::span(window.tokens).subspan(started ? 1 : 0));
            if (policy.kind == Windowing::Kind::tokens) {
              EXPECT_LE(window.tokens.size(), policy.size);
            }
            if (policy.kind == Windowing::Kind::uncheatable) {
              EXPECT_LE(window.tokens.size(), policy.size);
            }
            if (policy.kind == Windowing::Kind::uncheatable2) {
              EXPECT_LE(window.tokens.size(), policy.size + 1);
            }
            if (policy.kind == Windowing::Kind::bytes) {
              EXPECT_LE(seen.size(), policy.size);
              EXPECT_NE(static_cast<unsigned char>(seen.front()) & 0xC0, 0x80) << "begins inside a character";
            }
            // What a window reads is the stretch of the text before the end of its scored part.
            for (std::size_t left = window.tokens.size() - window.first; left > 0; ++end)
              left -= windows.scored[end];
            EXPECT_TRUE(model->decode(std::span(windows.text_tokens).first(end)).ends_with(seen));
          }
        }
      }
    }
  }
}

TEST(Cut, BytesThatAreNoUtf8AreCutAnywhere) {
  const HashModel model;
  const std::string text(50, '\x80');
  const Windows windows = cut(model, Windowing::parse("bytes:8:4"), 0, "", text);
  EXPECT_EQ(model.decode(windows.text_tokens), text);
  for (const Window& w : windows.windows) EXPECT_LE(w.tokens.size(), 9u);
}

TEST(Cut, NeverExceedsTheContextLimit) {
  HashModel model;
  model.edit().context_limit = 8;
  EXPECT_NO_THROW(cut(model, {}, 0, "", "1234567"));
  const std::string message = message_of([&] { cut(model, {}, 0, "", "12345678"); });
  EXPECT_THAT(message, HasSubstr("9 tokens"));
  EXPECT_THAT(message, HasSubstr("limit of 8"));
  EXPECT_THAT(message, HasSubstr("tokens:8:4"));
  EXPECT_NO_THROW(cut(model, Windowing::parse("tokens:8:4"), 0, "", "a much longer text than that"));
}

TEST(Cut, RefusesWhatLeavesNoRoom) {
  const HashModel model;
  EXPECT_THAT(message_of([&] { cut(model, Windowing::parse("tokens:4:3"), 0, "", "abc"); }),
              HasSubstr("no room"));
  EXPECT_THAT(message_of([&] { cut(model, Windowing::parse("tokens:4"), 0, "long", "abc"); }),
              HasSubstr("context"));
  EXPECT_THAT(message_of([&] { cut(model, Windowing::parse("bytes:6"), 0, "long", "abc"); }),
              HasSubstr("context"));
}

TEST(Cut, NormalisingTokenizersAreCountedAndLyingOnesRefused) {
  LossyModel model;
  EXPECT_EQ(cut(model, {}, 0, "", "lower").lossy_bytes, 0u);
  EXPECT_EQ(cut(model, {}, 0, "", "Two Capitals in this text").lossy_bytes, 2u);
  EXPECT_EQ(cut(model, Windowing::parse("bytes:8"), 0, "", "Two Capitals in this text").lossy_bytes, 2u);
  model.mangle = true;
  EXPECT_THAT(message_of([&] { cut(model, {}, 0, "", "an axe"); }), HasSubstr("byte 4 differs"));
}

TEST(CutTokens, FollowsTheSamePolicies) {
  const PairModel model;
  const std::vector<Token> tokens = model.encode("abcdef ghi");
  EXPECT_EQ(cut_tokens(model, {}, 0, tokens).windows.at(0).tokens.size(), tokens.size() + 1);
  const Windows chunks = cut_tokens(model, Windowing::parse("uncheatable:2"), 0, tokens);
  EXPECT_EQ(scored_suffixes(chunks), scored_text(chunks));
  const Windows bytes = cut_tokens(model, Windowing::parse("bytes:6:2"), 0, tokens);
  EXPECT_EQ(scored_suffixes(bytes), tokens);
  for (const Window& w : bytes.windows) EXPECT_LE(model.decode(std::span(w.tokens).subspan(1)).size(), 6u);
}

}  // namespace
}  // namespace deciban

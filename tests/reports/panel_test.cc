#include "reports/panel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "reports/random.h"

namespace deciban {
namespace {

using testing::ElementsAre;

double standard_normal(Random& random) {
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += random.unit();
  return sum;
}

// Models whose bits per byte are `levels`, on texts of their own difficulty; two sources.
Panel panel_of(const std::vector<double>& levels, std::size_t documents, double spread) {
  Panel panel;
  Random random(3);
  panel.source_begin = {0, documents / 2, documents};
  std::vector<double> difficulty;
  for (std::size_t d = 0; d < documents; ++d) {
    panel.bytes.push_back(500 + 3000 * random.unit());
    difficulty.push_back(1 + 0.2 * standard_normal(random));
  }
  for (const double level : levels) {
    panel.bits.emplace_back();
    for (std::size_t d = 0; d < documents; ++d)
      panel.bits.back().push_back(panel.bytes[d] * level * difficulty[d] *
                                  (1 + spread * standard_normal(random)));
  }
  return panel;
}

TEST(Panel, IntervalsAreThoseOfOneModelAlone) {
  const Panel panel = panel_of({1.0, 1.1}, 120, 0.02);
  const PanelFigures figures = panel_figures(panel, 1, 20000);
  std::vector<std::vector<RatioTerm>> sources(2);
  for (std::size_t d = 0; d < 120; ++d) sources[d < 60 ? 0 : 1].push_back({panel.bits[1][d], panel.bytes[d]});
  const auto expect_near = [](const Estimate& a, const Estimate& b) {
    EXPECT_NEAR(a.value, b.value, 1e-12);
    ASSERT_TRUE(a.interval && b.interval);
    const double width = b.interval->high - b.interval->low;
    EXPECT_NEAR(a.interval->low, b.interval->low, 0.03 * width);
    EXPECT_NEAR(a.interval->high, b.interval->high, 0.03 * width);
  };
  expect_near(figures.models[1].pooled, pooled_estimate(sources, 0.95, 2, 20000));
  expect_near(figures.models[1].macro, macro_estimate(sources, 0.95, 2, 20000));
  expect_near(figures.models[1].by_source[0], ratio_estimate(sources[0], 0.95, 2, 20000));
  expect_near(figures.models[1].by_source[1], ratio_estimate(sources[1], 0.95, 2, 20000));
}

// Intervals of single models overlap widely; the paired differences are clear all the same.
TEST(Panel, TellsModelsApartByTheirDifferences) {
  const PanelFigures figures = panel_figures(panel_of({1.0, 1.001, 1.05}, 200, 0.01));
  EXPECT_GT(figures.models[0].pooled.interval->high, figures.models[2].pooled.interval->low);
  EXPECT_EQ(figures.models[0].group, "a");
  EXPECT_EQ(figures.models[1].group, "a");
  EXPECT_EQ(figures.models[2].group, "b");
  EXPECT_EQ(figures.models[0].best_rank, 1u);
  EXPECT_EQ(figures.models[0].worst_rank, 2u);
  EXPECT_EQ(figures.models[2].best_rank, 3u);
  const Interval forth = *figures.difference(0, 2), back = *figures.difference(2, 0);
  EXPECT_GT(forth.low, 0);
  EXPECT_DOUBLE_EQ(forth.low, -back.high);
}

// With two models the critical value is Student's; with many it grows.
TEST(Panel, TheCriticalValueGrowsWithTheNumberOfModels) {
  const PanelFigures two = panel_figures(panel_of({1, 1}, 400, 0.01), 1, 20000),
                     ten = panel_figures(panel_of(std::vector<double>(10, 1.0), 400, 0.01), 1, 20000);
  EXPECT_NEAR(*two.critical, 1.966, 0.06);
  // Studentized range for 10 means / sqrt 2: 4.474 / 1.414 = 3.16 for independent models.
  EXPECT_NEAR(*ten.critical, 3.16, 0.12);
}

TEST(Panel, EqualModelsTie) {
  Panel panel = panel_of({1.0}, 50, 0.1);
  panel.bits.push_back(panel.bits[0]);
  const PanelFigures figures = panel_figures(panel);
  EXPECT_EQ(figures.models[0].group, figures.models[1].group);
  EXPECT_EQ(figures.models[1].best_rank, 1u);
}

TEST(Panel, FewDocumentsGiveNoIntervals) {
  const PanelFigures figures = panel_figures(panel_of({1.0, 2.0}, 16, 0.1));
  EXPECT_FALSE(figures.critical);
  EXPECT_FALSE(figures.models[0].pooled.interval);
  EXPECT_EQ(figures.models[0].group, "");
  EXPECT_TRUE(std::isfinite(figures.models[0].macro.value));
}

TEST(Panel, SameSeedSameFigures) {
  const Panel panel = panel_of({1.0, 1.1}, 60, 0.1);
  EXPECT_EQ(panel_figures(panel, 5).models[0].pooled.interval->low,
            panel_figures(panel, 5).models[0].pooled.interval->low);
  EXPECT_NE(panel_figures(panel, 5).models[0].pooled.interval->low,
            panel_figures(panel, 6).models[0].pooled.interval->low);
}

TEST(Panel, LettersOfOverlappingGroups) {
  const auto apart = [](std::size_t count, std::vector<std::pair<std::size_t, std::size_t>> pairs) {
    std::vector<std::vector<bool>> result(count, std::vector<bool>(count, false));
    for (const auto& [a, b] : pairs) result[a][b] = result[b][a] = true;
    return result;
  };
  EXPECT_THAT(tie_letters(apart(3, {})), ElementsAre("a", "a", "a"));
  EXPECT_THAT(tie_letters(apart(3, {{0, 2}})), ElementsAre("a", "ab", "b"));
  EXPECT_THAT(tie_letters(apart(3, {{0, 1}, {0, 2}, {1, 2}})), ElementsAre("a", "b", "c"));
  EXPECT_THAT(tie_letters(apart(4, {{0, 2}, {0, 3}, {1, 3}})), ElementsAre("a", "ab", "bc", "c"));
  // Not always neighbours: the second is told apart from the first, the third from neither.
  EXPECT_THAT(tie_letters(apart(3, {{0, 1}})), ElementsAre("a", "b", "ab"));
  EXPECT_THAT(tie_letters(apart(0, {})), testing::IsEmpty());
}

TEST(TieLetters, AreSharedExactlyByThoseNotToldApart) {
  Random random(5);
  for (int trial = 0; trial < 200; ++trial) {
    const std::size_t count = 1 + random.below(7);
    std::vector<std::vector<bool>> apart(count, std::vector<bool>(count, false));
    const double share = random.unit();
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t j = i + 1; j < count; ++j) apart[i][j] = apart[j][i] = random.unit() < share;
    }
    const std::vector<std::string> letters = tie_letters(apart);
    for (std::size_t i = 0; i < count; ++i) {
      const auto words = [&](std::size_t m) {  // "ab" is a and b; behind z there are "aa", "ab", set apart
        std::set<std::string> set;
        std::istringstream stream(letters[m]);
        for (std::string word; stream >> word;) {
          if (set.empty()) {
            for (const char c : word) set.insert(std::string(1, c));
          } else {
            set.insert(word);
          }
        }
        return set;
      };
      for (std::size_t j = i + 1; j < count; ++j) {
        const auto a = words(i), b = words(j);
        const bool shared =
            std::any_of(a.begin(), a.end(), [&](const auto& word) { return b.contains(word); });
        EXPECT_EQ(shared, !apart[i][j]) << letters[i] << " / " << letters[j];
      }
    }
  }
}

TEST(Panel, RefusesWhatDoesNotFit) {
  Panel panel = panel_of({1.0, 1.1}, 60, 0.1);
  panel.bits[0].pop_back();
  EXPECT_THROW(panel_figures(panel), std::invalid_argument);
  panel = panel_of({1.0}, 60, 0.1);
  panel.bits[0][3] = NAN;
  EXPECT_THROW(panel_figures(panel), std::invalid_argument);
}

}  // namespace
}  // namespace deciban

#include "datasets/sample.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "datasets/arxiv_categories.h"
#include "datasets/arxiv_query.h"
#include "datasets/minhash.h"

namespace deciban {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Sample, IsTheSameOnEveryMachine) {
  // python3: sorted(range(6), key=lambda i: hashlib.sha256(f"7:{'abcdef'[i]}".encode()).hexdigest())
  EXPECT_THAT(draw_order({"a", "b", "c", "d", "e", "f"}, 7), ElementsAre(2, 4, 0, 5, 3, 1));
}

TEST(Sample, DoesNotDependOnOtherCandidates) {
  const auto names = [](const std::vector<std::string>& ids) {
    std::vector<std::string> drawn;
    for (const std::size_t i : draw_order(ids, 3)) drawn.push_back(ids[i]);
    return drawn;
  };
  std::vector<std::string> few{"p", "q", "r", "s"}, many{"s", "x", "r", "y", "q", "p"};
  std::vector<std::string> order = names(many);
  std::erase_if(order, [](const std::string& id) { return id == "x" || id == "y"; });
  EXPECT_EQ(order, names(few));
}

TEST(Sample, IsUniform) {
  // The first of 10, over 5000 seeds: each 500 ± 3.9 standard deviations.
  std::vector<int> first(10);
  const std::vector<std::string> ids{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
  for (std::uint64_t seed = 0; seed < 5000; ++seed) ++first[draw_order(ids, seed)[0]];
  for (const int count : first) EXPECT_NEAR(count, 500, 83);
}

TEST(StratifiedDraw, EqualSharesAndFillingUp) {
  StratifiedDraw draw({{0, 1, 2, 3, 4}, {10, 11}, {}});
  std::vector<std::size_t> order;
  while (const auto next = draw.next()) {
    order.push_back(next->candidate);
    if (next->candidate != 1) draw.accept(next->stratum);  // one is of no use: its stratum goes on at once
  }
  EXPECT_THAT(order, ElementsAre(0, 10, 1, 2, 11, 3, 4));
  EXPECT_THAT(draw.accepted(), ElementsAre(4, 2, 0));
}

std::string words(std::size_t from, std::size_t count) {
  std::string text;
  for (std::size_t i = from; i < from + count; ++i) text += "w" + std::to_string(i * 7919 % 100003) + " ";
  return text;
}

TEST(MinHash, EstimatesTheShareOfCommonShingles) {
  // Shifted texts of n words share n - shift of n + shift - 8 shingles.
  for (const std::size_t shift : {0u, 100u, 300u, 600u, 1000u}) {
    const double shared = shift >= 996 ? 0.0 : 996.0 - static_cast<double>(shift);
    const double exact = shared / (2 * 996.0 - shared);
    EXPECT_NEAR(similarity(min_hash(words(0, 1000)), min_hash(words(shift, 1000))), exact, 0.15) << shift;
  }
}

TEST(MinHash, CaseAndPunctuationDoNotCount) {
  EXPECT_EQ(
      similarity(min_hash("One two, three: four (five) six"), min_hash("one TWO three four\nfive; six.")),
      1.0);
  EXPECT_EQ(similarity(min_hash("Über den Wolken muss die"), min_hash("Uber den Wolken muss die")), 0.0);
}

TEST(NearDuplicates, AreFoundAmongTheAccepted) {
  NearDuplicates found;
  EXPECT_FALSE(found.find_or_accept(words(0, 500)));
  EXPECT_FALSE(found.find_or_accept(words(5000, 500)));
  EXPECT_EQ(found.find_or_accept(words(5010, 500)), 1u);
  EXPECT_EQ(found.find_or_accept(words(20, 480)), 0u);
  EXPECT_FALSE(found.find_or_accept(words(250, 500))) << "a third in common is not the same";
  EXPECT_FALSE(found.find_or_accept("short"));
  EXPECT_EQ(found.find_or_accept("Short!"), 3u);
}

TEST(ArxivCategories, KnowsThemAndTheirArchives) {
  EXPECT_TRUE(std::is_sorted(arxiv_categories().begin(), arxiv_categories().end()));
  EXPECT_EQ(std::set<std::string_view>(arxiv_categories().begin(), arxiv_categories().end()).size(),
            arxiv_categories().size());
  for (const char* word :
       {"cs.CL", "cs", "math", "hep-th", "astro-ph", "astro-ph.GA", "physics", "q-bio.NC", "stat.ML"})
    EXPECT_TRUE(is_arxiv_category(word)) << word;
  for (const char* word : {"", "c", "cs.", "cs.cl", "math.XX", "hep"})
    EXPECT_FALSE(is_arxiv_category(word)) << word;
  EXPECT_TRUE(in_category("cs.CL", "cs"));
  EXPECT_FALSE(in_category("math-ph", "math"));
}

TEST(ArxivQuery, UrlsAreWhatTheManualAsksFor) {
  const Minute first{parse_date("2025-01-01")}, last{parse_date("2025-02-01")};
  EXPECT_EQ(listing_url("http://h/api/query", "cs.CL", first, last, 2000, 1000),
            "http://h/api/"
            "query?search_query=cat%3Acs.CL%20AND%20submittedDate%3A%5B202501010000%20TO%20202502010000%5D"
            "&start=2000&max_results=1000&sortBy=submittedDate&sortOrder=ascending");
  EXPECT_THAT(listing_url("u", "math", first, last, 0, 1), HasSubstr("cat%3Amath.%2A%20AND"));
  EXPECT_THAT(listing_url("u", "astro-ph", first, last, 0, 1), HasSubstr("cat%3Aastro-ph%2A%20AND"));
  EXPECT_EQ(licence_url("http://h/oai", "math/0301001"),
            "http://h/oai?verb=GetRecord&metadataPrefix=arXiv&identifier=oai%3AarXiv.org%3Amath%2F0301001");
}

}  // namespace
}  // namespace deciban

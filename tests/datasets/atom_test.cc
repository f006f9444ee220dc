#include "datasets/atom.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/scratch_directory.h"
#include "tests/shared_data.h"

namespace deciban {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string recorded(const std::string& begin) {
  for (const auto& entry : std::filesystem::directory_iterator(shared("fixtures/arxiv/atom"))) {
    const std::string name = entry.path().filename();
    if (name.starts_with(begin) && name.ends_with(".xml")) return read_all(entry.path());
  }
  ADD_FAILURE() << "no recording begins with " << begin;
  return "";
}

TEST(Atom, OneEntry) {
  DECIBAN_NEEDS_SHARED("fixtures/arxiv/atom");
  const AtomFeed feed = parse_atom(recorded("id_1605.08386"));
  EXPECT_EQ(feed.total, 1u);
  EXPECT_EQ(feed.start, 0u);
  ASSERT_EQ(feed.entries.size(), 1u);
  const AtomEntry& entry = feed.entries[0];
  EXPECT_EQ(entry.id, "1605.08386");
  EXPECT_EQ(entry.version, 1);
  EXPECT_EQ(entry.published, "2016-05-26T17:59:46Z");
  EXPECT_EQ(entry.title, "Heat-bath random walks with Markov bases");
  EXPECT_THAT(entry.abstract, testing::StartsWith("Graphs on lattice points are studied"));
  EXPECT_EQ(entry.comment, "20 pages, 3 figures");
  EXPECT_THAT(entry.categories, ElementsAre("math.CO", "math.ST"));
  EXPECT_EQ(entry.primary_category, "math.CO");
}

TEST(Atom, OldIdsAndVersions) {
  DECIBAN_NEEDS_SHARED("fixtures/arxiv/atom");
  EXPECT_EQ(parse_atom(recorded("id_astro-ph_0601001")).entries.at(0).id, "astro-ph/0601001");
  const AtomEntry quant = parse_atom(recorded("id_quant-ph_0201082v1")).entries.at(0);
  EXPECT_EQ(quant.id, "quant-ph/0201082");
  EXPECT_EQ(quant.version, 1);
  EXPECT_EQ(parse_atom(recorded("id_2104.12255v1")).entries.at(0).version, 1);
}

TEST(Atom, NothingFoundAndFewerThanAskedFor) {
  DECIBAN_NEEDS_SHARED("fixtures/arxiv/atom");
  const AtomFeed none = parse_atom(recorded("id_0000.0000"));
  EXPECT_EQ(none.total, 0u);
  EXPECT_TRUE(none.entries.empty());
  EXPECT_TRUE(none.error.empty());
  EXPECT_EQ(parse_atom(recorded("id_0808.05394_1707.08567")).entries.size(), 1u);
}

TEST(Atom, AnErrorEntryIsAMessage) {
  DECIBAN_NEEDS_SHARED("fixtures/arxiv/atom");
  const AtomFeed feed = parse_atom(recorded("id_abc"));
  EXPECT_EQ(feed.error, "incorrect id format for abc");
  EXPECT_TRUE(feed.entries.empty());
}

// Each recording against what a search for the bare tags finds in it.
TEST(Atom, AllRecordings) {
  DECIBAN_NEEDS_SHARED("fixtures/arxiv/atom");
  std::size_t recordings = 0;
  for (const auto& file : std::filesystem::directory_iterator(shared("fixtures/arxiv/atom"))) {
    if (file.path().extension() != ".json") continue;
    SCOPED_TRACE(file.path().filename().string());
    const auto record = nlohmann::json::parse(read_all(file.path()));
    const std::string body = record["body"];
    const AtomFeed feed = parse_atom(body);
    std::size_t entries = 0;
    for (std::size_t at = 0; (at = body.find("<entry>", at)) != std::string::npos; ++at) ++entries;
    EXPECT_EQ(feed.error.empty() ? feed.entries.size() : 1, entries);
    EXPECT_EQ(feed.error.empty(), record["status_code"] == 200);
    for (const AtomEntry& entry : feed.entries) {
      EXPECT_FALSE(entry.title.empty());
      EXPECT_FALSE(entry.abstract.empty());
      EXPECT_FALSE(entry.primary_category.empty());
      EXPECT_THAT(entry.categories, testing::Contains(entry.primary_category));
    }
    ++recordings;
  }
  EXPECT_GE(recordings, 19u);
}

TEST(Atom, PrefixesAreTheWritersChoice) {
  const AtomFeed feed = parse_atom(
      "<a:feed xmlns:a='http://www.w3.org/2005/Atom' xmlns:o='http://a9.com/-/spec/opensearch/1.1/'>"
      "<o:totalResults>7</o:totalResults><o:startIndex> 3 </o:startIndex>"
      "<entry xmlns='http://example.org/other'><id>no</id></entry>"
      "<entry xmlns='http://www.w3.org/2005/Atom' "
      "xmlns:x='http://arxiv.org/schemas/atom'><id>http://arxiv.org/abs/math/0301001v12</id>"
      "<published>2003-01-01T00:00:00Z</published><title>A\n   <b>B</b> <![CDATA[&]]></title>"
      "<x:primary_category term='math.AG'/><comment>no</comment></entry></a:feed>");
  EXPECT_EQ(feed.total, 7u);
  EXPECT_EQ(feed.start, 3u);
  ASSERT_EQ(feed.entries.size(), 1u);
  EXPECT_EQ(feed.entries[0].id, "math/0301001");
  EXPECT_EQ(feed.entries[0].version, 12);
  EXPECT_EQ(feed.entries[0].title, "A B &");
  EXPECT_EQ(feed.entries[0].comment, "") << "it is of another namespace";
}

TEST(Atom, WhatIsNoFeedIsNamed) {
  EXPECT_THAT(message_of([] { parse_atom("<!DOCTYPE html><html><body>x<br></body></html>"); }),
              HasSubstr("web page"));
  EXPECT_THAT(message_of([] { parse_atom(""); }), HasSubstr("not well-formed"));
  EXPECT_THAT(message_of([] { parse_atom("<feed"); }), HasSubstr("not well-formed"));
  EXPECT_THAT(message_of([] { parse_atom("<rss/>"); }), HasSubstr("begins with <rss>"));
  EXPECT_THAT(message_of([] { parse_atom("<feed/>"); }), HasSubstr("not an Atom feed"));
  const auto with_id = [](const std::string& id, const std::string& date) {
    return message_of([&] {
      parse_atom("<feed xmlns='http://www.w3.org/2005/Atom'><entry><id>" + id + "</id><published>" + date +
                 "</published></entry></feed>");
    });
  };
  EXPECT_THAT(with_id("http://arxiv.org/abs/../../etc/passwd1", "2003-01-01T00:00:00Z"),
              HasSubstr("not an arXiv id"));
  EXPECT_THAT(with_id("http://example.org/1", "2003-01-01T00:00:00Z"), HasSubstr("not of a paper"));
  EXPECT_THAT(with_id("http://arxiv.org/abs/1v1", "yesterday"), HasSubstr("'yesterday', not a date"));
}

}  // namespace
}  // namespace deciban

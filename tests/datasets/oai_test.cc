#include "datasets/oai.h"

#include <gmock/gmock.h>

#include "datasets/licence.h"
#include "tests/scratch_directory.h"
#include "tests/shared_data.h"

namespace deciban {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string recorded_oai(const std::string& name) { return read_all(shared("fixtures/arxiv/oai/" + name)); }

TEST(Oai, OneRecord) {
  DECIBAN_NEEDS_SHARED("fixtures/arxiv/oai");
  const OaiAnswer answer = parse_oai(recorded_oai("hepcrawl_arxiv-single.xml"));
  ASSERT_EQ(answer.records.size(), 1u);
  const OaiRecord& record = answer.records[0];
  EXPECT_EQ(record.id, "1401.2122");
  EXPECT_EQ(record.created, "2014-01-09");
  EXPECT_THAT(record.categories,
              ElementsAre("math.AP", "hep-th", "math-ph", "math.DG", "math.MP", "nlin.SI"));
  EXPECT_EQ(licence_name(record.licence), "arXiv-1.0");
  EXPECT_THAT(record.comments, HasSubstr("revised and abridged, in this version (v5)"));
  EXPECT_FALSE(record.deleted);
}

TEST(Oai, Lists) {
  DECIBAN_NEEDS_SHARED("fixtures/arxiv/oai");
  for (const auto& [name, count] :
       std::vector<std::pair<std::string, std::size_t>>{{"hepcrawl_arxiv-physics-hep-ex.xml", 3},
                                                        {"hepcrawl_arxiv-physics-hep-th.xml", 3},
                                                        {"hepcrawl_sample_arxiv_record4.xml", 1},
                                                        {"hepcrawl_sample_arxiv_record10.xml", 1}}) {
    SCOPED_TRACE(name);
    const OaiAnswer answer = parse_oai(recorded_oai(name));
    EXPECT_EQ(answer.records.size(), count);
    for (const OaiRecord& record : answer.records) {
      EXPECT_FALSE(record.licence.empty());
      EXPECT_EQ(record.created.size(), 10u);
    }
  }
}

TEST(Oai, OtherMetadataAreRefused) {
  DECIBAN_NEEDS_SHARED("fixtures/arxiv/oai");
  EXPECT_THAT(message_of([] { parse_oai(recorded_oai("ADSIngestParser_arxiv_multi_20230125.xml")); }),
              HasSubstr("1009.1022 has no metadata in the format arXiv"));
  EXPECT_THAT(message_of([] { parse_oai(recorded_oai("ADSIngestParser_arxiv_0901_2443.xml")); }),
              HasSubstr("not of OAI-PMH: it begins with <record>"));
}

TEST(Oai, ErrorsDeletionsAndTokens) {
  const std::string head = "<OAI-PMH xmlns='http://www.openarchives.org/OAI/2.0/'>";
  EXPECT_EQ(parse_oai(head + "<error code='idDoesNotExist'> no\n such id </error></OAI-PMH>").error,
            "idDoesNotExist: no such id");
  const OaiAnswer answer = parse_oai(
      head +
      "<ListRecords><record><header status='deleted'><identifier>oai:arXiv.org:1.2</identifier>"
      "</header></record><resumptionToken cursor='0'>6460044|1001</resumptionToken></ListRecords></OAI-PMH>");
  ASSERT_EQ(answer.records.size(), 1u);
  EXPECT_TRUE(answer.records[0].deleted);
  EXPECT_EQ(answer.resumption_token, "6460044|1001");
  EXPECT_THAT(message_of([] { parse_oai("<html><body>x</body></html>"); }), HasSubstr("begins with <html>"));
}

TEST(Licence, NamesAndOpenness) {
  const std::vector<std::tuple<const char*, const char*, bool>> cases{
      {"http://creativecommons.org/licenses/by/4.0/", "CC-BY-4.0", true},
      {"https://creativecommons.org/licenses/by/3.0/", "CC-BY-3.0", true},
      {"http://creativecommons.org/licenses/by-sa/4.0", "CC-BY-SA-4.0", true},
      {"https://creativecommons.org/licenses/by-sa/4.0/deed.en", "CC-BY-SA-4.0", true},
      {"http://creativecommons.org/licenses/by-nc-sa/4.0/", "CC-BY-NC-SA-4.0", false},
      {"http://creativecommons.org/licenses/by-nc-nd/4.0/", "CC-BY-NC-ND-4.0", false},
      {"http://creativecommons.org/licenses/by-nd/4.0/", "CC-BY-ND-4.0", false},
      {"http://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0", true},
      {"http://creativecommons.org/licenses/publicdomain/", "public-domain", true},
      {"http://arxiv.org/licenses/nonexclusive-distrib/1.0/", "arXiv-1.0", false},
      {"http://arxiv.org/licenses/assumed-1991-2003/", "arXiv-assumed-1991-2003", false},
      {"", "unknown", false},
      {"http://example.org/x", "http://example.org/x", false},
      {"http://creativecommons.org/licenses/", "http://creativecommons.org/licenses/", false}};
  for (const auto& [url, name, open] : cases) {
    EXPECT_EQ(licence_name(url), name);
    EXPECT_EQ(is_open_licence(name), open) << name;
  }
}

}  // namespace
}  // namespace deciban

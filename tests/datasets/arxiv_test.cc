#include "datasets/arxiv.h"

#include <gmock/gmock.h>

#include <set>

#include "datasets/corpus.h"
#include "datasets/corpus_writer.h"
#include "datasets/sha256.h"
#include "tests/datasets/fake_arxiv.h"

namespace deciban {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::Not;
using testing::Pair;

struct SilentObserver : FetchObserver {
  void progress(const FetchProgress& now) override {
    last = now;
    if (now.stage == "papers" && now.done == 0) first_guess = now.seconds_left;
  }
  void note(const std::string& text) override { notes.push_back(text); }
  FetchProgress last;
  double first_guess = -1;
  std::vector<std::string> notes;
};

class ArxivTest : public testing::Test {
 protected:
  void SetUp() override {
    arxiv_.add("cs.CL", 20);
    arxiv_.add("math.AG", 10);
    arxiv_.add("cs.LG", 6);
    // One of each kind that is dropped, and an edition of another.
    arxiv_.papers[1].comment = "This paper has been withdrawn by the author";
    arxiv_.papers[2].html = false;
    arxiv_.papers[2].pdf_only = true;
    arxiv_.papers[3].html = false;  // but there is a source
    arxiv_.papers[5].body = arxiv_.papers[6].body + " with another end";
    arxiv_.papers[7].body = "brief";
    arxiv_.papers[8].cross_lists = {"math.AG"};
    query_.categories = {"cs.CL", "math.AG"};
    query_.from = parse_date("2025-01-01");
    query_.to = parse_date("2025-01-31");
    query_.count = 12;
    query_.min_characters = 100;
    corpus_ = folder_ / "papers.jsonl";
    server_.start();
  }

  Gathered fetch(const StopCheck& stop = {}) {
    PoliteOptions options = quick_options(folder_);
    if (impatient_) options.http.total_timeout = std::chrono::milliseconds(300);
    if (!cached_) options.cache_folder = folder_ / fmt::format("cache-{}", ++runs_);
    PoliteClient client(options, clock_, stop);
    Ledger ledger(ledger_path(corpus_), settings_of(query_));
    FetchContext context{client, ledger, observer_};
    Gathered gathered = fetch_arxiv(context, query_, arxiv_.servers(), fake_reader(), limits_);
    write_corpus(corpus_, gathered);
    ledger.remove();
    return gathered;
  }
  Gathered rebuild(const json& manifest, const std::filesystem::path& corpus) {
    PoliteClient client(quick_options(folder_), clock_);
    Ledger ledger(ledger_path(corpus), {{"manifest", true}});
    FetchContext context{client, ledger, observer_};
    Gathered gathered = rebuild_arxiv(context, manifest, arxiv_.servers(), fake_reader());
    write_corpus(corpus, gathered);
    ledger.remove();
    return gathered;
  }
  static std::vector<std::string> ids(const Gathered& gathered) {
    std::vector<std::string> result;
    for (const json& row : gathered.rows) result.push_back(row["id"]);
    return result;
  }
  std::string bytes() const { return read_all(corpus_) + read_all(manifest_path(corpus_)); }
  void forget() {
    for (const char* name : {"papers.jsonl", "papers.manifest.json", "papers.jsonl.part", "cache", "gate"})
      std::filesystem::remove_all(folder_ / name);
  }

  Loopback server_;
  FakeArxiv arxiv_{server_};
  ScratchDirectory folder_;
  std::filesystem::path corpus_;
  FakeClock clock_;
  SilentObserver observer_;
  ArxivQuery query_;
  ListingLimits limits_;
  bool cached_ = true, impatient_ = false;
  int runs_ = 0;
};

TEST_F(ArxivTest, RowsHoldWhatEvaluationsNeed) {
  const Gathered gathered = fetch();
  const Corpus corpus = read_corpus(corpus_);
  ASSERT_EQ(corpus.documents.size(), 12u);
  for (const Document& document : corpus.documents) {
    SCOPED_TRACE(document.id);
    EXPECT_TRUE(document.error.empty());
    const auto paper = std::find_if(arxiv_.papers.begin(), arxiv_.papers.end(),
                                    [&](const FakePaper& p) { return p.id == document.id; });
    ASSERT_NE(paper, arxiv_.papers.end());
    EXPECT_EQ(document.published, paper->published.substr(0, 10));
    EXPECT_EQ(document.fields["version"], paper->version);
    EXPECT_EQ(document.fields["title"], paper->title);
    EXPECT_EQ(document.fields["abstract"], paper->abstract);
    EXPECT_EQ(document.fields["primary_category"], paper->category);
    EXPECT_EQ(document.fields["categories"][0], paper->category);
    EXPECT_EQ(document.fields["licence"],
              paper->licence.find("creative") != std::string::npos ? "CC-BY-4.0" : "arXiv-1.0");
    EXPECT_EQ(document.fields["source"], paper->html ? "html" : "source");
    EXPECT_EQ(document.fields["abstract_from"], paper->html ? "text" : "metadata");
    EXPECT_EQ(document.fields["sections"][0]["title"], "Introduction");
    EXPECT_GT(document.fields["sections"][0]["characters"], 100);
    EXPECT_EQ(document.fields["conclusion"].get<std::string>().empty(), !paper->html);
  }
}

TEST_F(ArxivTest, SharesAreEqualAndWhatIsDroppedIsCounted) {
  query_.count = 30;  // more than there are
  const Gathered gathered = fetch();
  std::map<std::string, int> shares, dropped;
  for (const json& row : gathered.rows) ++shares[row["category"]];
  for (const Dropped& one : gathered.dropped) ++dropped[one.reason];
  EXPECT_THAT(shares, ElementsAre(Pair("cs.CL", 16), Pair("math.AG", 10)));
  EXPECT_THAT(dropped, ElementsAre(Pair("PDF only", 1), Pair("near-duplicate", 1), Pair("too short", 1),
                                   Pair("withdrawn", 1)));
  const json manifest = read_manifest(manifest_path(corpus_));
  EXPECT_EQ(manifest["dropped"],
            (json{{"PDF only", 1}, {"near-duplicate", 1}, {"too short", 1}, {"withdrawn", 1}}));
  EXPECT_EQ(manifest["provenance"]["candidates"]["count"], 30);
  EXPECT_EQ(manifest["provenance"]["candidates"]["by_category"], (json{{"cs.CL", 20}, {"math.AG", 10}}));

  forget();
  query_.count = 12;
  shares.clear();
  for (const json& row : fetch().rows) ++shares[row["category"]];
  EXPECT_THAT(shares, ElementsAre(Pair("cs.CL", 6), Pair("math.AG", 6)));
}

TEST_F(ArxivTest, TheSeedDecidesAndNotTheDate) {
  const std::vector<std::string> first = ids(fetch());
  const std::string bytes_first = bytes();
  forget();
  EXPECT_EQ(ids(fetch()), first);
  EXPECT_EQ(bytes(), bytes_first);
  forget();
  query_.seed = 2;
  EXPECT_NE(ids(fetch()), first);
  std::vector<std::string> sorted = first;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_NE(sorted, first) << "drawn in the order of the list";
}

TEST_F(ArxivTest, OpenLicencesOnly) {
  query_.open_only = true;
  const Gathered gathered = fetch();
  EXPECT_EQ(gathered.rows.size(), 8u);
  for (const json& row : gathered.rows) EXPECT_EQ(row["licence"], "CC-BY-4.0");
  std::size_t dropped = 0;
  for (const Dropped& one : gathered.dropped) dropped += one.reason == "licence";
  EXPECT_EQ(dropped, 21u);
}

TEST_F(ArxivTest, CrossListsComeWhenAskedFor) {
  query_.categories = {"math.AG"};
  query_.count = 30;
  EXPECT_THAT(ids(fetch()), Not(Contains("2501.00008")));
  forget();
  query_.cross_lists = true;
  EXPECT_THAT(ids(fetch()), Contains("2501.00008"));
}

TEST_F(ArxivTest, WholeArchives) {
  query_.categories = {"cs"};
  query_.count = 100;
  EXPECT_EQ(fetch().rows.size(), 16u + 6u);
}

TEST_F(ArxivTest, LongListsComeInPagesAndWindows) {
  query_.count = 100;
  const std::set<std::string> all = [&] {
    const auto list = ids(fetch());
    return std::set<std::string>(list.begin(), list.end());
  }();
  const json provenance = read_manifest(manifest_path(corpus_))["provenance"];
  forget();
  limits_ = {3, 2, 7};
  server_.forget_requests();
  const auto list = ids(fetch());
  EXPECT_EQ(std::set<std::string>(list.begin(), list.end()), all);
  EXPECT_EQ(read_manifest(manifest_path(corpus_))["provenance"], provenance);
  for (const std::string& target : server_.targets()) EXPECT_THAT(target, Not(HasSubstr("start=9&")));
}

TEST_F(ArxivTest, PagesThatFailAreHalved) {
  const std::string expected = (fetch(), bytes());
  forget();
  arxiv_.largest_page = 130;
  fetch();
  EXPECT_EQ(bytes(), expected);
  EXPECT_THAT(observer_.notes, Contains(HasSubstr("going on with pages of 125")));
}

TEST_F(ArxivTest, EachTextFormByItself) {
  query_.count = 30;
  query_.form = PaperForm::html;
  EXPECT_EQ(fetch().rows.size(), 25u);
  forget();
  query_.form = PaperForm::source;
  server_.forget_requests();
  EXPECT_EQ(fetch().rows.size(), 26u);
  EXPECT_THAT(server_.targets(), Each(Not(HasSubstr("/html/"))));
}

TEST_F(ArxivTest, TheManifestIsHonest) {
  fetch();
  const json manifest = read_manifest(manifest_path(corpus_));
  const std::string corpus = read_all(corpus_);
  EXPECT_EQ(manifest["corpus"]["sha256"], Sha256::of(corpus));
  EXPECT_EQ(manifest["corpus"]["file"], "papers.jsonl");
  EXPECT_EQ(manifest["settings"], settings_of(query_));
  EXPECT_EQ(settings_of(query_of(manifest["settings"])), settings_of(query_));
  std::map<std::string, int> licences;
  for (const json& document : manifest["documents"]) {
    const json row = json::parse(corpus.substr(document["offset"], document["bytes"]));
    EXPECT_EQ(row["id"], document["id"]);
    EXPECT_EQ(document["sha256"], Sha256::of(row["text"].get<std::string>()));
    ++licences[row["licence"]];
  }
  EXPECT_EQ(manifest["licences"], json(licences));
  EXPECT_EQ(manifest.dump().find("word1"), std::string::npos) << "no text may be in a manifest";
}

TEST_F(ArxivTest, AManifestRebuildsTheCorpus) {
  fetch();
  const json manifest = read_manifest(manifest_path(corpus_));
  std::filesystem::remove_all(folder_ / "cache");
  const std::filesystem::path again = folder_ / "again/papers.jsonl";
  EXPECT_EQ(rebuild(manifest, again).rows.size(), 12u);
  EXPECT_EQ(read_all(again), read_all(corpus_));
  EXPECT_EQ(read_all(manifest_path(again)), read_all(manifest_path(corpus_)));
}

TEST_F(ArxivTest, ARebuildSaysWhatHasChanged) {
  const std::string changed = ids(fetch())[4];
  for (FakePaper& paper : arxiv_.papers) {
    if (paper.id == changed) paper.body += " and a word more";
  }
  std::filesystem::remove_all(folder_ / "cache");
  const Gathered gathered = rebuild(read_manifest(manifest_path(corpus_)), folder_ / "again.jsonl");
  EXPECT_EQ(gathered.rows.size(), 11u);
  ASSERT_EQ(gathered.dropped.size(), 1u);
  EXPECT_EQ(gathered.dropped[0].id, changed);
  EXPECT_EQ(gathered.dropped[0].reason, "differs from the manifest");
}

TEST_F(ArxivTest, APublicEditionHoldsOnlyTextsThatMayBePassedOn) {
  fetch();
  const json manifest = read_manifest(manifest_path(corpus_));
  const std::size_t whole = write_public(corpus_, manifest, public_path(corpus_));
  EXPECT_EQ(whole, manifest["licences"]["CC-BY-4.0"]);
  std::istringstream lines(read_all(public_path(corpus_)));
  std::size_t texts = 0, references = 0;
  for (std::string line; std::getline(lines, line);) {
    const json row = json::parse(line);
    if (row.contains("text")) {
      EXPECT_EQ(row["licence"], "CC-BY-4.0");
      ++texts;
    } else {
      ++references;
      std::set<std::string> names;
      for (const auto& [name, value] : row.items()) names.insert(name);
      EXPECT_EQ(names, (std::set<std::string>{"bytes", "id", "licence", "offset", "published", "sha256",
                                              "source", "version"}));
    }
  }
  EXPECT_EQ(texts, whole);
  EXPECT_EQ(texts + references, 12u);
  std::ofstream(corpus_, std::ios::app) << "x";
  EXPECT_THAT(message_of([&] { write_public(corpus_, manifest, public_path(corpus_)); }),
              HasSubstr("is not the corpus of its manifest"));
}

TEST_F(ArxivTest, EveryMisbehaviourOnTheWayCostsNothing) {
  const std::string expected = (fetch(), bytes());
  for (const Misbehaviour& way : misbehaviours(server_)) {
    if (std::string_view(way.name) == "SlowDrip") continue;  // real seconds: has a test of its own
    SCOPED_TRACE(way.name);
    forget();
    int asked = 0;
    server_.set_mischief([&](const httplib::Request& request, httplib::Response& response) {
      // A page of a paper that is a web page is no mischief.
      const bool web = std::string_view(way.name) == "WebPage" || std::string_view(way.name) == "EmptyBody";
      if (web && request.target.find("/api/") == std::string::npos &&
          request.target.find("/oai") == std::string::npos)
        return false;
      return ++asked % 3 != 0 && way.answer(request, response);
    });
    fetch();
    EXPECT_EQ(bytes(), expected);
  }
}

TEST_F(ArxivTest, EveryMisbehaviourThatLastsLosesNothing) {
  const std::string expected = (fetch(), bytes());
  for (const Misbehaviour& way : misbehaviours(server_)) {
    SCOPED_TRACE(way.name);
    forget();
    cached_ = false;  // the ledger alone has to do
    std::atomic<int> asked = 0;
    server_.set_mischief([&](const httplib::Request& request, httplib::Response& response) {
      return ++asked > 11 && way.answer(request, response);
    });
    const bool page_is_bad =
        std::string_view(way.name) == "WebPage" || std::string_view(way.name) == "EmptyBody";
    impatient_ = std::string_view(way.name) == "SlowDrip";
    EXPECT_THROW(fetch(), std::runtime_error) << (page_is_bad ? "OAI answers have to be XML" : "");
    EXPECT_FALSE(std::filesystem::exists(corpus_)) << "half a corpus";
    impatient_ = false;
    server_.set_mischief({});
    server_.forget_requests();
    fetch();
    EXPECT_EQ(bytes(), expected);
    EXPECT_THAT(server_.targets(), Each(Not(HasSubstr("/api/query")))) << "the list was fetched before";
  }
}

TEST_F(ArxivTest, RedirectLoopsAndEndlessAnswersLoseNothing) {
  const std::string expected = (fetch(), bytes());
  for (const Misbehaviour& way : lasting_misbehaviours()) {
    SCOPED_TRACE(way.name);
    forget();
    cached_ = false;
    server_.set_mischief([&](const httplib::Request& request, httplib::Response& response) {
      return request.target.find("/oai") != std::string::npos && way.answer(request, response);
    });
    EXPECT_THROW(fetch(), std::runtime_error);
    EXPECT_FALSE(std::filesystem::exists(corpus_)) << "half a corpus";
    server_.set_mischief({});
    server_.forget_requests();
    fetch();
    EXPECT_EQ(bytes(), expected);
    EXPECT_THAT(server_.targets(), Each(Not(HasSubstr("/api/query")))) << "the list was fetched before";
  }
}

TEST_F(ArxivTest, InterruptedBetweenAnyTwoRequestsItGoesOn) {
  query_.count = 6;
  const std::string expected = (fetch(), bytes());
  const std::size_t requests = server_.requests();
  ASSERT_GT(requests, 12u);
  cached_ = false;
  for (std::size_t at = 1; at < requests; ++at) {
    SCOPED_TRACE(at);
    forget();
    server_.forget_requests();
    EXPECT_THROW(fetch([&] { return server_.requests() >= at; }), FetchStopped);
    fetch();
    EXPECT_EQ(bytes(), expected);
    EXPECT_LE(server_.requests(), requests + 2) << "what was known was asked for again";
  }
}

TEST_F(ArxivTest, InterruptedAgainAndAgainItArrives) {
  const std::string expected = (fetch(), bytes());
  forget();
  cached_ = false;
  bool done = false;
  for (int run = 0; run < 200 && !done; ++run) {
    server_.forget_requests();
    try {
      fetch([&] { return server_.requests() >= 3; });
      done = true;
    } catch (const FetchStopped&) {
    }
  }
  EXPECT_TRUE(done);
  EXPECT_EQ(bytes(), expected);
}

TEST_F(ArxivTest, ATornLedgerIsNoHarm) {
  const std::string expected = (fetch(), bytes());
  forget();
  cached_ = false;
  EXPECT_THROW(fetch([&, before = server_.requests()] { return server_.requests() >= before + 15; }),
               FetchStopped);
  const std::string whole = read_all(ledger_path(corpus_));
  for (std::size_t cut = whole.size() - 1; cut > whole.size() / 2; cut -= whole.size() / 13) {
    SCOPED_TRACE(cut);
    forget();
    folder_.write("papers.jsonl.part", whole.substr(0, cut));
    fetch();
    EXPECT_EQ(bytes(), expected);
  }
}

TEST_F(ArxivTest, OnePaperThatAlwaysFailsIsDroppedAndCounted) {
  const std::string bad = ids(fetch())[3];
  forget();
  server_.set_mischief([&](const httplib::Request& request, httplib::Response& response) {
    if (request.target.find("/" + bad + "v") == std::string::npos) return false;
    response.status = 500;
    return true;
  });
  const Gathered gathered = fetch();
  EXPECT_EQ(gathered.rows.size(), 12u);
  EXPECT_THAT(ids(gathered), Not(Contains(bad)));
  EXPECT_EQ(std::count_if(gathered.dropped.begin(), gathered.dropped.end(),
                          [&](const Dropped& one) { return one.id == bad && one.reason == "server error"; }),
            1);
}

TEST_F(ArxivTest, AServerThatRefusesThisComputerIsLeftAlone) {
  server_.set_mischief([&](const httplib::Request& request, httplib::Response& response) {
    if (request.target.find("/html/") == std::string::npos) return false;
    response.status = 403;
    return true;
  });
  EXPECT_THAT(message_of([&] { fetch(); }), AllOf(HasSubstr("403"), HasSubstr("wait some hours")));
  std::size_t pages = 0;
  for (const std::string& target : server_.targets()) pages += target.find("/html/") != std::string::npos;
  EXPECT_EQ(pages, 1u);
}

TEST_F(ArxivTest, ArxivsOwnErrorsAreShown) {
  server_.set_mischief([](const httplib::Request&, httplib::Response& response) {
    response.status = 400;
    response.set_content(
        "<feed xmlns='http://www.w3.org/2005/Atom'><entry><id>https://arxiv.org/api/errors#x</id>"
        "<title>Error</title><summary>incorrect query</summary></entry></feed>",
        "application/atom+xml");
    return true;
  });
  EXPECT_EQ(message_of([&] { fetch(); }), "arXiv refuses the query: incorrect query");
  EXPECT_EQ(server_.requests(), 1u);
  EXPECT_FALSE(std::filesystem::exists(ledger_path(corpus_))) << "an empty ledger is left behind";
}

TEST_F(ArxivTest, EmptyWindowsAndBadQueriesAreNamed) {
  query_.from = query_.to = parse_date("2024-05-01");
  EXPECT_EQ(message_of([&] { fetch(); }),
            "arXiv lists no papers of cs.CL, math.AG from 2024-05-01 to 2024-05-01");
  query_.to = parse_date("2024-04-01");
  EXPECT_THAT(message_of([&] { query_.check(); }), HasSubstr("backwards"));
  query_.to = query_.from;
  for (const auto& [categories, message] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{}, "no category"},
           {{"cs.XX"}, "no category 'cs.XX'"},
           {{"cs", "cs.CL"}, "cs.CL is named twice"}}) {
    query_.categories = categories;
    EXPECT_THAT(message_of([&] { query_.check(); }), HasSubstr(message));
  }
}

TEST_F(ArxivTest, ALedgerOfAnotherFetchIsNotContinued) {
  EXPECT_THROW(fetch([&] { return server_.requests() >= 6; }), FetchStopped);
  query_.seed = 9;
  EXPECT_THAT(message_of([&] { fetch(); }),
              AllOf(HasSubstr("papers.jsonl.part"), HasSubstr("seed is 1 there and 9 here")));
}

TEST_F(ArxivTest, TheTimeLeftIsKnownBeforeTheFirstPaper) {
  fetch();
  EXPECT_NEAR(observer_.first_guess, 12 * 2 * 3, 1);
  EXPECT_EQ(observer_.last.done, 12u);
  EXPECT_EQ(observer_.last.seconds_left, 0);
}

TEST_F(ArxivTest, EveryRequestKeepsThePause) {
  const auto start = clock_.now();
  fetch();
  EXPECT_GE(clock_.now() - start, std::chrono::seconds(3) * (server_.requests() - 1));
}

TEST(Withdrawn, ByCommentOrAbstract) {
  EXPECT_TRUE(says_withdrawn("Withdrawn due to an error in section 3", ""));
  EXPECT_TRUE(says_withdrawn("", "This paper has been withdrawn by the author."));
  EXPECT_FALSE(says_withdrawn("withdrawn from the workshop, extended here", ""));
  EXPECT_FALSE(says_withdrawn("12 pages", "Troops were withdrawn in 1945."));
}

}  // namespace
}  // namespace deciban

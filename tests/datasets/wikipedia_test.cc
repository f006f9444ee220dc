#include "datasets/wikipedia.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "datasets/corpus.h"
#include "datasets/corpus_writer.h"
#include "tests/datasets/loopback.h"

namespace deciban {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

std::string article(int page) {
  std::string text = fmt::format("Article {}.", page);
  for (int k = 0; k < 60; ++k) text += fmt::format(" word{}", (page * 7919 + k * k * 31) % 4001);
  return text;
}

class WikipediaTest : public testing::Test {
 protected:
  void SetUp() override {
    query_.from = parse_date("2026-10-01");
    query_.to = parse_date("2026-10-31");
    query_.count = 10;
    query_.min_characters = 100;
    server_.routes().Get("/w/api.php", [this](const httplib::Request& request, httplib::Response& response) {
      json body = json::object();
      EXPECT_EQ(request.get_param_value("maxlag"), "5");
      if (busy_-- > 0) {
        response.set_header("Retry-After", "5");
        body["error"] = {{"code", "maxlag"}, {"info", "waiting for a server"}};
      } else if (request.has_param("list")) {
        EXPECT_EQ(request.get_param_value("rcstart"), "2026-10-01T00:00:00Z");
        const int begin =
            request.has_param("rccontinue") ? std::stoi(request.get_param_value("rccontinue").substr(1)) : 1;
        json changes = json::array();
        for (int page = begin; page < std::min(begin + 8, 21); ++page)
          changes.push_back({{"pageid", page},
                             {"title", fmt::format("Page {}", page)},
                             {"timestamp", fmt::format("2026-10-{:02}T01:02:03Z", page)}});
        body["query"]["recentchanges"] = changes;
        if (begin + 8 < 21)
          body["continue"] = {{"rccontinue", fmt::format("|{}", begin + 8)}, {"continue", "-||"}};
      } else if (request.has_param("meta")) {
        body["query"]["rightsinfo"] = {{"url", "https://creativecommons.org/licenses/by-sa/4.0/deed.en"},
                                       {"text", "CC BY-SA"}};
      } else {
        const int page = std::stoi(request.get_param_value("pageids"));
        json item{{"pageid", page}, {"ns", 0}, {"title", fmt::format("Page {}", page)}};
        if (page == 3) {
          item["missing"] = true;
        } else {
          item["extract"] = page == 4 ? "A stub." : article(page) + (page == edited_ ? " Edited." : "");
          item["revisions"] = {
              {{"revid", page == edited_ ? 9000 : 1000 + page}, {"timestamp", "2026-10-30T00:00:00Z"}}};
          item["canonicalurl"] = fmt::format("https://en.wikipedia.org/wiki/Page_{}", page);
          if (page == 5) item["pageprops"] = {{"disambiguation", ""}};
          if (page == 6) item["redirect"] = true;
        }
        body["query"]["pages"] = {item};
      }
      response.set_content(body.dump(), "application/json");
    });
    server_.start();
  }
  Gathered fetch(const StopCheck& stop = {}) {
    PoliteClient client(quick_options(folder_), clock_, stop);
    Ledger ledger(folder_ / "wiki.jsonl.part", settings_of(query_));
    FetchContext context{client, ledger, observer_};
    Gathered gathered = fetch_wikipedia(context, query_, server_.url("/w/api.php"));
    write_corpus(folder_ / "wiki.jsonl", gathered);
    ledger.remove();
    return gathered;
  }
  Gathered rebuild() {
    PoliteClient client(quick_options(folder_), clock_);
    Ledger ledger(folder_ / "again.jsonl.part", {{"x", 1}});
    FetchContext context{client, ledger, observer_};
    Gathered gathered =
        rebuild_wikipedia(context, read_manifest(folder_ / "wiki.manifest.json"), server_.url("/w/api.php"));
    write_corpus(folder_ / "again.jsonl", gathered);
    ledger.remove();
    return gathered;
  }

  Loopback server_;
  ScratchDirectory folder_;
  FakeClock clock_;
  FetchObserver observer_;
  WikipediaQuery query_;
  std::atomic<int> busy_ = 0, edited_ = -1;
};

TEST_F(WikipediaTest, NewPagesWithRevisionAndLicence) {
  const Gathered gathered = fetch();
  ASSERT_EQ(gathered.rows.size(), 10u);
  const Corpus corpus = read_corpus(folder_ / "wiki.jsonl");
  for (const Document& document : corpus.documents) {
    const int page = document.fields["page"];
    EXPECT_EQ(document.id, fmt::format("enwiki:{}", page));
    EXPECT_EQ(document.text, article(page));
    EXPECT_EQ(document.published, fmt::format("2026-10-{:02}", page));
    EXPECT_EQ(document.fields["revision"], 1000 + page);
    EXPECT_EQ(document.fields["licence"], "CC-BY-SA-4.0");
  }
  EXPECT_EQ(read_manifest(folder_ / "wiki.manifest.json")["provenance"]["candidates"]["count"], 20);
}

TEST_F(WikipediaTest, WhatIsNoArticleIsDroppedAndCounted) {
  query_.count = 100;
  std::map<std::string, int> dropped;
  const Gathered gathered = fetch();
  for (const Dropped& one : gathered.dropped) ++dropped[one.reason];
  EXPECT_EQ(gathered.rows.size(), 16u);
  EXPECT_THAT(dropped, ElementsAre(Pair("deleted", 1), Pair("disambiguation", 1), Pair("redirect", 1),
                                   Pair("too short", 1)));
}

TEST_F(WikipediaTest, ABusyWikiIsGivenTime) {
  busy_ = 2;
  const auto start = clock_.now();
  EXPECT_EQ(fetch().rows.size(), 10u);
  EXPECT_GE(clock_.now() - start, std::chrono::seconds(10));
}

TEST_F(WikipediaTest, InterruptedItGoesOn) {
  const std::string expected =
      (fetch(), read_all(folder_ / "wiki.jsonl") + read_all(folder_ / "wiki.manifest.json"));
  for (const std::size_t at : {1u, 2u, 3u, 4u, 7u, 11u}) {
    std::filesystem::remove(folder_ / "wiki.jsonl");
    server_.forget_requests();
    EXPECT_THROW(fetch([&] { return server_.requests() >= at; }), FetchStopped);
    fetch();
    EXPECT_EQ(read_all(folder_ / "wiki.jsonl") + read_all(folder_ / "wiki.manifest.json"), expected);
  }
}

TEST_F(WikipediaTest, AManifestRebuildsUnlessPagesWereEdited) {
  const Gathered first = fetch();
  EXPECT_EQ(rebuild().dropped.size(), 4u - 0u) << "those that the manifest says were dropped";
  EXPECT_EQ(read_all(folder_ / "again.jsonl"), read_all(folder_ / "wiki.jsonl"));
  edited_ = first.rows[2]["page"].get<int>();
  const Gathered second = rebuild();
  EXPECT_EQ(second.rows.size(), 9u);
  ASSERT_EQ(second.dropped.size(), 1u);
  EXPECT_THAT(second.dropped[0].detail, HasSubstr("revision 9000 instead of 10"));
}

TEST_F(WikipediaTest, TheWikisErrorsAreShown) {
  server_.set_mischief([](const httplib::Request&, httplib::Response& response) {
    response.set_content(R"({"error":{"code":"badvalue","info":"Unrecognized value"}})", "application/json");
    return true;
  });
  EXPECT_EQ(message_of([&] { fetch(); }), "the wiki refuses the question: badvalue: Unrecognized value");
  query_.language = "../x";
  EXPECT_THAT(message_of([&] { query_.check(); }), HasSubstr("not a Wikipedia's language"));
}

}  // namespace
}  // namespace deciban

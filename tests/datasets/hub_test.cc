#include "datasets/hub.h"

#include <gmock/gmock.h>

#include <set>

#include "datasets/corpus.h"
#include "datasets/corpus_writer.h"
#include "datasets/sha256.h"
#include "datasets/sources.h"
#include "tests/datasets/loopback.h"

namespace deciban {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::Each;
using testing::HasSubstr;

class HubTest : public testing::Test {
 protected:
  void SetUp() override {
    auto& routes = server_.routes();
    routes.Get("/api/datasets/who/what", [this](const auto&, auto& response) {
      response.set_content(json{{"sha", revision_}, {"cardData", {{"license", "cc-by-4.0"}}}}.dump(),
                           "application/json");
    });
    routes.Get("/splits", [](const auto&, auto& response) {
      response.set_content(
          json{{"splits",
                {{{"config", "arxiv_cs"}, {"split", "train"}}, {{"config", "bbc"}, {"split", "train"}}}}}
              .dump(),
          "application/json");
    });
    routes.Get("/rows", [this](const httplib::Request& request, httplib::Response& response) {
      const std::size_t offset = std::stoul(request.get_param_value("offset")),
                        length = std::stoul(request.get_param_value("length"));
      const std::string config = request.get_param_value("config");
      if (length > largest_page_) {
        response.status = 500;
        response.set_content(R"({"error":"TooBigRows"})", "application/json");
        return;
      }
      json rows = json::array();
      for (std::size_t i = offset; i < std::min(offset + length, total_); ++i) {
        rows.push_back({{"row_idx", i},
                        {"row", {{"content", config + " text " + std::to_string(i)}, {"date", "2026-07-01"}}},
                        {"truncated_cells", i == cut_ ? json{"content"} : json::array()}});
      }
      response.set_header("X-Revision", revision_);
      response.set_content(json{{"features", json::array()},
                                {"rows", rows},
                                {"num_rows_total", total_},
                                {"num_rows_per_page", 100},
                                {"partial", partial_}}
                               .dump(),
                           "application/json");
    });
    const auto file = [this](const httplib::Request& request, httplib::Response& response) {
      response.set_header("X-Repo-Commit", "c0ffee");
      response.set_header("X-Linked-ETag", '"' + stored_digest_ + '"');
      response.set_redirect("/storage");
    };
    routes.Get(R"(/datasets/who/what/resolve/(.*)/data/a%20b.bin)", file);
    routes.Get(R"(/datasets/who/what/resolve/(.*)/data/a b.bin)", file);
    routes.Get("/storage", [this](const auto&, auto& response) {
      response.set_content(stored_, "application/octet-stream");
    });
    server_.start();
  }
  Gathered fetch(const HubQuery& query, const StopCheck& stop = {}) {
    PoliteClient client(quick_options(folder_), clock_, stop);
    Ledger ledger(folder_ / "rows.jsonl.part", settings_of(query));
    FetchContext context{client, ledger, observer_};
    Gathered gathered = fetch_hub(context, query, servers(), token_);
    write_corpus(folder_ / "rows.jsonl", gathered);
    ledger.remove();
    return gathered;
  }
  HubServers servers() const { return {server_.url(), server_.url()}; }
  HubFile file(const std::string& digest) {
    PoliteClient client(quick_options(folder_), clock_);
    DownloadOptions options;
    options.first_wait = std::chrono::milliseconds(1);
    return fetch_hub_file(client, servers(), token_, "who/what", "data/a b.bin", "main", digest,
                          folder_ / "a.bin", options);
  }

  Loopback server_;
  ScratchDirectory folder_;
  FakeClock clock_;
  FetchObserver observer_;
  std::size_t total_ = 250, largest_page_ = 100, cut_ = 1'000'000;
  bool partial_ = false;
  std::string revision_ = "abc123", token_, stored_ = "the file", stored_digest_ = Sha256::of("the file");
};

TEST_F(HubTest, AllRowsOfAllSplits) {
  const Gathered gathered = fetch({"who/what"});
  EXPECT_EQ(gathered.rows.size(), 500u);
  const Corpus corpus = read_corpus(folder_ / "rows.jsonl");
  ASSERT_EQ(corpus.documents.size(), 500u);
  EXPECT_EQ(corpus.documents[0].id, "arxiv_cs/train/0");
  EXPECT_EQ(corpus.documents[499].text, "bbc text 249");
  EXPECT_EQ(corpus.documents[499].published, "2026-07-01");
  EXPECT_EQ(corpus.documents[499].fields["licence"], "cc-by-4.0");
  const json manifest = read_manifest(folder_ / "rows.manifest.json");
  EXPECT_EQ(manifest["provenance"]["revision"], "abc123");
  EXPECT_EQ(manifest["documents"][0]["sha256"], Sha256::of("arxiv_cs text 0"));
}

TEST_F(HubTest, OneSplitAndASampleOfIt) {
  HubQuery query{"who/what", "bbc", "", 40, 5};
  const Gathered gathered = fetch(query);
  ASSERT_EQ(gathered.rows.size(), 40u);
  std::set<std::uint64_t> rows;
  for (const json& row : gathered.rows) {
    EXPECT_EQ(row["config"], "bbc");
    rows.insert(row["row"].get<std::uint64_t>());
  }
  EXPECT_EQ(rows.size(), 40u);
  EXPECT_GT(*rows.rbegin(), 150u) << "not only the first";
  query.config = "bcc";
  EXPECT_THAT(message_of([&] { fetch(query); }), AllOf(HasSubstr("has no bcc/*"), HasSubstr("bbc/train")));
}

TEST_F(HubTest, PagesThatAreTooMuchAreHalved) {
  const std::string expected = (fetch({"who/what"}), read_all(folder_ / "rows.jsonl"));
  std::filesystem::remove(folder_ / "rows.jsonl");
  largest_page_ = 30;
  fetch({"who/what"});
  EXPECT_EQ(read_all(folder_ / "rows.jsonl"), expected);
}

TEST_F(HubTest, CutCellsAndHalfSplitsAreRefused) {
  cut_ = 120;
  EXPECT_THAT(message_of([&] { fetch({"who/what"}); }),
              AllOf(HasSubstr("row 120"), HasSubstr("[\"content\"]"), HasSubstr("--file")));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "rows.jsonl"));
  std::filesystem::remove(folder_ / "rows.jsonl.part");
  cut_ = 1'000'000;
  partial_ = true;
  EXPECT_THAT(message_of([&] { fetch({"who/what"}); }), HasSubstr("only the beginning"));
}

TEST_F(HubTest, AChangeWhileReadingIsNoticed) {
  server_.set_mischief([&](const httplib::Request& request, httplib::Response&) {
    if (request.target.find("offset=200") != std::string::npos) revision_ = "def456";
    return false;
  });
  EXPECT_THAT(message_of([&] { fetch({"who/what"}); }), HasSubstr("changed from commit abc123 to def456"));
}

TEST_F(HubTest, MisbehaviourAndInterruptionsLoseNothing) {
  const std::string expected = (fetch({"who/what"}), read_all(folder_ / "rows.jsonl"));
  std::filesystem::remove(folder_ / "rows.jsonl");
  const auto ways = misbehaviours(server_);
  for (std::size_t at = 1; at < 8; ++at) {
    server_.forget_requests();
    EXPECT_THROW(fetch({"who/what"}, [&] { return server_.requests() >= at; }), FetchStopped) << at;
    int asked = 0;
    server_.set_mischief([&](const httplib::Request& request, httplib::Response& response) {
      return ++asked == 1 && ways[at % 5].answer(request, response);
    });
    fetch({"who/what"});
    server_.set_mischief({});
    EXPECT_EQ(read_all(folder_ / "rows.jsonl"), expected);
    std::filesystem::remove(folder_ / "rows.jsonl");
  }
}

TEST_F(HubTest, AManifestRebuildsAndSaysWhatChanged) {
  HubQuery query{"who/what", "", "", 20, 5};
  fetch(query);
  const json manifest = read_manifest(folder_ / "rows.manifest.json");
  const auto again = [&] {
    PoliteClient client(quick_options(folder_), clock_);
    Ledger ledger(folder_ / "again.jsonl.part", {{"x", 1}});
    FetchContext context{client, ledger, observer_};
    Gathered gathered = rebuild_hub(context, manifest, servers(), "");
    write_corpus(folder_ / "again.jsonl", gathered);
    ledger.remove();
    return gathered;
  };
  revision_ = "other commit, same rows";
  EXPECT_EQ(again().dropped.size(), 0u);
  EXPECT_EQ(read_all(folder_ / "again.jsonl"), read_all(folder_ / "rows.jsonl"));
  total_ = 100;
  const Gathered changed = again();
  EXPECT_GT(changed.dropped.size(), 0u);
  EXPECT_EQ(changed.dropped[0].reason, "differs from the manifest");
}

TEST_F(HubTest, TheTokenIsSentAndItsLackIsNamed) {
  std::string seen = "none";
  server_.set_mischief([&](const httplib::Request& request, httplib::Response& response) {
    seen = request.get_header_value("Authorization");
    response.status = 401;
    return true;
  });
  EXPECT_THAT(message_of([&] { fetch({"who/what"}); }), AllOf(HasSubstr("401"), HasSubstr("set HF_TOKEN")));
  EXPECT_EQ(seen, "");
  token_ = "hf_x";
  EXPECT_THAT(message_of([&] { fetch({"who/what"}); }), HasSubstr("what HF_TOKEN may read"));
  EXPECT_EQ(seen, "Bearer hf_x");
}

TEST_F(HubTest, BadNamesAndColumns) {
  for (const char* name : {"", "a/b/c", "/a", "a/", "a/../b", "a b", "a?b"})
    EXPECT_THROW(check_dataset_name(name), std::invalid_argument) << name;
  HubQuery query{"who/what"};
  query.text_field = "story";
  EXPECT_THAT(message_of([&] { fetch(query); }),
              AllOf(HasSubstr("no text in 'story'"), HasSubstr("it has content, date")));
}

TEST_F(HubTest, FilesAreCheckedByTheirHash) {
  const HubFile good = file("");
  EXPECT_EQ(read_all(folder_ / "a.bin"), "the file");
  EXPECT_EQ(good.revision, "c0ffee");
  EXPECT_EQ(good.digest, Sha256::of("the file"));
  EXPECT_TRUE(good.checked);
  EXPECT_THAT(server_.targets().at(1), HasSubstr("/resolve/c0ffee/"))
      << "what the branch meant when it was asked";
  std::filesystem::remove(folder_ / "a.bin");
  EXPECT_THAT(message_of([&] { file(std::string(64, '0')); }), HasSubstr("nothing was downloaded"));
  EXPECT_THAT(message_of([&] { file("xyz"); }), HasSubstr("not a SHA-256"));
  stored_ = "another file";
  EXPECT_THAT(message_of([&] { file(""); }), HasSubstr("nothing was installed"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "a.bin"));
}

TEST(Servers, ComeFromOptionsEnvironmentAndTheTable) {
  ::unsetenv("DECIBAN_ARXIV_OAI");
  EXPECT_EQ(server_url("arxiv-oai", {}), "https://oaipmh.arxiv.org/oai");
  ::setenv("DECIBAN_ARXIV_OAI", "http://mirror/oai/", 1);
  EXPECT_EQ(server_url("arxiv-oai", {}), "http://mirror/oai");
  EXPECT_EQ(server_url("arxiv-oai", {"arxiv-oai=http://x/"}), "http://x");
  ::unsetenv("DECIBAN_ARXIV_OAI");
  EXPECT_THAT(message_of([] { server_url("arxiv-oai", {"arxiv=http://x"}); }),
              HasSubstr("names are arxiv-api"));
  EXPECT_THAT(message_of([] { server_url("arxiv-oai", {"arxiv-oai=ftp://x"}); }), HasSubstr("http or https"));
}

}  // namespace
}  // namespace deciban

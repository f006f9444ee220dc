// deciban fetch as a user runs it, on servers of the loopback interface.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/cli/program.h"
#include "tests/datasets/fake_arxiv.h"

namespace deciban {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class FetchTest : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    arxiv_.add("cs.CL", 9);
    arxiv_.add("math.AG", 5);
    server_.start();
  }
  std::vector<std::string> words(std::vector<std::string> more = {}) const {
    const ArxivServers servers = arxiv_.servers();
    std::vector<std::string> result{"fetch",       "arxiv",
                                    "--category",  "cs.CL,math",
                                    "--from",      "2025-01",
                                    "-n",          "6",
                                    "--min-chars", "100",
                                    "--interval",  "0",
                                    "-o",          at("papers.jsonl"),
                                    "--contact",   "test@example.org",
                                    "--server",    "arxiv-api=" + servers.api,
                                    "--server",    "arxiv-oai=" + servers.oai,
                                    "--server",    "arxiv-html=" + servers.html,
                                    "--server",    "arxiv-source=" + servers.source};
    result.insert(result.end(), more.begin(), more.end());
    return result;
  }
  std::map<std::string, std::string> environment() const {
    return {{"XDG_CACHE_HOME", at("cache")}, {"DECIBAN_CONTACT", ""}, {"HF_TOKEN", ""}};
  }
  Ended run(std::vector<std::string> words) const { return deciban_program(std::move(words), environment()); }

  Loopback server_;
  FakeArxiv arxiv_{server_};
};

TEST_F(FetchTest, MakesACorpusAndMakesItAgain) {
  const Ended first = run(words({"--publish"}));
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_THAT(first.err, AllOf(HasSubstr("6 documents"), HasSubstr("licences:"),
                               HasSubstr("papers.manifest.json"), HasSubstr("papers.public.jsonl")));
  EXPECT_EQ(first.out, "");
  EXPECT_FALSE(std::filesystem::exists(at("papers.jsonl.part")));

  server_.forget_requests();
  const Ended again = run(words());
  EXPECT_EQ(again.code, 0);
  EXPECT_THAT(again.err, HasSubstr("was there already"));
  EXPECT_EQ(server_.requests(), 0u);

  std::filesystem::remove_all(at("cache"));
  std::vector<std::string> rebuild = words();
  rebuild.erase(rebuild.begin() + 1, rebuild.begin() + 10);  // the source and what it is asked
  rebuild.insert(rebuild.end(), {"--from-manifest", at("papers.manifest.json")});
  *std::find(rebuild.begin(), rebuild.end(), at("papers.jsonl")) = at("again.jsonl");
  const Ended rebuilt = run(rebuild);
  EXPECT_EQ(rebuilt.code, 0) << rebuilt.err;
  EXPECT_EQ(read(at("again.jsonl")), read(at("papers.jsonl")));

  arxiv_.papers.clear();
  std::filesystem::remove_all(at("cache"));
  std::filesystem::remove(at("again.jsonl"));
  const Ended gone = run(rebuild);
  EXPECT_EQ(gone.code, 3) << gone.err;
  EXPECT_THAT(gone.err, HasSubstr("6 of 6 documents could not be had as they were"));
}

TEST_F(FetchTest, TheFormOfTheTextsCanBeSaidWithFrom) {
  ASSERT_EQ(run(words({"--from", "source"})).code, 0);
  const std::string corpus = read_all(at("papers.jsonl"));
  EXPECT_THAT(server_.targets(), testing::Not(testing::Contains(HasSubstr("/html/"))));
  std::filesystem::remove(at("papers.jsonl"));
  ASSERT_EQ(run(words({"--text", "source"})).code, 0);
  EXPECT_EQ(read_all(at("papers.jsonl")), corpus);
}

TEST_F(FetchTest, KilledBetweenRequestsItGoesOn) {
  ASSERT_EQ(run(words()).code, 0);
  const std::string expected = read(at("papers.jsonl")) + read(at("papers.manifest.json"));
  const std::size_t requests = server_.requests();
  ASSERT_GT(requests, 10u);
  for (std::size_t kill_at = 1; kill_at <= requests; ++kill_at) {
    SCOPED_TRACE(kill_at);
    for (const char* name : {"papers.jsonl", "papers.manifest.json", "papers.jsonl.part", "cache"})
      std::filesystem::remove_all(at(name));
    server_.forget_requests();
    std::vector<std::string> command = words();
    command.insert(command.begin(), DECIBAN_PROGRAM);
    Program program(command, environment());
    // The server itself strikes, while it answers.
    std::atomic<std::size_t> seen = 0;
    server_.set_mischief([&](const httplib::Request&, httplib::Response&) {
      if (++seen == kill_at) program.signal(SIGKILL);
      return false;
    });
    EXPECT_EQ(program.wait().code, 128 + SIGKILL);
    server_.set_mischief({});
    const Ended ended = run(words());
    EXPECT_EQ(ended.code, 0) << ended.err;
    EXPECT_EQ(read(at("papers.jsonl")) + read(at("papers.manifest.json")), expected);
  }
}

TEST_F(FetchTest, InterruptedItSaysHowToGoOn) {
  std::vector<std::string> command = words();
  command.insert(command.begin(), DECIBAN_PROGRAM);
  Program program(command, environment());
  std::atomic<std::size_t> seen = 0;
  server_.set_mischief([&](const httplib::Request&, httplib::Response&) {
    if (++seen == 7) program.signal(SIGINT);
    return false;
  });
  const Ended ended = program.wait();
  server_.set_mischief({});
  EXPECT_EQ(ended.code, 130);
  EXPECT_THAT(ended.err, HasSubstr("the same command goes on where it was"));
  EXPECT_TRUE(std::filesystem::exists(at("papers.jsonl.part")));
  const Ended other = run(words({"--seed", "2"}));
  EXPECT_EQ(other.code, 1);
  EXPECT_THAT(other.err, HasSubstr("seed is 1 there and 2 here"));
  EXPECT_EQ(run(words()).code, 0);
  const Ended exists = run(words({"--seed", "2"}));
  EXPECT_EQ(exists.code, 1);
  EXPECT_THAT(exists.err, HasSubstr("is there and is something else: seed is 1 there and 2 here"));
}

TEST_F(FetchTest, NamesWhatIsWrongBeforeAnythingIsAsked) {
  const auto message = [&](std::vector<std::string> line) {
    line.insert(line.begin(), "fetch");
    const Ended ended = run(line);
    EXPECT_EQ(ended.code, 2) << ended.err;
    std::string text;  // lines are wrapped
    for (const char c : ended.err) text += c == '\n' ? ' ' : c;
    for (std::size_t gap; (gap = text.find("  ")) != std::string::npos;) text.erase(gap, 1);
    return text;
  };
  EXPECT_THAT(message({"arxiv", "--category", "cs.CL", "--from", "2025-01"}),
              HasSubstr("--contact you@example.org"));
  EXPECT_THAT(message({"arxiv", "--category", "cs.CL", "--from", "2025-01", "--contact", "me"}),
              HasSubstr("'me' is neither"));
  EXPECT_THAT(message({"arxiv", "--category", "cs.CI", "--from", "2025-01"}), HasSubstr("did you mean 'cs."));
  EXPECT_THAT(message({"arxiv", "--category", "maths", "--from", "2025-01"}),
              HasSubstr("did you mean 'math'"));
  EXPECT_THAT(message({"arxiv", "--from", "2025-01"}), HasSubstr("--category is missing"));
  EXPECT_THAT(message({"arxiv", "--category", "cs.CL"}), HasSubstr("--from is missing"));
  EXPECT_THAT(message({"arxiv", "--category", "cs.CL", "--from", "2025-01-05"}),
              HasSubstr("--to is missing"));
  EXPECT_THAT(message({"arxiv", "--category", "cs.CL", "--from", "yesterday"}),
              HasSubstr("'yesterday' is not a date"));
  EXPECT_THAT(message({"arxiv", "--category", "cs.CL", "--from", "2025-01", "--text", "pdf"}),
              HasSubstr("html, source and auto"));
  EXPECT_THAT(message({"arxiv", "--category", "cs.CL", "--from", "2025-01", "--from", "2025-02"}),
              HasSubstr("--from '2025-02': the first day is '2025-01' already"));
  EXPECT_THAT(message({"arxiv", "--category", "cs.CL", "--from", "html", "--text", "source"}),
              HasSubstr("--from 'html': the form of the texts is 'source' already"));
  EXPECT_THAT(message({"arxiv", "--category", "cs.CL", "--from", "html"}), HasSubstr("--from is missing"));
  EXPECT_THAT(message({"arxiv", "--category", "cs.CL", "--from", "2025-01", "--split", "train"}),
              HasSubstr("--split means nothing to 'arxiv'"));
  EXPECT_THAT(message({"arxiv", "--category", "cs.CL", "--from", "2025-01", "--server", "api=x"}),
              HasSubstr("names are arxiv-api"));
  EXPECT_THAT(message({"arxive"}), HasSubstr("did you mean 'arxiv'?"));
  EXPECT_THAT(message({"arxiv:cs.CL"}), HasSubstr("--category cs.CL"));
  EXPECT_THAT(message({"hub:"}), HasSubstr("hub:OWNER/NAME"));
  EXPECT_THAT(message({"hub:a/b", "--sha256", "x"}), HasSubstr("belong to --file"));
  EXPECT_THAT(message({"wikipedia:EN!", "--from", "2025-01", "--contact", "a@b.c"}),
              HasSubstr("not a Wikipedia's language"));
  EXPECT_THAT(message({}), AllOf(HasSubstr("arxiv"), HasSubstr("hub:OWNER/NAME"), HasSubstr("vocab:world")));
  EXPECT_EQ(server_.requests(), 0u);
}

TEST_F(FetchTest, AnUnreachableServerIsNamedSoonAndLeavesNothing) {
  const Ended ended = run(words({"--server", "arxiv-api=http://127.0.0.1:1/api"}));
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err,
              AllOf(HasSubstr("127.0.0.1"), HasSubstr("(tried 2 times)"), Not(HasSubstr("is kept"))));
  EXPECT_FALSE(std::filesystem::exists(at("papers.jsonl.part")));
}

TEST_F(FetchTest, ABadManifestIsNamed) {
  const auto message = [&](const std::string& text) {
    const Ended ended =
        run({"fetch", "--from-manifest", write("m.json", text), "--contact", "a@example.org"});
    EXPECT_EQ(ended.code, 1);
    EXPECT_THAT(ended.err, HasSubstr("m.json"));
    return ended.err;
  };
  EXPECT_THAT(message("{"), HasSubstr("not a manifest"));
  EXPECT_THAT(message("{\"format\": \"deciban-corpus-manifest/9\"}"), HasSubstr("manifest/9"));
  EXPECT_THAT(message("{\"format\": \"deciban-corpus-manifest/1\"}"), HasSubstr("lacks 'settings'"));
  EXPECT_EQ(run({"fetch", "--from-manifest", at("none.json")}).code, 1);
}

}  // namespace
}  // namespace deciban

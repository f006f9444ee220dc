#include "datasets/http.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "datasets/sha256.h"
#include "datasets/vocabulary.h"
#include "tests/shared_data.h"

namespace deciban {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::StartsWith;

// A server on the loopback interface, and a folder to download to.
class HttpTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / fmt::format("deciban-http-{}", ::getpid());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    target_ = folder_ / "new/file.txt";
    port_ = server_.bind_to_any_port("127.0.0.1");
    ASSERT_GT(port_, 0);
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    while (!server_.is_running()) std::this_thread::sleep_for(milliseconds(1));
    options_.first_wait = milliseconds(10);
    options_.stall_timeout = std::chrono::seconds(1);
    options_.attempts = 3;
  }
  void TearDown() override {
    release_ = true;
    server_.stop();
    if (thread_.joinable()) thread_.join();
    fs::remove_all(folder_);
  }
  std::string url(const std::string& path) const { return fmt::format("http://127.0.0.1:{}{}", port_, path); }
  std::string content() const {
    std::ifstream in(target_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::string error_of(const std::string& path) {
    try {
      download(url(path), target_, options_);
    } catch (const std::runtime_error& error) {
      EXPECT_THAT(error.what(), StartsWith(url(path) + ": "));
      return std::string(error.what()).substr(url(path).size() + 2);
    }
    return "";
  }
  // Neither the file nor a part of it may be left behind.
  void expect_nothing_left() const {
    EXPECT_FALSE(fs::exists(target_));
    EXPECT_TRUE(!fs::exists(target_.parent_path()) || fs::is_empty(target_.parent_path()));
  }

  httplib::Server server_;
  std::thread thread_;
  int port_ = 0;
  fs::path folder_, target_;
  DownloadOptions options_;
  std::atomic<int> requests_ = 0;
  std::atomic<bool> release_ = false;
};

TEST_F(HttpTest, WritesTheFileAndSaysWhoAsks) {
  std::string agent;
  server_.Get("/file", [&](const httplib::Request& request, httplib::Response& response) {
    agent = request.get_header_value("User-Agent");
    response.set_content(std::string("some\0text", 9), "text/plain");
  });
  const Download result = download(url("/file"), target_, options_);
  EXPECT_EQ(content(), std::string("some\0text", 9));
  EXPECT_EQ(result.bytes, 9u);
  EXPECT_EQ(result.attempts, 1);
  EXPECT_THAT(agent, testing::MatchesRegex("deciban/[0-9]+\\.[0-9]+\\.[0-9]+"));
  EXPECT_EQ(std::distance(fs::directory_iterator(target_.parent_path()), {}), 1);
}

TEST_F(HttpTest, ReplacesAnOldFileOnlyWhenComplete) {
  fs::create_directories(target_.parent_path());
  std::ofstream(target_) << "old";
  EXPECT_EQ(error_of("/missing"), "the server answers 404 (not found)");
  EXPECT_EQ(content(), "old");
  server_.Get("/file",
              [](const auto&, httplib::Response& response) { response.set_content("new", "text/plain"); });
  download(url("/file"), target_, options_);
  EXPECT_EQ(content(), "new");
}

TEST_F(HttpTest, MissingFilesAreNotAskedForAgain) {
  server_.Get("/file", [&](const auto&, httplib::Response& response) {
    ++requests_;
    response.status = 404;
  });
  EXPECT_EQ(error_of("/file"), "the server answers 404 (not found)");
  EXPECT_EQ(requests_, 1);
  expect_nothing_left();
}

TEST_F(HttpTest, TriesAgainAfterAServerError) {
  server_.Get("/file", [&](const auto&, httplib::Response& response) {
    if (++requests_ < 3) {
      response.status = 500;
      response.set_content("an error page", "text/plain");
    } else {
      response.set_content("good", "text/plain");
    }
  });
  EXPECT_EQ(download(url("/file"), target_, options_).attempts, 3);
  EXPECT_EQ(content(), "good");
}

TEST_F(HttpTest, GivesUpAfterAllAttempts) {
  server_.Get("/file", [&](const auto&, httplib::Response& response) {
    ++requests_;
    response.status = 503;
  });
  EXPECT_EQ(error_of("/file"), "the server answers 503 (unavailable) (tried 3 times)");
  EXPECT_EQ(requests_, 3);
  expect_nothing_left();
}

TEST_F(HttpTest, WaitsAsLongAsTheServerAsks) {
  server_.Get("/file", [&](const auto&, httplib::Response& response) {
    if (++requests_ == 1) {
      response.status = 429;
      response.set_header("Retry-After", "1");
    } else {
      response.set_content("good", "text/plain");
    }
  });
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(download(url("/file"), target_, options_).attempts, 2);
  EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(1000));
  EXPECT_EQ(content(), "good");
}

TEST_F(HttpTest, DoesNotWaitForHours) {
  server_.Get("/file", [](const auto&, httplib::Response& response) {
    response.status = 429;
    response.set_header("Retry-After", "7200");
  });
  EXPECT_EQ(error_of("/file"),
            "the server answers 429 (too many requests) and asks to wait 7200 seconds; try again then");
}

TEST_F(HttpTest, RecognisesATruncatedBody) {
  server_.Get("/file", [&](const auto&, httplib::Response& response) {
    ++requests_;
    response.set_content_provider(1000, "text/plain",
                                  [](std::size_t offset, std::size_t, httplib::DataSink& sink) {
                                    if (offset > 0) return false;  // the connection is closed
                                    return sink.write("0123456789", 10);
                                  });
  });
  EXPECT_EQ(error_of("/file"), "the transfer was cut off after 10 bytes (tried 3 times)");
  EXPECT_EQ(requests_, 3);
  expect_nothing_left();
}

TEST_F(HttpTest, ARetryStartsFromTheBeginning) {
  server_.Get("/file", [&](const auto&, httplib::Response& response) {
    if (++requests_ == 1) {
      response.set_content_provider(1000, "text/plain",
                                    [](std::size_t offset, std::size_t, httplib::DataSink& sink) {
                                      return offset == 0 && sink.write("0123456789", 10);
                                    });
    } else {
      response.set_content("good", "text/plain");
    }
  });
  EXPECT_EQ(download(url("/file"), target_, options_).attempts, 2);
  EXPECT_EQ(content(), "good");
}

TEST_F(HttpTest, RefusesWhatIsTooLarge) {
  options_.max_bytes = 100;
  server_.Get("/announced", [](const auto&, httplib::Response& response) {
    response.set_content(std::string(101, 'x'), "text/plain");
  });
  server_.Get("/chunked", [](const auto&, httplib::Response& response) {
    response.set_chunked_content_provider("text/plain", [](std::size_t offset, httplib::DataSink& sink) {
      if (offset < 200) return sink.write("0123456789", 10);
      sink.done();
      return true;
    });
  });
  server_.Get("/fits", [](const auto&, httplib::Response& response) {
    response.set_content(std::string(100, 'x'), "text/plain");
  });
  EXPECT_EQ(error_of("/announced"), "the file is larger than the 100 bytes allowed");
  EXPECT_EQ(error_of("/chunked"), "the file is larger than the 100 bytes allowed");
  expect_nothing_left();
  EXPECT_EQ(download(url("/fits"), target_, options_).bytes, 100u);
}

TEST_F(HttpTest, GivesUpOnAServerThatHangs) {
  options_.attempts = 2;
  server_.Get("/file", [&](const auto&, httplib::Response& response) {
    ++requests_;
    while (!release_) std::this_thread::sleep_for(milliseconds(10));
    response.set_content("late", "text/plain");
  });
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THAT(error_of("/file"),
              testing::AllOf(StartsWith("the server does not answer ("), HasSubstr("(tried 2 times)")));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(15));
  EXPECT_EQ(requests_, 2);
  expect_nothing_left();
}

TEST_F(HttpTest, FollowsAFewRedirects) {
  server_.Get(R"(/hop/(\d+))", [](const httplib::Request& request, httplib::Response& response) {
    const int left = std::stoi(request.matches[1]);
    left == 0 ? response.set_content("arrived", "text/plain")
              : response.set_redirect(fmt::format("/hop/{}", left - 1));
  });
  server_.Get("/file-scheme", [](const auto&, httplib::Response& response) {
    response.set_redirect("file:///etc/hostname");
  });
  download(url("/hop/5"), target_, options_);
  EXPECT_EQ(content(), "arrived");
  EXPECT_EQ(error_of("/hop/6"), "there are more than 5 redirects");
  EXPECT_THAT(error_of("/file-scheme"), HasSubstr("file"));
  EXPECT_EQ(content(), "arrived");
}

TEST_F(HttpTest, NamesBadUrlsServersAndFolders) {
  EXPECT_THROW(download("file:///etc/hostname", target_, options_), std::runtime_error);
  EXPECT_THROW(download("no url at all", target_, options_), std::runtime_error);
  const std::string gone = fmt::format("http://127.0.0.1:{}/x", 1);
  try {
    download(gone, target_, options_);
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), testing::AllOf(StartsWith(gone), HasSubstr("(tried 3 times)")));
  }
  std::ofstream(folder_ / "file") << "x";
  EXPECT_THROW(download(url("/file"), folder_ / "file/below", options_), std::runtime_error);
}

TEST_F(HttpTest, AFileThatIsRefusedIsNotInstalled) {
  server_.Get("/file",
              [](const auto&, httplib::Response& response) { response.set_content("bad", "text/plain"); });
  options_.check = [](const fs::path& file) {
    EXPECT_EQ(fs::file_size(file), 3u);
    throw std::runtime_error("refused");
  };
  EXPECT_THROW(download(url("/file"), target_, options_), std::runtime_error);
  expect_nothing_left();
}

class FetchVocabularyTest : public HttpTest {
 protected:
  void serve(const std::string& text) {
    server_.Get(std::string("/base/") + kWorldVocabularyFile,
                [this, text](const auto&, httplib::Response& response) {
                  ++requests_;
                  response.set_content(text, "text/plain");
                });
  }
  static std::string published() {
    std::ifstream in(shared("data/tokenizers/rwkv_vocab_v20230424.txt"), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
};

TEST_F(FetchVocabularyTest, InstallsThePublishedOneOnce) {
  DECIBAN_NEEDS_SHARED("data/tokenizers/rwkv_vocab_v20230424.txt");
  serve(published());
  EXPECT_EQ(fetch_world_vocabulary(url("/base"), target_, options_), Fetched::downloaded);
  EXPECT_EQ(content(), published());
  EXPECT_EQ(fetch_world_vocabulary(url("/base/"), target_, options_), Fetched::already_there);
  EXPECT_EQ(requests_, 1);
  std::ofstream(target_) << "damaged";
  EXPECT_EQ(fetch_world_vocabulary(url("/base/"), target_, options_), Fetched::downloaded);
  EXPECT_EQ(content(), published());
}

TEST_F(FetchVocabularyTest, TakesTheCopyWithCarriageReturns) {
  DECIBAN_NEEDS_SHARED("data/tokenizers/rwkv_vocab_v20230424.txt");
  std::string dos;
  for (const char c : published()) dos += c == '\n' ? std::string("\r\n") : std::string(1, c);
  serve(dos);
  fetch_world_vocabulary(url("/base"), target_, options_);
  EXPECT_EQ(content(), published());
}

TEST_F(FetchVocabularyTest, RefusesAnythingElse) {
  serve("1 'a' 1\n");
  try {
    fetch_world_vocabulary(url("/base"), target_, options_);
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(),
                testing::AllOf(HasSubstr("is not the World vocabulary: 8 bytes with SHA-256"),
                               HasSubstr(kWorldVocabularyDigest), HasSubstr("nothing was installed")));
  }
  expect_nothing_left();
}

TEST_F(FetchVocabularyTest, GoesToTheUsersData) {
  const char* data = std::getenv("XDG_DATA_HOME");
  const std::string old = data ? data : "";
  setenv("XDG_DATA_HOME", "/some/data", 1);
  EXPECT_EQ(world_vocabulary_target(), "/some/data/deciban/rwkv_vocab_v20230424.txt");
  data ? setenv("XDG_DATA_HOME", old.c_str(), 1) : unsetenv("XDG_DATA_HOME");
}

}  // namespace
}  // namespace deciban

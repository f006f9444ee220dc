#include "datasets/polite_client.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/datasets/loopback.h"

namespace deciban {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;

// Sends fixed bytes to each connection in turn, or resets it (empty bytes).
class RawServer {
 public:
  explicit RawServer(std::vector<std::string> answers) : answers_(std::move(answers)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ::bind(listener_, reinterpret_cast<sockaddr*>(&address), size);
    ::listen(listener_, 8);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~RawServer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/x"; }

 private:
  void serve() {
    for (const std::string& answer : answers_) {
      const int connection = ::accept(listener_, nullptr, nullptr);
      if (connection < 0) return;
      char buffer[4096];
      if (::recv(connection, buffer, sizeof buffer, 0) >= 0 && !answer.empty())
        ::send(connection, answer.data(), answer.size(), MSG_NOSIGNAL);
      if (answer.empty()) {
        const linger at_once{1, 0};  // close() becomes a reset
        ::setsockopt(connection, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
      }
      ::close(connection);
    }
  }
  std::vector<std::string> answers_;
  int listener_, port_;
  std::thread thread_;
};

class PoliteClientTest : public testing::Test {
 protected:
  void SetUp() override {
    server_.routes().Get("/good", [](const httplib::Request&, httplib::Response& response) {
      response.set_content("good", "text/plain");
    });
    server_.start();
  }
  Answer get(const std::string& path, Keep keep = Keep::no) {
    PoliteOptions options = quick_options(folder_);
    if (impatient_) options.http.total_timeout = milliseconds(400);
    PoliteClient client(options, clock_);
    PoliteRequest request;
    request.url = server_.url(path);
    request.keep = keep;
    request.objection = objection_;
    return client.get(request);
  }

  Loopback server_;
  ScratchDirectory folder_;
  FakeClock clock_;
  std::function<std::string(const Answer&)> objection_;
  bool impatient_ = false;
};

TEST_F(PoliteClientTest, WaitsThreeSecondsBetweenRequestsOfAllClients) {
  const auto start = clock_.now();
  get("/good");
  EXPECT_EQ(clock_.now() - start, milliseconds(0));
  get("/good");  // another client, the same file
  EXPECT_GE(clock_.now() - start, seconds(3));
  get("/good");
  EXPECT_GE(clock_.now() - start, seconds(6));
  EXPECT_LT(clock_.now() - start, seconds(7));
}

TEST_F(PoliteClientTest, SaysWhoAsks) {
  std::string agent;
  server_.set_mischief([&](const httplib::Request& request, httplib::Response&) {
    agent = request.get_header_value("User-Agent");
    return false;
  });
  get("/good");
  EXPECT_EQ(agent, "deciban/test (mailto:test@example.org)");
}

TEST_F(PoliteClientTest, HonoursRetryAfterForEverybody) {
  int answers = 0;
  server_.set_mischief([&](const httplib::Request&, httplib::Response& response) {
    if (answers++ > 0) return false;
    response.status = 429;
    response.set_header("Retry-After", "100");
    return true;
  });
  const auto start = clock_.now();
  EXPECT_EQ(get("/good").body, "good");
  EXPECT_GE(clock_.now() - start, seconds(100));
  EXPECT_LT(clock_.now() - start, seconds(130));

  RequestGate gate(folder_ / "gate", clock_);
  gate.enter(milliseconds(0)).hold_off(seconds(50));
  const auto held = clock_.now();
  get("/good");
  EXPECT_GE(clock_.now() - held, seconds(50));
}

TEST_F(PoliteClientTest, DoesNotWaitForDays) {
  server_.set_mischief([](const httplib::Request&, httplib::Response& response) {
    response.status = 503;
    response.set_header("Retry-After", "86400");
    return true;
  });
  EXPECT_THAT(message_of([&] { get("/good"); }),
              HasSubstr("503 (unavailable) and asks to wait 86400 seconds"));
  EXPECT_EQ(server_.requests(), 1u);
}

TEST_F(PoliteClientTest, GetsOverEveryMisbehaviour) {
  objection_ = [](const Answer& answer) {
    return answer.body == "good" ? "" : "it is not what was asked for";
  };
  for (const Misbehaviour& way : misbehaviours(server_)) {
    SCOPED_TRACE(way.name);
    impatient_ = std::string_view(way.name) == "SlowDrip";
    int answers = 0;
    server_.forget_requests();
    server_.set_mischief([&](const httplib::Request& request, httplib::Response& response) {
      return answers++ < 2 && way.answer(request, response);
    });
    EXPECT_EQ(get("/good").body, "good");
    EXPECT_EQ(server_.requests(), 3u);
  }
}

TEST_F(PoliteClientTest, SaysHowEveryMisbehaviourLooked) {
  objection_ = [](const Answer& answer) {
    return answer.body == "good" ? "" : "it is not what was asked for";
  };
  const std::map<std::string, std::string> expected{
      {"TooManyRequests", "the server answers 429 (too many requests) (tried 6 times)"},
      {"Unavailable", "the server answers 503 (unavailable) (tried 6 times)"},
      {"InternalError", "the server answers 500 (internal error) (tried 6 times)"},
      {"EmptyBody", "it is not what was asked for (tried 6 times)"},
      {"TruncatedBody", "the transfer was cut off after 26 bytes (tried 6 times)"},
      {"SlowDrip", "the answer comes too slowly"},
      {"WebPage", "it is not what was asked for (tried 6 times)"}};
  for (const Misbehaviour& way : misbehaviours(server_)) {
    SCOPED_TRACE(way.name);
    impatient_ = std::string_view(way.name) == "SlowDrip";
    server_.set_mischief(way.answer);
    EXPECT_THAT(message_of([&] { get("/good"); }),
                AllOf(HasSubstr(server_.url("/good: ")), HasSubstr(expected.at(way.name))));
  }
}

TEST_F(PoliteClientTest, SurvivesAResetConnectionAndAWrongLength) {
  const std::string good = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngood";
  const std::string longer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\ngood";
  RawServer server({"", longer, "HTTP/1.1 2", good});
  PoliteClient client(quick_options(folder_), clock_);
  PoliteRequest request;
  request.url = server.url();
  EXPECT_EQ(client.get(request).body, "good");
  EXPECT_EQ(client.requests(), 4u);
}

TEST_F(PoliteClientTest, ATextShorterThanItsLengthSaysIsNotTaken) {
  const std::string shorter = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\ngood";
  RawServer server({shorter});
  PoliteClient client(quick_options(folder_), clock_);
  PoliteRequest request;
  request.url = server.url();
  EXPECT_EQ(client.get(request).body, "go") << "what the length covers is all that belongs to the answer";
}

TEST_F(PoliteClientTest, RefusesWhatIsTooLarge) {
  server_.routes().Get("/announced", [](const auto&, httplib::Response& response) {
    response.set_content(std::string(101, 'x'), "text/plain");
  });
  server_.routes().Get("/endless", [](const auto&, httplib::Response& response) {
    response.set_chunked_content_provider(
        "text/plain", [](std::size_t, httplib::DataSink& sink) { return sink.write("0123456789", 10); });
  });
  PoliteClient client(quick_options(folder_), clock_);
  for (const char* path : {"/announced", "/endless"}) {
    PoliteRequest request;
    request.url = server_.url(path);
    request.max_bytes = 100;
    try {
      client.get(request);
      FAIL();
    } catch (const FetchError& error) {
      EXPECT_TRUE(error.too_large);
      EXPECT_THAT(error.what(), HasSubstr("larger than the 100 bytes allowed"));
    }
  }
  EXPECT_EQ(client.requests(), 2u) << "it will not get smaller";
}

TEST_F(PoliteClientTest, FollowsAFewRedirectsWithAPauseBeforeEach) {
  server_.routes().Get(R"(/hop/(\d+))", [](const httplib::Request& request, httplib::Response& response) {
    const int left = std::stoi(request.matches[1]);
    left == 0 ? response.set_content("arrived", "text/plain")
              : response.set_redirect("/hop/" + std::to_string(left - 1));
  });
  server_.routes().Get("/circle",
                       [](const auto&, httplib::Response& response) { response.set_redirect("/circle"); });
  server_.routes().Get("/file", [](const auto&, httplib::Response& response) {
    response.set_redirect("file:///etc/hostname");
  });
  const auto start = clock_.now();
  const Answer answer = get("/hop/5");
  EXPECT_EQ(answer.body, "arrived");
  EXPECT_EQ(answer.url, server_.url("/hop/0"));
  EXPECT_GE(clock_.now() - start, seconds(15));
  EXPECT_THAT(message_of([&] { get("/circle"); }), HasSubstr("more than 5 redirects"));
  EXPECT_THROW(get("/file"), FetchError);
}

TEST_F(PoliteClientTest, ATokenStaysWithItsHost) {
  std::vector<std::string> seen;
  server_.set_mischief([&](const httplib::Request& request, httplib::Response&) {
    seen.push_back(request.get_header_value("Authorization"));
    return false;
  });
  std::string elsewhere = server_.url("/good");
  elsewhere.replace(elsewhere.find("127.0.0.1"), 9, "localhost");
  server_.routes().Get("/away",
                       [&](const auto&, httplib::Response& response) { response.set_redirect(elsewhere); });
  PoliteClient client(quick_options(folder_), clock_);
  PoliteRequest request;
  request.url = server_.url("/away");
  request.headers = {"Authorization: Bearer secret"};
  EXPECT_EQ(client.get(request).body, "good");
  EXPECT_THAT(seen, testing::ElementsAre("Bearer secret", ""));
}

TEST_F(PoliteClientTest, AsksOnceForWhatDoesNotChange) {
  EXPECT_FALSE(get("/good", Keep::forever).cached);
  const Answer again = get("/good", Keep::forever);
  EXPECT_TRUE(again.cached);
  EXPECT_EQ(again.body, "good");
  EXPECT_EQ(again.content_type, "text/plain");
  EXPECT_EQ(server_.requests(), 1u);
}

TEST_F(PoliteClientTest, AsksConditionallyForWhatMayChange) {
  std::string body = "first", tag = "\"1\"";
  int unchanged = 0;
  server_.routes().Get("/tagged", [&](const httplib::Request& request, httplib::Response& response) {
    response.set_header("ETag", tag);
    if (request.get_header_value("If-None-Match") == tag) {
      response.status = 304;
      ++unchanged;
    } else {
      response.set_content(body, "text/plain");
    }
  });
  EXPECT_EQ(get("/tagged", Keep::revalidate).body, "first");
  EXPECT_EQ(get("/tagged", Keep::revalidate).body, "first");
  EXPECT_EQ(unchanged, 1);
  body = "second";
  tag = "\"2\"";
  EXPECT_EQ(get("/tagged", Keep::revalidate).body, "second");
  EXPECT_EQ(get("/tagged", Keep::revalidate).body, "second");
  EXPECT_EQ(unchanged, 2);
}

TEST_F(PoliteClientTest, ADamagedCacheIsNotBelieved) {
  get("/good", Keep::forever);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_ / "cache")) {
    if (entry.is_regular_file()) std::filesystem::resize_file(entry.path(), entry.file_size() - 1);
  }
  EXPECT_EQ(get("/good", Keep::forever).body, "good");
  EXPECT_EQ(server_.requests(), 2u);
}

TEST_F(PoliteClientTest, AnswersThatWillNotPassComeBackAtOnce) {
  EXPECT_EQ(get("/missing").status, 404);
  EXPECT_EQ(server_.requests(), 1u);
}

TEST_F(PoliteClientTest, SaysSoonThatNobodyIsThere) {
  PoliteClient client(quick_options(folder_), clock_);
  PoliteRequest request;
  request.url = "http://127.0.0.1:1/x";
  try {
    client.get(request);
    FAIL();
  } catch (const FetchError& error) {
    EXPECT_FALSE(error.reached);
    EXPECT_THAT(error.what(), HasSubstr("(tried 2 times)"));
  }
}

TEST_F(PoliteClientTest, StopsInTheMiddleOfAWait) {
  std::atomic<bool> stop = false;
  PoliteClient client(quick_options(folder_), clock_, [&] { return stop.load(); });
  client.on_delay = [&](const std::string& why) {
    EXPECT_EQ(why.substr(0, 22), "the server answers 503");
    stop = true;
  };
  server_.set_mischief([](const httplib::Request&, httplib::Response& response) {
    response.status = 503;
    return true;
  });
  PoliteRequest request;
  request.url = server_.url("/good");
  EXPECT_THROW(client.get(request), FetchStopped);
}

TEST_F(PoliteClientTest, StopsInTheMiddleOfATransfer) {
  // Shared, since the server may still be at its answer when this test has left.
  const auto stop = std::make_shared<std::atomic<bool>>(false);
  server_.set_mischief([stop](const httplib::Request&, httplib::Response& response) {
    response.set_chunked_content_provider("text/plain", [stop](std::size_t, httplib::DataSink& sink) {
      *stop = true;
      std::this_thread::sleep_for(milliseconds(20));
      return sink.write(" ", 1);
    });
    return true;
  });
  PoliteClient client(quick_options(folder_), clock_, [stop] { return stop->load(); });
  PoliteRequest request;
  request.url = server_.url("/good");
  EXPECT_THROW(client.get(request), FetchStopped);
}

TEST(HttpNames, HostsAndEncodings) {
  EXPECT_EQ(host_of("https://Export.arXiv.org:443/api?x=y"), "export.arxiv.org");
  EXPECT_EQ(host_of("http://user:pass@example.org/@x"), "example.org");
  EXPECT_EQ(host_of("http://example.org"), "example.org");
  EXPECT_EQ(url_encoded("cat:cs.CL AND [1]"), "cat%3Acs.CL%20AND%20%5B1%5D");
}

}  // namespace
}  // namespace deciban

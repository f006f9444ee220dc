// A server on the loopback interface that misbehaves as it is told, and a clock that only sleeps on paper.
#pragma once

#include <gtest/gtest.h>
#include <httplib.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "datasets/fetch_source.h"
#include "datasets/polite_client.h"
#include "tests/scratch_directory.h"

namespace deciban {

class FakeClock : public Clock {
 public:
  Time now() const override { return Time(std::chrono::milliseconds(now_)); }
  void sleep(std::chrono::milliseconds duration) override {
    now_ += duration.count();
    slept_ += duration.count();
  }
  std::chrono::milliseconds slept() const { return std::chrono::milliseconds(slept_); }

 private:
  std::atomic<std::int64_t> now_ = 1'700'000'000'000, slept_ = 0;
};

class Loopback {
 public:
  using Mischief = std::function<bool(const httplib::Request&, httplib::Response&)>;

  Loopback() {
    // Connections that are kept open, and answers that drip, each hold a thread.
    server_.new_task_queue = [] { return new httplib::ThreadPool(48); };
    server_.set_keep_alive_timeout(1);
    server_.set_tcp_nodelay(true);  // else every answer waits 40 ms for an acknowledgement
    server_.set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      const std::lock_guard lock(mutex_);
      targets_.push_back(request.target);
      return mischief_ && mischief_(request, response) ? httplib::Server::HandlerResponse::Handled
                                                       : httplib::Server::HandlerResponse::Unhandled;
    });
    port_ = server_.bind_to_any_port("127.0.0.1");
  }
  ~Loopback() {
    released_ = true;
    server_.stop();
    if (thread_.joinable()) thread_.join();
  }
  Loopback(const Loopback&) = delete;
  Loopback& operator=(const Loopback&) = delete;

  // After the routes are set.
  void start() {
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    while (!server_.is_running()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  httplib::Server& routes() { return server_; }
  std::string url(const std::string& path = "") const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }

  // Sees each request first; true if it has answered it.
  void set_mischief(Mischief mischief) {
    const std::lock_guard lock(mutex_);
    mischief_ = std::move(mischief);
  }
  // Paths with queries of all requests so far.
  std::vector<std::string> targets() const {
    const std::lock_guard lock(mutex_);
    return targets_;
  }
  std::size_t requests() const { return targets().size(); }
  void forget_requests() {
    const std::lock_guard lock(mutex_);
    targets_.clear();
  }
  bool released() const { return released_; }

 private:
  httplib::Server server_;
  std::thread thread_;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::vector<std::string> targets_;
  Mischief mischief_;
  std::atomic<bool> released_ = false;
};

// Quick settings with their files in a folder of the test.
inline PoliteOptions quick_options(const ScratchDirectory& folder) {
  PoliteOptions options;
  options.http.user_agent = "deciban/test (mailto:test@example.org)";
  options.http.stall_timeout = std::chrono::seconds(10);
  options.http.total_timeout = std::chrono::milliseconds(20'000);
  options.cache_folder = folder / "cache";
  options.gate_file = folder / "gate";
  return options;
}

// Ways in which servers fail; each is one answer.
struct Misbehaviour {
  const char* name;
  Loopback::Mischief answer;
};

inline std::vector<Misbehaviour> misbehaviours(Loopback& server) {
  using httplib::Request;
  using httplib::Response;
  return {
      {"TooManyRequests",
       [](const Request&, Response& response) {
         response.status = 429;
         response.set_header("Retry-After", "30");
         return true;
       }},
      {"Unavailable",
       [](const Request&, Response& response) {
         response.status = 503;
         response.set_header("Retry-After", "7");
         return true;
       }},
      {"InternalError",
       [](const Request&, Response& response) {
         response.status = 500;
         response.set_content("an error page", "text/plain");
         return true;
       }},
      {"EmptyBody",
       [](const Request&, Response& response) {
         response.set_content("", "application/xml");
         return true;
       }},
      {"TruncatedBody",
       [](const Request&, Response& response) {
         response.set_content_provider(100'000, "application/xml",
                                       [](std::size_t offset, std::size_t, httplib::DataSink& sink) {
                                         return offset == 0 && sink.write("<?xml version='1.0'?><feed", 26);
                                       });
         return true;
       }},
      {"SlowDrip",
       [&server](const Request&, Response& response) {
         response.set_chunked_content_provider("application/xml",
                                               [&server](std::size_t, httplib::DataSink& sink) {
                                                 std::this_thread::sleep_for(std::chrono::milliseconds(50));
                                                 return !server.released() && sink.write(" ", 1);
                                               });
         return true;
       }},
      {"WebPage",
       [](const Request&, Response& response) {
         response.set_content("<!DOCTYPE html><html><body>Maintenance</body></html>", "text/html");
         return true;
       }},
  };
}

// Ways that do not pass by waiting: asking again would give the same.
inline std::vector<Misbehaviour> lasting_misbehaviours() {
  using httplib::Request;
  using httplib::Response;
  return {
      {"RedirectLoop",
       [](const Request& request, Response& response) {
         response.set_redirect(request.target, 302);
         return true;
       }},
      {"Oversize",
       [](const Request&, Response& response) {
         response.set_content_provider(std::size_t{1} << 40, "application/xml",
                                       [](std::size_t, std::size_t, httplib::DataSink& sink) {
                                         static const std::string zeros(1 << 20, '0');
                                         return sink.write(zeros.data(), zeros.size());
                                       });
         return true;
       }},
  };
}

}  // namespace deciban

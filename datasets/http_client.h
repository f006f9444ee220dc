// HTTP into memory: one attempt at a time over one connection, with everything the server said.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "datasets/fetch_time.h"

namespace deciban {

// There was no answer, or not a whole one.
struct HttpFailure : std::runtime_error {
  HttpFailure(const std::string& reason, bool passing, bool reached = true, bool too_large = false)
      : std::runtime_error(reason), passing(passing), reached(reached), too_large(too_large) {}
  bool passing;    // the same request may succeed later
  bool reached;    // there was a connection
  bool too_large;  // the answer is larger than allowed
};

struct HttpRequest {
  std::string url;                   // http or https
  std::vector<std::string> headers;  // "Name: value"
  bool compressed = false;  // offer gzip; the body comes unpacked.  Not for files to be kept as they are.
  bool head = false;        // headers only
  std::uint64_t max_bytes = std::uint64_t{64} << 20;  // of the body, unpacked
};

struct HttpResponse {
  long status = 0;
  std::string body;
  std::map<std::string, std::string> headers;            // names in lower case; the last of equal ones
  std::optional<std::chrono::milliseconds> retry_after;  // as asked for, in seconds or as a date
  std::string redirect;                                  // absolute; empty if it is none
  std::string header(const std::string& name) const;     // lower-case name; empty if there is none
};

struct HttpClientOptions {
  std::string user_agent;
  std::chrono::milliseconds connect_timeout{20'000};
  std::chrono::seconds stall_timeout{60};            // nothing arrives for so long
  std::chrono::milliseconds total_timeout{600'000};  // of one attempt: a server may drip for ever
};

// Not for several threads.  Keeps its connection open between requests to one host.
class HttpClient {
 public:
  explicit HttpClient(HttpClientOptions options, StopCheck stop = {});
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Follows no redirect.  Throws HttpFailure, FetchStopped.
  HttpResponse send(const HttpRequest& request);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// "export.arxiv.org" of "https://export.arxiv.org:443/api", in lower case.
std::string host_of(const std::string& url);
// Percent-encodes everything but letters, digits and "-._~".
std::string url_encoded(std::string_view text);

}  // namespace deciban

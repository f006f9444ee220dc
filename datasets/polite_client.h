// Requests as a guest makes them: one at a time with a pause, tried again with patience when a server is
// busy, never again for what is on disk already.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "datasets/fetch_time.h"
#include "datasets/http_cache.h"
#include "datasets/http_client.h"
#include "datasets/politeness.h"

namespace deciban {

// The server could not be brought to answer.
struct FetchError : std::runtime_error {
  FetchError(const std::string& what, long status, bool reached, bool too_large = false)
      : std::runtime_error(what), status(status), reached(reached), too_large(too_large) {}
  long status;   // of the last answer; 0 if there was none
  bool reached;  // there was a server, whatever it did then
  bool too_large;
};

enum class Keep {
  no,
  revalidate,  // kept; asked for again only with "if it changed"
  forever      // kept; what the URL names does not change
};

struct Answer {
  long status = 200;
  std::string body, content_type;
  std::string url;          // that answered, after redirects
  std::string revision;     // X-Revision or X-Repo-Commit, which Hugging Face sends
  std::string linked_etag;  // X-Linked-ETag: the SHA-256 of a file in large-file storage
  bool cached = false;
};

struct PoliteRequest {
  std::string url;
  std::vector<std::string> headers;  // "Name: value", sent to the first host only
  bool compressed = true;
  bool head = false;
  bool follow = true;  // redirects; else they come back as answers
  std::uint64_t max_bytes = std::uint64_t{64} << 20;
  Keep keep = Keep::no;
  std::uint64_t keep_at_most = std::uint64_t{32} << 20;  // larger bodies are not put on disk
  int attempts = 0;                                      // 0: as the client's options say
  // Looks at an answer of status 200: empty if it is good, else what is wrong with it; then it is asked for
  // again like after a server error, and not kept.
  std::function<std::string(const Answer&)> objection;
};

struct PoliteOptions {
  HttpClientOptions http;
  std::chrono::milliseconds interval{3'000};  // from request to request; hosts of arXiv get 3 s at least
  int attempts = 6;                           // in all
  // Before the second attempt, about doubled with each.  A longer wait that the server asks for (Retry-After)
  // is kept up to `longest_wait`; one that asks for more ends the fetch.
  std::chrono::milliseconds first_wait{3'000};
  std::chrono::milliseconds longest_wait{900'000};
  std::filesystem::path cache_folder, gate_file;
};

// `name` of the gate and the cache below user_cache_folder(), shared by all processes of the user.
PoliteOptions polite_options(const std::string& name, const std::string& user_agent,
                             std::chrono::milliseconds interval);

// Not for several threads.
class PoliteClient {
 public:
  PoliteClient(PoliteOptions options, Clock& clock, StopCheck stop = {});

  // Follows at most 5 redirects, each a request of its own, none from https to http.  Answers of 2xx,
  // 304-free, and 4xx that will not pass come back; the rest is tried again.  Throws FetchError,
  // FetchStopped, and std::runtime_error if the disk refuses.
  Answer get(const PoliteRequest& request);

  std::uint64_t requests() const { return requests_; }  // sent so far
  // Expected time of one request with its pause.
  std::chrono::duration<double> pace() const;
  // Called while a longer wait goes on, with its reason.
  std::function<void(const std::string&)> on_delay;

 private:
  HttpResponse send(HttpRequest request, bool follow, std::string& final_url);

  PoliteOptions options_;
  Clock& clock_;
  StopCheck stop_;
  HttpClient http_;
  HttpCache cache_;
  RequestGate gate_;
  std::uint64_t requests_ = 0;
  std::chrono::milliseconds busy_{0};
  bool reached_ = false;  // some server answered since the client began
};

}  // namespace deciban

// HTTP requests to a model's server, repeated where that makes sense.
#pragma once

#include <chrono>
#include <string>

namespace deciban {

struct HttpReply {
  long status = 0;
  std::string body;
};

struct HttpSettings {
  std::string key;  // sent as "Authorization: Bearer …" and never part of a message
  std::chrono::duration<double> timeout{600};
  int retries = 4;
  std::chrono::duration<double> first_pause{1};  // before the first repetition; doubled each time
};

// The text with "[key]" for the key, should a server repeat it.
std::string without_key(std::string text, const std::string& key);

// GET if `body` is null, else POST of JSON.  Repeats what may pass: connections that fail, 408, 425, 429 and
// 5xx but 501, as Retry-After says or after growing pauses.  Returns any other reply, of whatever status.
// Throws std::runtime_error naming the address and what happened the last time.  Any thread may call.
HttpReply http_request(const std::string& url, const std::string* body, const HttpSettings& settings);

}  // namespace deciban

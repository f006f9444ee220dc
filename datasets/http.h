// Downloading a file over HTTP, politely and atomically.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace deciban {

struct DownloadOptions {
  std::chrono::milliseconds connect_timeout{20'000};
  std::chrono::seconds stall_timeout{60};  // give up an attempt when nothing arrives for so long
  std::uint64_t max_bytes = std::uint64_t{1} << 30;
  int attempts = 5;  // in all, for what may pass: no connection, a cut, 408, 429, 5xx
  // Before the second attempt; doubles with each.  A server that asks for a longer wait (Retry-After) gets
  // it, up to `longest_wait`; one that asks for more than that ends the download.
  std::chrono::milliseconds first_wait{1'000};
  std::chrono::milliseconds longest_wait{120'000};
  std::string user_agent;    // empty: "deciban/VERSION"
  std::string bearer_token;  // sent to the first host only
  // Called with the complete file before it is put in place; throws to refuse it, and may rewrite it.
  std::function<void(const std::filesystem::path& file)> check;
};

struct Download {
  std::uint64_t bytes = 0;  // as received
  int attempts = 1;
};

// GETs `url` (http or https; at most 5 redirects, none from https to http) into `target`, whose folder is
// made if need be.  `target` appears complete or not at all; what was there stays until then.  Throws
// std::runtime_error: one sentence with the URL, what happened, and how often it was tried.
Download download(const std::string& url, const std::filesystem::path& target,
                  const DownloadOptions& options = {});

}  // namespace deciban

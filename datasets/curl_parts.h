// What both HTTP clients share: handles, and which failures may pass by themselves.
#pragma once

#include <curl/curl.h>

#include <chrono>
#include <memory>
#include <string>

namespace deciban {

struct CloseCurl {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};
using Curl = std::unique_ptr<CURL, CloseCurl>;

// Throws std::runtime_error if libcurl can't be started.
Curl new_curl();

[[noreturn]] void refuse_curl_option(CURLoption option, CURLcode code);

template <class Value>
void set_curl(CURL* curl, CURLoption option, Value value) {
  if (const CURLcode code = curl_easy_setopt(curl, option, value); code != CURLE_OK)
    refuse_curl_option(option, code);
}

// Whether the same request may succeed later.
bool may_pass(CURLcode code);
bool may_pass(long status);

// "404 (not found)".
std::string describe_status(long status);

}  // namespace deciban

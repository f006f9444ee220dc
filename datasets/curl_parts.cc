#include "datasets/curl_parts.h"

#include <fmt/format.h>

#include <stdexcept>

namespace deciban {

Curl new_curl() {
  static const CURLcode global = curl_global_init(CURL_GLOBAL_DEFAULT);
  Curl curl(global == CURLE_OK ? curl_easy_init() : nullptr);
  if (!curl) throw std::runtime_error("libcurl can't be started");
  return curl;
}

void refuse_curl_option(CURLoption option, CURLcode code) {
  throw std::runtime_error(
      fmt::format("libcurl refuses option {}: {}", static_cast<int>(option), curl_easy_strerror(code)));
}

bool may_pass(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
      return true;
    default:
      return false;
  }
}

bool may_pass(long status) { return status == 408 || status == 429 || (status >= 500 && status != 501); }

std::string describe_status(long status) {
  switch (status) {
    case 400:
      return "400 (bad request)";
    case 401:
      return "401 (it wants a login)";
    case 403:
      return "403 (forbidden)";
    case 404:
      return "404 (not found)";
    case 429:
      return "429 (too many requests)";
    case 500:
      return "500 (internal error)";
    case 503:
      return "503 (unavailable)";
    default:
      return std::to_string(status);
  }
}

}  // namespace deciban

#include "engine/http_request.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string_view>
#include <thread>

namespace deciban {
namespace {

constexpr std::size_t kLargestReply = std::size_t{1} << 30;
constexpr double kLongestPause = 120;  // seconds, whatever Retry-After says

struct Received {
  std::string body;
  double retry_after = -1;  // seconds
  bool too_large = false;
};

std::size_t take_body(char* data, std::size_t, std::size_t size, void* to) {
  auto* received = static_cast<Received*>(to);
  if (received->body.size() + size > kLargestReply) {
    received->too_large = true;
    return 0;
  }
  try {
    received->body.append(data, size);
  } catch (...) {  // nothing may be thrown through C
    return 0;
  }
  return size;
}

std::size_t take_header(char* data, std::size_t, std::size_t size, void* to) {
  constexpr std::string_view kName = "retry-after:";
  std::string_view line(data, size);
  const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; };
  if (line.size() > kName.size() &&
      std::equal(kName.begin(), kName.end(), line.begin(), [&](char b, char a) { return same(a, b); })) {
    line.remove_prefix(kName.size());
    while (line.starts_with(' ')) line.remove_prefix(1);
    double seconds = 0;
    if (std::from_chars(line.data(), line.data() + line.size(), seconds).ec == std::errc{}) {
      static_cast<Received*>(to)->retry_after = seconds;
    }
  }
  return size;
}

bool may_pass(long status) {
  return status == 408 || status == 425 || status == 429 || (status >= 500 && status != 501);
}

bool may_pass(CURLcode code) {
  return code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_GOT_NOTHING ||
         code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR || code == CURLE_PARTIAL_FILE ||
         code == CURLE_OPERATION_TIMEDOUT;
}

}  // namespace

std::string without_key(std::string text, const std::string& key) {
  constexpr std::string_view kInstead = "[key]";
  if (key.empty()) return text;
  for (std::size_t at = 0; (at = text.find(key, at)) != std::string::npos; at += kInstead.size()) {
    text.replace(at, key.size(), kInstead);
  }
  return text;
}

HttpReply http_request(const std::string& url, const std::string* body, const HttpSettings& settings) {
  static std::once_flag once;
  std::call_once(once, [] { ::curl_global_init(CURL_GLOBAL_DEFAULT); });
  // One connection a thread is kept open between requests.
  thread_local const std::unique_ptr<CURL, void (*)(CURL*)> curl(::curl_easy_init(), ::curl_easy_cleanup);
  if (!curl) throw std::runtime_error(fmt::format("{}: libcurl cannot begin", url));
  std::string last;
  for (int attempt = 0;; ++attempt) {
    ::curl_easy_reset(curl.get());
    std::unique_ptr<curl_slist, void (*)(curl_slist*)> headers(nullptr, ::curl_slist_free_all);
    const auto add = [&](const std::string& line) {
      curl_slist* longer = ::curl_slist_append(headers.get(), line.c_str());
      if (longer == nullptr) throw std::bad_alloc();
      static_cast<void>(headers.release());
      headers.reset(longer);
    };
    if (!settings.key.empty()) add("Authorization: Bearer " + settings.key);
    add("Expect:");  // no waiting before large bodies
    Received received;
    const auto set = [&](CURLoption option, auto value) { ::curl_easy_setopt(curl.get(), option, value); };
    set(CURLOPT_URL, url.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_TIMEOUT_MS, static_cast<long>(settings.timeout.count() * 1000));
    set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(std::min(settings.timeout.count(), 30.0) * 1000));
    set(CURLOPT_WRITEFUNCTION, &take_body);
    set(CURLOPT_WRITEDATA, static_cast<void*>(&received));
    set(CURLOPT_HEADERFUNCTION, &take_header);
    set(CURLOPT_HEADERDATA, static_cast<void*>(&received));
    if (body != nullptr) {
      add("Content-Type: application/json");
      set(CURLOPT_POSTFIELDS, body->c_str());
      set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body->size()));
    }
    set(CURLOPT_HTTPHEADER, headers.get());
    const CURLcode code = ::curl_easy_perform(curl.get());
    long status = 0;
    ::curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
    if (received.too_large) {
      throw std::runtime_error(fmt::format("{}: a reply of more than {} bytes", url, kLargestReply));
    }
    if (code == CURLE_OK && !may_pass(status)) return {status, std::move(received.body)};
    constexpr std::size_t kShown = 300;
    last = code != CURLE_OK ? ::curl_easy_strerror(code)
                            : fmt::format("HTTP status {}: {}", status, received.body.substr(0, kShown));
    last = without_key(std::move(last), settings.key);
    if ((code != CURLE_OK && !may_pass(code)) || attempt >= settings.retries) {
      throw std::runtime_error(fmt::format("{}: {}{}", url, last,
                                           attempt > 0 ? fmt::format(" (tried {} times)", attempt + 1) : ""));
    }
    const double pause = received.retry_after >= 0
                             ? received.retry_after
                             : settings.first_pause.count() * (1 << std::min(attempt, 10));
    std::this_thread::sleep_for(std::chrono::duration<double>(std::min(pause, kLongestPause)));
  }
}

}  // namespace deciban

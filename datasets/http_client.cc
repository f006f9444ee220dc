#include "datasets/http_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "datasets/curl_parts.h"

namespace deciban {
namespace {

using std::chrono::milliseconds;

struct Exchange {
  HttpResponse response;
  std::uint64_t limit;
  bool too_large = false;
  const StopCheck* stop;
};

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

std::size_t receive_body(char* data, std::size_t, std::size_t size, void* user) {
  auto& transfer = *static_cast<Exchange*>(user);
  transfer.too_large = transfer.response.body.size() + size > transfer.limit;
  if (transfer.too_large) return 0;
  transfer.response.body.append(data, size);
  return size;
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return result;
}

std::size_t receive_header(char* data, std::size_t, std::size_t size, void* user) {
  auto& headers = static_cast<Exchange*>(user)->response.headers;
  const std::string_view line(data, size);
  if (line.starts_with("HTTP/")) headers.clear();  // "100 Continue" may come before the answer
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return size;
  std::string_view value = line.substr(colon + 1);
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!value.empty() && blank(value.front())) value.remove_prefix(1);
  while (!value.empty() && blank(value.back())) value.remove_suffix(1);
  headers[lower(line.substr(0, colon))] = value;
  return size;
}

int watch(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const StopCheck& stop = *static_cast<Exchange*>(user)->stop;
  return stop && stop() ? 1 : 0;
}

}  // namespace

std::string HttpResponse::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

struct HttpClient::State {
  HttpClientOptions options;
  StopCheck stop;
  Curl curl;
};

HttpClient::HttpClient(HttpClientOptions options, StopCheck stop)
    : state_(new State{std::move(options), std::move(stop), new_curl()}) {}
HttpClient::~HttpClient() = default;

HttpResponse HttpClient::send(const HttpRequest& request) {
  CURL* curl = state_->curl.get();
  const HttpClientOptions& options = state_->options;
  Exchange transfer{{}, request.max_bytes, false, &state_->stop};
  char message[CURL_ERROR_SIZE] = "";
  curl_easy_reset(curl);  // keeps the connection
  set_curl(curl, CURLOPT_URL, request.url.c_str());
  set_curl(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  set_curl(curl, CURLOPT_MAXCONNECTS, 1L);
  set_curl(curl, CURLOPT_USERAGENT, options.user_agent.c_str());
  set_curl(curl, CURLOPT_NOSIGNAL, 1L);
  set_curl(curl, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
  set_curl(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  set_curl(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(options.stall_timeout.count()));
  set_curl(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(options.total_timeout.count()));
  set_curl(curl, CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(request.max_bytes));
  set_curl(curl, CURLOPT_WRITEFUNCTION, &receive_body);
  set_curl(curl, CURLOPT_WRITEDATA, &transfer);
  set_curl(curl, CURLOPT_HEADERFUNCTION, &receive_header);
  set_curl(curl, CURLOPT_HEADERDATA, &transfer);
  set_curl(curl, CURLOPT_NOPROGRESS, 0L);
  set_curl(curl, CURLOPT_XFERINFOFUNCTION, &watch);
  set_curl(curl, CURLOPT_XFERINFODATA, &transfer);
  set_curl(curl, CURLOPT_ERRORBUFFER, message);
  if (request.compressed) set_curl(curl, CURLOPT_ACCEPT_ENCODING, "gzip");
  if (request.head) set_curl(curl, CURLOPT_NOBODY, 1L);
  std::unique_ptr<curl_slist, FreeList> headers;
  for (const std::string& header : request.headers) {
    curl_slist* longer = curl_slist_append(headers.get(), header.c_str());
    if (!longer) throw std::bad_alloc();
    headers.release();
    headers.reset(longer);
  }
  if (headers) set_curl(curl, CURLOPT_HTTPHEADER, headers.get());

  const CURLcode code = curl_easy_perform(curl);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, nullptr);  // it ends with this function
  if (code == CURLE_ABORTED_BY_CALLBACK) throw FetchStopped();
  if (transfer.too_large || code == CURLE_FILESIZE_EXCEEDED) {
    throw HttpFailure(fmt::format("the answer is larger than the {} bytes allowed", request.max_bytes), false,
                      true, true);
  }
  const std::size_t received = transfer.response.body.size();
  if (code == CURLE_OPERATION_TIMEDOUT) {
    curl_off_t on_the_way = 0;  // libcurl may still hold some back
    curl_easy_getinfo(curl, CURLINFO_SIZE_DOWNLOAD_T, &on_the_way);
    throw HttpFailure(received == 0 && on_the_way == 0
                          ? fmt::format("the server does not answer ({})", message)
                          : fmt::format("the answer comes too slowly ({})", message),
                      true);
  }
  if (code == CURLE_PARTIAL_FILE) {
    throw HttpFailure(fmt::format("the transfer was cut off after {} bytes", received), true);
  }
  if (code != CURLE_OK) {
    const bool reached = code != CURLE_COULDNT_RESOLVE_HOST && code != CURLE_COULDNT_RESOLVE_PROXY &&
                         code != CURLE_COULDNT_CONNECT && code != CURLE_UNSUPPORTED_PROTOCOL &&
                         code != CURLE_URL_MALFORMAT;
    throw HttpFailure(*message ? message : curl_easy_strerror(code), may_pass(code), reached);
  }

  HttpResponse& response = transfer.response;
  char* redirect = nullptr;
  curl_off_t seconds = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &response.status);
  curl_easy_getinfo(curl, CURLINFO_REDIRECT_URL, &redirect);
  curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &seconds);
  if (redirect) response.redirect = redirect;
  if (seconds > 0) response.retry_after = std::chrono::seconds(std::min<curl_off_t>(seconds, 1'000'000));
  return std::move(response);
}

std::string host_of(const std::string& url) {
  const std::size_t scheme = url.find("://");
  std::string_view rest = std::string_view(url).substr(scheme == std::string::npos ? 0 : scheme + 3);
  rest = rest.substr(0, rest.find_first_of("/?#"));
  if (const std::size_t at = rest.rfind('@'); at != std::string_view::npos) rest.remove_prefix(at + 1);
  return lower(rest.substr(0, rest.starts_with('[') ? rest.find(']') : rest.find(':')));
}

std::string url_encoded(std::string_view text) {
  std::string result;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~").find(c) != std::string_view::npos;
    result += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return result;
}

}  // namespace deciban

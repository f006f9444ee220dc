#include "datasets/polite_client.h"

#include <fmt/format.h>

#include <algorithm>

#include "datasets/curl_parts.h"

namespace deciban {
namespace {

using std::chrono::milliseconds;

constexpr int kMaxRedirects = 5;

// Between 3/4 and 5/4 of `wait`: clients that failed together shall not come back together.
milliseconds jittered(milliseconds wait, std::uint64_t seed) {
  seed = (seed ^ (seed >> 30)) * 0xbf58476d1ce4e5b9ULL;
  seed = (seed ^ (seed >> 27)) * 0x94d049bb133111ebULL;
  const auto half = static_cast<std::uint64_t>(std::max<std::int64_t>(wait.count() / 2, 1));
  return wait * 3 / 4 + milliseconds(static_cast<std::int64_t>((seed >> 31) % half));
}

// As much of it as a message can bear.
std::string shown(const std::string& url) {
  constexpr std::size_t kLongest = 110;
  const std::size_t question = url.find('?');
  return url.size() <= kLongest || question == std::string::npos ? url : url.substr(0, question) + "?…";
}

// A redirect that leads nowhere.
struct BadRedirect : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace

PoliteOptions polite_options(const std::string& name, const std::string& user_agent, milliseconds interval) {
  PoliteOptions options;
  options.http.user_agent = user_agent;
  options.interval = interval;
  options.first_wait = std::max(interval, milliseconds(1'000));
  options.cache_folder = user_cache_folder() / "http";
  options.gate_file = user_cache_folder() / (name + ".last-request");
  return options;
}

PoliteClient::PoliteClient(PoliteOptions options, Clock& clock, StopCheck stop)
    : options_(std::move(options)),
      clock_(clock),
      stop_(stop),
      http_(options_.http, stop),
      cache_(options_.cache_folder),
      gate_(options_.gate_file, clock, stop) {}

std::chrono::duration<double> PoliteClient::pace() const {
  if (requests_ == 0) return options_.interval;
  return std::max<std::chrono::duration<double>>(options_.interval,
                                                 std::chrono::duration<double>(busy_) / requests_);
}

HttpResponse PoliteClient::send(HttpRequest request, bool follow, std::string& final_url) {
  const std::string first_host = host_of(request.url);
  for (int hops = 0;; ++hops) {
    HttpResponse response;
    {
      RequestGate::Turn turn = gate_.enter(pause_before(request.url, options_.interval));
      ++requests_;
      const Clock::Time start = clock_.now();
      try {
        response = http_.send(request);
      } catch (...) {
        busy_ += clock_.now() - start;
        throw;
      }
      busy_ += clock_.now() - start;
      if (response.retry_after && may_pass(response.status))
        turn.hold_off(std::min(*response.retry_after, options_.longest_wait));
      if (const milliseconds quiet = quiet_after(request.url, response.status); quiet.count() > 0)
        turn.hold_off(quiet);
    }
    const bool redirected =
        response.status >= 300 && response.status < 400 && response.status != 304 && follow;
    if (!redirected) {
      final_url = request.url;
      return response;
    }
    if (response.redirect.empty()) throw BadRedirect("it redirects without saying where to");
    if (hops == kMaxRedirects)
      throw BadRedirect(fmt::format("there are more than {} redirects", kMaxRedirects));
    if (request.url.starts_with("https:") && !response.redirect.starts_with("https:"))
      throw BadRedirect(fmt::format("it redirects to {}, which is not https", response.redirect));
    request.url = response.redirect;
    // They may hold a token.
    if (host_of(request.url) != first_host) request.headers.clear();
  }
}

Answer PoliteClient::get(const PoliteRequest& request) {
  std::optional<CachedAnswer> cached;
  if (request.keep != Keep::no) cached = cache_.find(request.url);
  const auto from_cache = [&] {
    return Answer{200, std::move(cached->body), cached->content_type, cached->final_url, cached->revision, "",
                  true};
  };
  if (cached && request.keep == Keep::forever) return from_cache();

  HttpRequest sent{request.url, request.headers, request.compressed, request.head, request.max_bytes};
  if (cached && !cached->etag.empty()) sent.headers.push_back("If-None-Match: " + cached->etag);
  if (cached && !cached->last_modified.empty())
    sent.headers.push_back("If-Modified-Since: " + cached->last_modified);

  milliseconds pause = options_.first_wait;
  int attempts = request.attempts > 0 ? request.attempts : options_.attempts;
  for (int number = 1;; ++number) {
    std::string reason;
    bool passing = true, reached = true, too_large = false;
    long status = 0;
    std::optional<milliseconds> asked;
    try {
      Answer answer;
      HttpResponse response = send(sent, request.follow, answer.url);
      reached_ = true;
      status = answer.status = response.status;
      if (status == 304 && cached) return from_cache();
      answer.body = std::move(response.body);
      answer.content_type = response.header("content-type");
      answer.linked_etag = response.header("x-linked-etag");
      answer.revision = response.header("x-revision");
      if (answer.revision.empty()) answer.revision = response.header("x-repo-commit");
      if (may_pass(status)) {
        reason = "the server answers " + describe_status(status);
        asked = response.retry_after;
      } else if (status == 200 && request.objection) {
        reason = request.objection(answer);
        asked = response.retry_after;
      }
      if (reason.empty()) {
        if (status == 200 && request.keep != Keep::no && answer.body.size() <= request.keep_at_most) {
          cache_.keep({request.url, answer.url, answer.content_type, response.header("etag"),
                       response.header("last-modified"), answer.revision, answer.body});
        }
        return answer;
      }
    } catch (const HttpFailure& failure) {
      reason = failure.what();
      passing = failure.passing;
      reached = failure.reached;
      too_large = failure.too_large;
      // Somebody without a network, or with a wrong address, need not wait long to hear it.
      if (!reached && !reached_) attempts = std::min(attempts, 2);
    } catch (const BadRedirect& failure) {
      reason = failure.what();
      passing = false;
    }
    const std::string tried = number == 1 ? "" : fmt::format(" (tried {} times)", number);
    if (!passing || number >= attempts)
      throw FetchError(fmt::format("{}: {}{}", shown(request.url), reason, tried), status, reached,
                       too_large);
    if (asked && *asked > options_.longest_wait) {
      throw FetchError(fmt::format("{}: {}{} and asks to wait {} seconds; try again then", shown(request.url),
                                   reason, tried, asked->count() / 1000),
                       status, true);
    }
    const milliseconds random =
        jittered(pause, static_cast<std::uint64_t>(clock_.now().time_since_epoch().count()));
    const milliseconds next = std::min(std::max(random, asked.value_or(random)), options_.longest_wait);
    if (on_delay) on_delay(fmt::format("{}; waiting {} s", reason, (next.count() + 999) / 1000));
    wait(clock_, next, stop_);
    pause = std::min(pause * 2, options_.longest_wait);
  }
}

}  // namespace deciban

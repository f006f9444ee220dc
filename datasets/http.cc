#include "datasets/http.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <thread>

#include "datasets/curl_parts.h"
#include "deciban_version.h"

namespace deciban {

namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

// The file that a download grows in, beside its target; gone if the download fails.
class PartFile {
 public:
  explicit PartFile(const fs::path& target)
      : path_(target.string() + fmt::format(".part-{}", ::getpid())),
        descriptor_(::open(path_.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644)) {
    if (descriptor_ < 0) fail("can't be written");
  }
  ~PartFile() {
    close();
    if (!placed_) ::unlink(path_.c_str());
  }
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  const fs::path& path() const { return path_; }
  void restart() {
    if (::ftruncate(descriptor_, 0) != 0 || ::lseek(descriptor_, 0, SEEK_SET) != 0) fail("can't be written");
  }
  // False if the disk refuses; errno says why.
  bool append(const char* data, std::size_t size) {
    while (size > 0) {
      const ssize_t written = ::write(descriptor_, data, size);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return false;
      data += written;
      size -= static_cast<std::size_t>(written);
    }
    return true;
  }
  void finish() {
    if (::fsync(descriptor_) != 0) fail("can't be written");
    close();
  }
  void place(const fs::path& target) {
    std::error_code error;
    fs::rename(path_, target, error);
    if (error)
      throw std::runtime_error(
          fmt::format("{}: can't be put in place: {}", target.string(), error.message()));
    placed_ = true;
  }
  [[noreturn]] void fail(const char* what, int error = errno) const {
    throw std::runtime_error(fmt::format("{}: {}: {}", path_.string(), what, std::strerror(error)));
  }

 private:
  void close() {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = -1;
  }

  fs::path path_;
  int descriptor_;
  bool placed_ = false;
};

// What one attempt writes to and what it met.
struct Transfer {
  PartFile* file;
  std::uint64_t limit;
  std::uint64_t received = 0;
  bool too_large = false;
  int disk_error = 0;
};

std::size_t receive(char* data, std::size_t, std::size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  transfer.received += size;
  transfer.too_large = transfer.received > transfer.limit;
  if (transfer.too_large) return 0;
  if (!transfer.file->append(data, size)) {
    transfer.disk_error = errno;
    return 0;
  }
  return size;
}

// Why an attempt failed, whether another makes sense, and what wait the server asked for.
struct Failure {
  std::string reason;
  bool passing = false;
  std::optional<milliseconds> asked_wait;
};

Curl open_curl(const std::string& url, const DownloadOptions& options, Transfer& transfer, char* message) {
  Curl curl = new_curl();
  const char* protocols = url.starts_with("https:") ? "https" : "http,https";
  set_curl(curl.get(), CURLOPT_URL, url.c_str());
  set_curl(curl.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  set_curl(curl.get(), CURLOPT_REDIR_PROTOCOLS_STR, protocols);
  set_curl(curl.get(), CURLOPT_FOLLOWLOCATION, 1L);
  set_curl(curl.get(), CURLOPT_MAXREDIRS, 5L);
  set_curl(curl.get(), CURLOPT_FAILONERROR, 1L);
  set_curl(curl.get(), CURLOPT_USERAGENT,
           options.user_agent.empty() ? "deciban/" DECIBAN_VERSION : options.user_agent.c_str());
  if (!options.bearer_token.empty()) {
    // Unlike a header of our own, libcurl keeps this from other hosts that a redirect leads to.
    set_curl(curl.get(), CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    set_curl(curl.get(), CURLOPT_XOAUTH2_BEARER, options.bearer_token.c_str());
  }
  set_curl(curl.get(), CURLOPT_NOSIGNAL, 1L);
  set_curl(curl.get(), CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
  set_curl(curl.get(), CURLOPT_LOW_SPEED_LIMIT, 1L);
  set_curl(curl.get(), CURLOPT_LOW_SPEED_TIME, static_cast<long>(options.stall_timeout.count()));
  set_curl(curl.get(), CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(options.max_bytes));
  set_curl(curl.get(), CURLOPT_WRITEFUNCTION, &receive);
  set_curl(curl.get(), CURLOPT_WRITEDATA, &transfer);
  set_curl(curl.get(), CURLOPT_ERRORBUFFER, message);
  return curl;
}

// Nothing if the file is complete.
std::optional<Failure> attempt(const std::string& url, const DownloadOptions& options, Transfer& transfer) {
  char message[CURL_ERROR_SIZE] = "";
  const Curl curl = open_curl(url, options, transfer, message);
  const CURLcode code = curl_easy_perform(curl.get());
  if (code == CURLE_OK) return {};
  if (transfer.disk_error) transfer.file->fail("can't be written", transfer.disk_error);
  if (transfer.too_large || code == CURLE_FILESIZE_EXCEEDED) {
    return Failure{fmt::format("the file is larger than the {} bytes allowed", options.max_bytes), false, {}};
  }
  if (code == CURLE_HTTP_RETURNED_ERROR) {
    long status = 0;
    curl_off_t seconds = 0;
    curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(curl.get(), CURLINFO_RETRY_AFTER, &seconds);
    Failure failure{"the server answers " + describe_status(status), may_pass(status), {}};
    if (seconds > 0) failure.asked_wait = std::chrono::seconds(std::min<curl_off_t>(seconds, 1'000'000));
    return failure;
  }
  if (code == CURLE_OPERATION_TIMEDOUT && transfer.received == 0) {
    return Failure{fmt::format("the server does not answer ({})", message), true, {}};
  }
  if (code == CURLE_PARTIAL_FILE) {
    return Failure{fmt::format("the transfer was cut off after {} bytes", transfer.received), true, {}};
  }
  if (code == CURLE_TOO_MANY_REDIRECTS) return Failure{"there are more than 5 redirects", false, {}};
  return Failure{*message ? message : curl_easy_strerror(code), may_pass(code), {}};
}

}  // namespace

Download download(const std::string& url, const fs::path& target, const DownloadOptions& options) {
  if (!target.parent_path().empty()) {
    std::error_code error;
    fs::create_directories(target.parent_path(), error);
    if (error) {
      throw std::runtime_error(
          fmt::format("{}: the folder can't be made: {}", target.parent_path().string(), error.message()));
    }
  }
  PartFile file(target);
  milliseconds wait = options.first_wait;
  for (int number = 1;; ++number) {
    file.restart();
    Transfer transfer{&file, options.max_bytes};
    const std::optional<Failure> failure = attempt(url, options, transfer);
    if (!failure) {
      file.finish();
      if (options.check) options.check(file.path());
      file.place(target);
      return {transfer.received, number};
    }
    const std::string tried = number == 1 ? "" : fmt::format(" (tried {} times)", number);
    if (!failure->passing || number >= options.attempts) {
      throw std::runtime_error(fmt::format("{}: {}{}", url, failure->reason, tried));
    }
    if (failure->asked_wait && *failure->asked_wait > options.longest_wait) {
      throw std::runtime_error(fmt::format("{}: {}{} and asks to wait {} seconds; try again then", url,
                                           failure->reason, tried, failure->asked_wait->count() / 1000));
    }
    std::this_thread::sleep_for(
        std::min(std::max(wait, failure->asked_wait.value_or(wait)), options.longest_wait));
    wait *= 2;
  }
}

}  // namespace deciban

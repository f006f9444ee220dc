#include "datasets/http_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "datasets/sha256.h"

namespace deciban {

namespace fs = std::filesystem;
using nlohmann::json;

fs::path HttpCache::file_of(const std::string& url) const {
  const std::string name = Sha256::of(url);
  return folder_ / name.substr(0, 2) / name;
}

std::optional<CachedAnswer> HttpCache::find(const std::string& url) const {
  std::ifstream in(file_of(url), std::ios::binary);
  std::string line;
  if (!in || !std::getline(in, line)) return {};
  const json head = json::parse(line, nullptr, false);
  if (!head.is_object()) return {};
  CachedAnswer answer;
  answer.body.assign(std::istreambuf_iterator<char>(in), {});
  const auto text = [&](const char* name) {
    const auto found = head.find(name);
    return found != head.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  if (text("url") != url || text("sha256") != Sha256::of(answer.body)) return {};
  answer.url = url;
  answer.final_url = text("final_url");
  answer.content_type = text("type");
  answer.etag = text("etag");
  answer.last_modified = text("last_modified");
  answer.revision = text("revision");
  return answer;
}

void HttpCache::keep(const CachedAnswer& answer) const {
  const json head{{"url", answer.url},
                  {"final_url", answer.final_url},
                  {"type", answer.content_type},
                  {"etag", answer.etag},
                  {"last_modified", answer.last_modified},
                  {"revision", answer.revision},
                  {"sha256", Sha256::of(answer.body)}};
  // Headers may hold any byte.
  write_whole_file(file_of(answer.url),
                   head.dump(-1, ' ', true, json::error_handler_t::replace) + "\n" + answer.body);
}

void write_whole_file(const fs::path& file, std::string_view bytes) {
  const auto fail = [&](const char* what) {
    throw std::runtime_error(fmt::format("{}: {}: {}", file.string(), what, std::strerror(errno)));
  };
  std::error_code error;
  if (!file.parent_path().empty()) fs::create_directories(file.parent_path(), error);
  const std::string part = file.string() + fmt::format(".part-{}", ::getpid());
  const int descriptor = ::open(part.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
  if (descriptor < 0) fail("can't be written");
  bool good = true;
  while (good && !bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    good = written >= 0;
    if (good) bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  good = good && ::fsync(descriptor) == 0;
  const int problem = errno;
  ::close(descriptor);
  if (good && ::rename(part.c_str(), file.c_str()) == 0) return;
  if (!good) errno = problem;
  const int reason = errno;
  ::unlink(part.c_str());
  errno = reason;
  fail("can't be written");
}

}  // namespace deciban

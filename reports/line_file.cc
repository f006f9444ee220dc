#include "reports/line_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <utility>

namespace deciban {
namespace {

namespace fs = std::filesystem;

constexpr auto kSyncInterval = std::chrono::seconds(5);

bool blank(std::string_view line) { return line.find_first_not_of(" \t\r") == std::string_view::npos; }

}  // namespace

void throw_file_error(std::string_view what, const fs::path& path, int error) {
  const char* hint =
      error == ENOSPC || error == EDQUOT ? "; free some space and run the same command again" : "";
  throw std::runtime_error(
      fmt::format("cannot {} {}: {}{}", what, path.string(), std::strerror(error), hint));
}

std::uint64_t read_json_lines(const fs::path& path, const std::function<void(const std::string&)>& take,
                              std::string_view remedy) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw_file_error("read", path, errno);
  std::uint64_t whole = 0, end = 0;
  std::size_t number = 0;
  std::optional<std::string> torn;  // why the line before is bad: allowed for the last one only
  std::size_t torn_number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    end += line.size() + (file.eof() ? 0 : 1);
    if (blank(line)) {
      if (!torn) whole = end;
      continue;
    }
    if (torn) {
      throw std::runtime_error(fmt::format("{}:{}: {}; {}", path.string(), torn_number, *torn, remedy));
    }
    try {
      take(line);
      whole = end;
    } catch (const std::runtime_error& error) {
      // Valid JSON that is refused was not left by a torn write.
      if (nlohmann::json::accept(line)) {
        throw std::runtime_error(fmt::format("{}:{}: {}", path.string(), number, error.what()));
      }
      torn = error.what();
      torn_number = number;
    }
  }
  if (file.bad()) throw_file_error("read", path, errno);
  return whole;
}

OpenFile::OpenFile(const fs::path& path, int flags) : path_(path) {
  do {
    fd_ = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  } while (fd_ < 0 && errno == EINTR);
  if (fd_ < 0) throw_file_error("write", path, errno);
}

OpenFile::OpenFile(OpenFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

OpenFile& OpenFile::operator=(OpenFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  return *this;
}

OpenFile::~OpenFile() {
  if (fd_ >= 0) ::close(fd_);
}

std::uint64_t OpenFile::size() const {
  struct stat about {};
  if (::fstat(fd_, &about) != 0) throw_file_error("read", path_, errno);
  return static_cast<std::uint64_t>(about.st_size);
}

void OpenFile::cut(std::uint64_t size) const {
  if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) throw_file_error("shorten", path_, errno);
}

void OpenFile::sync() const {
  if (::fdatasync(fd_) != 0 && errno != EINVAL && errno != ENOTSUP) throw_file_error("write", path_, errno);
}

int OpenFile::write(std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    if (written == 0) return ENOSPC;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return 0;
}

std::string OpenFile::read_start() const {
  char text[320];
  const ssize_t got = ::pread(fd_, text, sizeof text, 0);
  return std::string(text, got > 0 ? static_cast<std::size_t>(got) : 0);
}

bool OpenFile::try_lock(int how) const {
  int result = 0;
  do {
    result = ::flock(fd_, how | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  if (result != 0 && errno != EWOULDBLOCK) throw_file_error("lock", path_, errno);
  return result == 0;
}

LineFile::LineFile(const fs::path& path, std::uint64_t whole)
    : file_(path, O_RDWR | O_CREAT | O_APPEND), synced_(std::chrono::steady_clock::now()) {
  if (whole < file_.size()) file_.cut(whole);
  if (whole == 0) return;
  std::ifstream check(path, std::ios::binary);
  check.seekg(static_cast<std::streamoff>(whole) - 1);
  if (check.get() == '\n') return;
  if (const int error = file_.write("\n")) throw_file_error("write", path, error);
}

LineFile::~LineFile() {
  try {
    if (file_.is_open()) file_.sync();
  } catch (const std::runtime_error&) {  // every line was written; only its way to the disk is not known
  }
}

void LineFile::append(const std::string& line) {
  if (broken_) {
    throw std::runtime_error(
        fmt::format("{} ends in a half-written line after an earlier error; run the same command "
                    "again to repair it",
                    file_.path().string()));
  }
  const std::uint64_t before = file_.size();
  if (const int error = file_.write(line + '\n')) {
    try {
      file_.cut(before);
    } catch (const std::runtime_error&) {
      broken_ = true;
    }
    throw_file_error("write", file_.path(), error);
  }
  if (const auto now = std::chrono::steady_clock::now(); now - synced_ >= kSyncInterval) {
    synced_ = now;
    file_.sync();
  }
}

}  // namespace deciban

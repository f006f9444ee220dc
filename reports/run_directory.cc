#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <mutex>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include "reports/record.h"
#include "reports/record_file.h"

namespace deciban {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr auto kSyncInterval = std::chrono::seconds(5);

[[noreturn]] void fail(std::string_view what, const fs::path& path, int error) {
  const char* hint =
      error == ENOSPC || error == EDQUOT ? "; free some space and run the same command again" : "";
  throw std::runtime_error(
      fmt::format("cannot {} {}: {}{}", what, path.string(), std::strerror(error), hint));
}

// An open file, closed at the end.
class File {
 public:
  File() = default;
  File(const fs::path& path, int flags) : path_(path) {
    do {
      fd_ = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
    } while (fd_ < 0 && errno == EINTR);
    if (fd_ < 0) fail("write", path, errno);
  }
  File(File&& other) noexcept : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}
  File& operator=(File&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }

  int fd() const { return fd_; }
  const fs::path& path() const { return path_; }

  std::uint64_t size() const {
    struct stat about {};
    if (::fstat(fd_, &about) != 0) fail("read", path_, errno);
    return static_cast<std::uint64_t>(about.st_size);
  }
  void cut(std::uint64_t size) const {
    if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) fail("shorten", path_, errno);
  }
  void sync() const {
    if (::fdatasync(fd_) != 0 && errno != EINVAL && errno != ENOTSUP) fail("write", path_, errno);
  }
  // Writes all of it in one call where the system can; 0 or the error.
  int write(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return errno;
      if (written == 0) return ENOSPC;
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    return 0;
  }

 private:
  fs::path path_;
  int fd_ = -1;
};

std::string this_process() {
  char host[256] = "unknown";
  ::gethostname(host, sizeof host - 1);
  return fmt::format("process {} on {}", ::getpid(), host);
}

std::string holder(const File& lock) {
  char text[320];
  const ssize_t got = ::pread(lock.fd(), text, sizeof text, 0);
  return std::string(text, got > 0 ? static_cast<std::size_t>(got) : 0);
}

[[noreturn]] void refuse(const fs::path& directory, std::string who) {
  if (who.empty()) who = "another process";
  throw std::runtime_error(
      fmt::format("another run is writing to {} ({}); wait for it to end, or choose another directory",
                  directory.string(), who));
}

bool try_lock(const File& lock, int how) {
  int result = 0;
  do {
    result = ::flock(lock.fd(), how | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  if (result != 0 && errno != EWOULDBLOCK) fail("lock", lock.path(), errno);
  return result == 0;
}

// Who holds one of the shards' locks.
std::string shard_holders(const fs::path& directory) {
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(".lock.")) continue;
    const File lock(entry->path(), O_RDWR);
    if (std::string who = holder(lock); !who.empty() && !try_lock(lock, LOCK_SH)) {
      return fmt::format("{}, shard {}", who, name.substr(6));
    }
  }
  return "";
}

}  // namespace

struct RunDirectory::Impl {
  fs::path path;
  std::string infix;  // "" or ".1-of-4"
  File directory_lock, shard_lock, records_file;
  std::size_t resumed = 0;
  bool broken = false;  // a half-written line could not be cut off
  Clock::time_point synced = Clock::now();
  mutable std::mutex mutex;
  std::deque<Record> records;  // ok ones; a deque, since find() hands out pointers
  std::unordered_map<std::string, const Record*> by_key, by_place;

  void open(const fs::path& directory, const std::string& suffix);
  void lock();
  void load();
  void remember(Record record);
  void name_holder(const File& lock) const;
};

void RunDirectory::Impl::open(const fs::path& directory, const std::string& suffix) {
  path = directory;
  if (!std::all_of(suffix.begin(), suffix.end(),
                   [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_'; })) {
    throw std::invalid_argument(
        fmt::format("bad shard name '{}': only letters, digits, - and _ are allowed", suffix));
  }
  if (!suffix.empty()) infix = "." + suffix;
  std::error_code error;
  fs::create_directories(path, error);
  if (fs::exists(path) && !fs::is_directory(path)) {
    throw std::runtime_error(fmt::format("{} is a file; a run needs a directory", path.string()));
  }
  if (error) fail("make the directory", path, error.value());
  lock();
  load();
}

void RunDirectory::Impl::name_holder(const File& lock) const {
  // Only a help for people: if it cannot be written, the lock holds all the same.
  if (::ftruncate(lock.fd(), 0) == 0) (void)lock.write(this_process());
}

void RunDirectory::Impl::lock() {
  directory_lock = File(path / ".lock", O_RDWR | O_CREAT);
  if (infix.empty()) {
    if (!try_lock(directory_lock, LOCK_EX)) {
      std::string who = holder(directory_lock);
      refuse(path, who.empty() ? shard_holders(path) : std::move(who));
    }
    name_holder(directory_lock);
    return;
  }
  if (!try_lock(directory_lock, LOCK_SH)) refuse(path, holder(directory_lock));
  shard_lock = File(path / (".lock" + infix), O_RDWR | O_CREAT);
  if (!try_lock(shard_lock, LOCK_EX)) refuse(path, holder(shard_lock));
  name_holder(shard_lock);
}

void RunDirectory::Impl::load() {
  const fs::path own = path / ("records" + infix + ".jsonl");
  records_file = File(own, O_RDWR | O_CREAT | O_APPEND);
  for (const fs::path& file : record_files(path)) {
    const std::uint64_t whole = read_record_file(file, [this](Record record) {
      if (record.status == "ok") remember(std::move(record));
    });
    if (file != own) continue;  // the torn line of another shard may be one that is being written
    const std::uint64_t size = records_file.size();
    if (whole < size) records_file.cut(whole);
    char last = '\n';
    if (whole > 0 && ::pread(records_file.fd(), &last, 1, static_cast<off_t>(whole - 1)) == 1 &&
        last != '\n') {
      if (const int error = records_file.write("\n")) fail("write", own, error);
    }
  }
  resumed = by_place.size();
}

void RunDirectory::Impl::remember(Record record) {
  records.push_back(std::move(record));
  const Record& kept = records.back();
  by_key[kept.key] = &kept;
  by_place[record_place(kept.key, kept.model, kept.corpus, kept.document)] = &kept;
}

RunDirectory::RunDirectory(const fs::path& path, std::string shard_suffix) : impl_(std::make_unique<Impl>()) {
  impl_->open(path, shard_suffix);
}

RunDirectory::~RunDirectory() {
  const Impl& run = *impl_;
  ::fdatasync(run.records_file.fd());
  // The lock files stay: removing one while another run waits to lock it would let two runs in.
  const File& named = run.infix.empty() ? run.directory_lock : run.shard_lock;
  if (::ftruncate(named.fd(), 0) != 0) return;
}

const fs::path& RunDirectory::path() const { return impl_->path; }

const Record* RunDirectory::find(std::string_view key) const {
  const std::lock_guard guard(impl_->mutex);
  const auto found = impl_->by_key.find(std::string(key));
  return found == impl_->by_key.end() ? nullptr : found->second;
}

const Record* RunDirectory::find(std::string_view key, std::string_view model, std::string_view corpus,
                                 std::string_view document) const {
  const std::lock_guard guard(impl_->mutex);
  const auto found = impl_->by_place.find(record_place(key, model, corpus, document));
  return found == impl_->by_place.end() ? nullptr : found->second;
}

std::size_t RunDirectory::resumed() const { return impl_->resumed; }

void RunDirectory::append(const Record& record) {
  const std::string line = to_json_line(record) + '\n';
  Impl& run = *impl_;
  const std::lock_guard guard(run.mutex);
  if (run.broken) {
    throw std::runtime_error(
        fmt::format("{} ends in a half-written line after an earlier error; run the same command "
                    "again to repair it",
                    run.records_file.path().string()));
  }
  const std::uint64_t before = run.records_file.size();
  if (const int error = run.records_file.write(line)) {
    run.broken = ::ftruncate(run.records_file.fd(), static_cast<off_t>(before)) != 0;
    fail("write", run.records_file.path(), error);
  }
  if (record.status == "ok") run.remember(record);
  if (const Clock::time_point now = Clock::now(); now - run.synced >= kSyncInterval) {
    run.synced = now;
    run.records_file.sync();
  }
}

void RunDirectory::write_run_info(const std::string& json_text) {
  const Impl& run = *impl_;
  const std::lock_guard guard(run.mutex);
  const fs::path target = run.path / ("run" + run.infix + ".json"), draft = target.string() + ".new";
  try {
    const File file(draft, O_WRONLY | O_CREAT | O_TRUNC);
    if (const int error = file.write(json_text.ends_with('\n') ? json_text : json_text + '\n')) {
      fail("write", target, error);
    }
    file.sync();
    if (::rename(draft.c_str(), target.c_str()) != 0) fail("replace", target, errno);
  } catch (...) {
    ::unlink(draft.c_str());
    throw;
  }
  // The new name is safe once the directory is on disk, too.
  if (const int fd = ::open(run.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); fd >= 0) {
    ::fsync(fd);
    ::close(fd);
  }
}

}  // namespace deciban

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

#include "reports/line_file.h"
#include "reports/record.h"
#include "reports/record_file.h"

namespace deciban {
namespace {

namespace fs = std::filesystem;

std::string this_process() {
  char host[256] = "unknown";
  ::gethostname(host, sizeof host - 1);
  return fmt::format("process {} on {}", ::getpid(), host);
}

[[noreturn]] void refuse(const fs::path& directory, std::string who) {
  if (who.empty()) who = "another process";
  throw std::runtime_error(
      fmt::format("another run is writing to {} ({}); wait for it to end, or choose another directory",
                  directory.string(), who));
}

// Who holds one of the shards' locks.
std::string shard_holders(const fs::path& directory) {
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(".lock.")) continue;
    const OpenFile lock(entry->path(), O_RDWR);
    if (std::string who = lock.read_start(); !who.empty() && !lock.try_lock(LOCK_SH)) {
      return fmt::format("{}, shard {}", who, name.substr(6));
    }
  }
  return "";
}

}  // namespace

struct RunDirectory::Impl {
  fs::path path;
  std::string infix;  // "" or ".1-of-4"
  OpenFile directory_lock, shard_lock;
  LineFile records;
  std::size_t resumed = 0;
  mutable std::mutex mutex;
  std::deque<Record> known;  // ok ones; a deque, since find() hands out pointers
  std::unordered_map<std::string, const Record*> by_key, by_place;

  void open(const fs::path& directory, const std::string& suffix);
  void lock();
  void load();
  void remember(Record record);
  void name_holder(const OpenFile& lock) const;
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
  if (error) throw_file_error("make the directory", path, error.value());
  lock();
  load();
}

void RunDirectory::Impl::name_holder(const OpenFile& lock) const {
  // Only a help for people: if it cannot be written, the lock holds all the same.
  lock.cut(0);
  (void)lock.write(this_process());
}

void RunDirectory::Impl::lock() {
  directory_lock = OpenFile(path / ".lock", O_RDWR | O_CREAT);
  if (infix.empty()) {
    if (!directory_lock.try_lock(LOCK_EX)) {
      std::string who = directory_lock.read_start();
      refuse(path, who.empty() ? shard_holders(path) : std::move(who));
    }
    name_holder(directory_lock);
    return;
  }
  if (!directory_lock.try_lock(LOCK_SH)) refuse(path, directory_lock.read_start());
  shard_lock = OpenFile(path / (".lock" + infix), O_RDWR | O_CREAT);
  if (!shard_lock.try_lock(LOCK_EX)) refuse(path, shard_lock.read_start());
  name_holder(shard_lock);
}

void RunDirectory::Impl::load() {
  const fs::path own = path / ("records" + infix + ".jsonl");
  std::uint64_t own_whole = 0;
  for (const fs::path& file : record_files(path)) {
    const std::uint64_t whole = read_record_file(file, [this](Record record) {
      if (record.status == "ok") remember(std::move(record));
    });
    // Only one's own torn line is cut off: that of another shard may be one that is being written.
    if (file == own) own_whole = whole;
  }
  records = LineFile(own, own_whole);
  resumed = by_place.size();
}

void RunDirectory::Impl::remember(Record record) {
  known.push_back(std::move(record));
  const Record& kept = known.back();
  by_key[kept.key] = &kept;
  by_place[record_place(kept.key, kept.model, kept.corpus, kept.document)] = &kept;
}

RunDirectory::RunDirectory(const fs::path& path, std::string shard_suffix) : impl_(std::make_unique<Impl>()) {
  impl_->open(path, shard_suffix);
}

RunDirectory::~RunDirectory() {
  const Impl& run = *impl_;
  // The lock files stay: removing one while another run waits to lock it would let two runs in.
  const OpenFile& named = run.infix.empty() ? run.directory_lock : run.shard_lock;
  try {
    if (named.is_open()) named.cut(0);
  } catch (const std::runtime_error&) {  // only a help for people
  }
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
  Impl& run = *impl_;
  const std::lock_guard guard(run.mutex);
  run.records.append(to_json_line(record));
  if (record.status == "ok") run.remember(record);
}

void RunDirectory::write_run_info(const std::string& json_text) {
  const Impl& run = *impl_;
  const std::lock_guard guard(run.mutex);
  const fs::path target = run.path / ("run" + run.infix + ".json"), draft = target.string() + ".new";
  try {
    const OpenFile file(draft, O_WRONLY | O_CREAT | O_TRUNC);
    if (const int error = file.write(json_text.ends_with('\n') ? json_text : json_text + '\n')) {
      throw_file_error("write", target, error);
    }
    file.sync();
    if (::rename(draft.c_str(), target.c_str()) != 0) throw_file_error("replace", target, errno);
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

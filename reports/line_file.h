// Files of JSON lines that survive their writers: lines are appended whole or not at all, and a torn last
// line, as kill -9 or a full disk leaves it, is recognised and cut off.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace deciban {

// Calls `take` with every line that is not blank, in order, and returns the length of the file's whole part:
// what follows is a torn last line (`take` threw std::runtime_error and the line is not JSON).  A last line
// that only lacks its newline is whole.  Throws std::runtime_error naming file, line and reason for any other
// line that `take` refuses; `remedy` says in words what to do about it.
std::uint64_t read_json_lines(const std::filesystem::path& path,
                              const std::function<void(const std::string& line)>& take,
                              std::string_view remedy);

// An open file, closed at the end.  Errors are std::runtime_error naming the file, and for a full disk what
// to do.
class OpenFile {
 public:
  OpenFile() = default;
  OpenFile(const std::filesystem::path& path, int flags);  // of open(2)
  OpenFile(OpenFile&& other) noexcept;
  OpenFile& operator=(OpenFile&& other) noexcept;
  ~OpenFile();

  bool is_open() const { return fd_ >= 0; }
  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const;
  void cut(std::uint64_t size) const;
  void sync() const;
  // Writes all of it, in one call where the system can; 0 or the error's number.
  int write(std::string_view bytes) const;
  std::string read_start() const;  // up to 320 bytes
  // Whether a lock (flock: LOCK_EX or LOCK_SH) could be had at once.  It lasts as long as the file is open.
  bool try_lock(int how) const;

 private:
  std::filesystem::path path_;
  int fd_ = -1;
};

[[noreturn]] void throw_file_error(std::string_view what, const std::filesystem::path& path, int error);

// Appends lines with one write() each.  A line is then the kernel's: killing this process loses none.
// Against loss of power the file is synchronised every few seconds and at the end.
class LineFile {
 public:
  LineFile() = default;
  // Opens or makes the file; what lies beyond its first `whole` bytes is cut off.
  LineFile(const std::filesystem::path& path, std::uint64_t whole);
  LineFile(LineFile&&) = default;
  LineFile& operator=(LineFile&&) = default;
  ~LineFile();
  // Throws std::runtime_error on a full disk or other write error; the part of the line that was written is
  // cut off again, so what is on disk stays valid.
  void append(const std::string& line);

 private:
  OpenFile file_;
  bool broken_ = false;  // a half-written line could not be cut off
  std::chrono::steady_clock::time_point synced_;
};

}  // namespace deciban

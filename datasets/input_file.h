// A file read once, front to back, in pieces, with the SHA-256 of all its bytes: big corpora never lie in
// memory twice.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include "datasets/sha256.h"

namespace deciban {

inline constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

class InputFile {
 public:
  // Opens a regular file or a pipe.  Throws std::runtime_error naming the path and the reason.
  explicit InputFile(const std::filesystem::path& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  // What was read and not yet consumed.  Valid until the next call of a non-const member.
  std::string_view peek() const { return std::string_view(buffer_).substr(begin_); }
  // Reads on; false at the end of the file.  Throws std::runtime_error on a read error.
  bool read_more();
  // Consumes `count` bytes of peek().
  void skip(std::size_t count) { begin_ += count; }
  // Consumes one line; `line` is it without its "\n" or "\r\n", valid until the next call.  False at the end.
  bool next_line(std::string_view& line);
  // Consumes and returns everything that is left.
  std::string take_rest();
  // SHA-256 of the whole file; reads what is left of it.
  std::string digest();

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  std::string buffer_;
  std::size_t begin_ = 0;
  std::size_t expected_ = 0;  // size of a regular file when opened
  Sha256 hash_;
};

}  // namespace deciban

#include "datasets/input_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace deciban {
namespace {

constexpr std::size_t kPiece = 1 << 20;  // bytes a read

[[noreturn]] void fail(const std::filesystem::path& path, int error) {
  throw std::runtime_error(fmt::format("cannot read {}: {}", path.string(), std::strerror(error)));
}

}  // namespace

InputFile::InputFile(const std::filesystem::path& path) : path_(path) {
  // Looked at before opening: opening a device or a pipe nobody writes to could block or have effects.
  struct stat about {};
  if (::stat(path.c_str(), &about) != 0) fail(path, errno);
  if (!S_ISREG(about.st_mode) && !S_ISFIFO(about.st_mode)) {
    throw std::runtime_error(fmt::format("cannot read {}: it is neither a file nor a pipe", path.string()));
  }
  if (S_ISREG(about.st_mode)) expected_ = static_cast<std::size_t>(about.st_size);
  fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0) fail(path, errno);
}

InputFile::~InputFile() { ::close(fd_); }

bool InputFile::read_more() {
  buffer_.erase(0, begin_);
  begin_ = 0;
  const std::size_t old = buffer_.size();
  buffer_.resize(old + kPiece);
  ssize_t got = 0;
  do {
    got = ::read(fd_, buffer_.data() + old, kPiece);
  } while (got < 0 && errno == EINTR);
  if (got < 0) fail(path_, errno);
  buffer_.resize(old + static_cast<std::size_t>(got));
  hash_.update(std::string_view(buffer_).substr(old));
  return got > 0;
}

bool InputFile::next_line(std::string_view& line) {
  std::size_t searched = 0;
  for (;;) {
    const std::string_view rest = peek();
    const std::size_t end = rest.find('\n', searched);
    if (end != std::string_view::npos) {
      line = rest.substr(0, end);
      begin_ += end + 1;
      break;
    }
    searched = rest.size();
    if (!read_more()) {
      line = peek();
      if (line.empty()) return false;
      begin_ += line.size();
      break;
    }
  }
  if (line.ends_with('\r')) line.remove_suffix(1);
  return true;
}

std::string InputFile::take_rest() {
  buffer_.erase(0, begin_);
  begin_ = 0;
  buffer_.reserve(expected_ + kPiece);
  while (read_more()) {
  }
  std::string rest = std::move(buffer_);
  buffer_.clear();
  return rest;
}

std::string InputFile::digest() {
  do {
    begin_ = buffer_.size();
  } while (read_more());
  return hash_.hex();
}

}  // namespace deciban

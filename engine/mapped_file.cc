#include "engine/mapped_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace deciban {
namespace {

[[noreturn]] void fail_with_errno(const std::filesystem::path& path, const char* action) {
  throw std::runtime_error(
      fmt::format("{}: cannot {}: {}", path.string(), action, std::generic_category().message(errno)));
}

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace

void FileBytes::fail(std::string_view reason) const {
  throw std::runtime_error(fmt::format("{}: {}", path.string(), reason));
}

FileBytes map_file(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a pipe must fail below, not wait for a writer.
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.fd < 0) fail_with_errno(path, "open");
  struct stat status;
  if (::fstat(file.fd, &status) != 0) fail_with_errno(path, "stat");
  if (S_ISDIR(status.st_mode)) throw std::runtime_error(path.string() + ": is a directory, not a file");
  if (!S_ISREG(status.st_mode)) throw std::runtime_error(path.string() + ": is not a regular file");
  if (status.st_size == 0) throw std::runtime_error(path.string() + ": is empty");
  const auto size = static_cast<std::size_t>(status.st_size);
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (address == MAP_FAILED) fail_with_errno(path, "map");
  // Weights are read once, front to back: read ahead generously, and let go early.
  ::madvise(address, size, MADV_SEQUENTIAL);
  // A row of the embedding that is met must not map the 2 MiB around it.
  ::madvise(address, size, MADV_NOHUGEPAGE);
  FileBytes result;
  result.path = path;
  result.owner =
      std::shared_ptr<const void>(address, [size](const void* p) { ::munmap(const_cast<void*>(p), size); });
  result.bytes = {static_cast<const std::byte*>(address), size};
  result.mapped = true;
  return result;
}

FileBytes memory_file(std::string name, std::span<const std::byte> bytes) {
  auto copy = std::make_shared<const std::vector<std::byte>>(bytes.begin(), bytes.end());
  FileBytes result;
  result.path = std::move(name);
  result.bytes = *copy;
  result.owner = std::move(copy);
  return result;
}

std::string in_quotes(std::string_view text) {
  constexpr std::size_t kLongest = 100;
  std::string result = "'";
  for (const char c : text.substr(0, kLongest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f) {
      result += fmt::format("\\x{:02x}", byte);
    } else {
      result += c;
    }
  }
  return result + (text.size() > kLongest ? "…'" : "'");
}

std::span<const std::byte> ByteCursor::take(std::size_t count, std::string_view what) {
  if (count > left()) {
    file_.fail(fmt::format("truncated: {} at byte {} needs {} bytes, {} are left", what, at_, count, left()));
  }
  const auto result = file_.bytes.subspan(at_, count);
  at_ += count;
  return result;
}

std::string_view ByteCursor::text(std::size_t count, std::string_view what) {
  const auto bytes = take(count, what);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string_view ByteCursor::line(std::string_view what) {
  const auto rest = file_.bytes.subspan(at_, left());
  const auto end = std::find(rest.begin(), rest.end(), std::byte{'\n'});
  if (end == rest.end()) file_.fail(fmt::format("truncated: {} at byte {} has no end of line", what, at_));
  const auto length = static_cast<std::size_t>(end - rest.begin());
  const auto result = text(length, what);
  ++at_;
  return result;
}

}  // namespace deciban

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <system_error>

#include "engine/checkpoint.h"

namespace deciban {
namespace {

namespace fs = std::filesystem;

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    if (!context_ || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1) fail();
  }
  void add(const void* data, std::size_t size) {
    if (EVP_DigestUpdate(context_.get(), data, size) != 1) fail();
  }
  std::string hex() {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (EVP_DigestFinal_ex(context_.get(), digest, &size) != 1) fail();
    std::string text;
    for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
    return text;
  }

 private:
  [[noreturn]] static void fail() { throw std::runtime_error("OpenSSL does not compute SHA-256"); }
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context_;
};

struct Identity {
  std::int64_t size, modified;  // bytes; ns since 1970
  bool operator==(const Identity&) const = default;
};

Identity identity(const struct stat& status) {
  return {status.st_size, std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec};
}

// Null where neither $XDG_CACHE_HOME nor $HOME says where the cache is.  XDG wants relative paths ignored.
std::optional<fs::path> cache_folder() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache && fs::path(cache).is_absolute()) return fs::path(cache) / "deciban/digests";
  const char* home = std::getenv("HOME");
  if (home && fs::path(home).is_absolute()) return fs::path(home) / ".cache/deciban/digests";
  return std::nullopt;
}

std::string text_digest(std::string_view text) { return sha256_hex(std::as_bytes(std::span(text))); }

bool is_digest(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// One small file a path: "digest size modified path".
std::optional<std::string> remembered(const fs::path& entry, const Identity& now, const std::string& path) {
  std::ifstream in(entry);
  std::string digest;
  Identity then{};
  if (!(in >> digest >> then.size >> then.modified) || in.get() != ' ') return std::nullopt;
  const std::string stored_path{std::istreambuf_iterator<char>(in), {}};
  if (!is_digest(digest) || then != now || stored_path != path) return std::nullopt;
  return digest;
}

void remember(const fs::path& entry, const std::string& digest, const Identity& now,
              const std::string& path) {
  std::error_code error;
  fs::create_directories(entry.parent_path(), error);
  if (error) return;
  // Written beside and renamed, so that another process never reads half of it.
  const fs::path draft = entry.string() + fmt::format(".{}", ::getpid());
  {
    std::ofstream out(draft, std::ios::binary);
    out << digest << ' ' << now.size << ' ' << now.modified << ' ' << path;
    out.close();
    if (!out) {
      fs::remove(draft, error);
      return;
    }
  }
  fs::rename(draft, entry, error);
  if (error) fs::remove(draft, error);
}

struct File {
  int fd;
  const fs::path& path;
  explicit File(const fs::path& p) : fd(::open(p.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)), path(p) {
    if (fd < 0) fail("open");
  }
  ~File() { ::close(fd); }
  File(const File&) = delete;
  [[noreturn]] void fail(const char* action) const {
    throw std::runtime_error(
        fmt::format("{}: cannot {}: {}", path.string(), action, std::generic_category().message(errno)));
  }
  struct stat status() const {
    struct stat result;
    if (::fstat(fd, &result) != 0) fail("stat");
    if (!S_ISREG(result.st_mode)) throw std::runtime_error(path.string() + ": is not a regular file");
    return result;
  }
  std::string digest() const {
    Sha256 sha;
    std::vector<std::byte> buffer(std::size_t{1} << 20);
    for (;;) {
      const ssize_t got = ::read(fd, buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail("read");
      if (got == 0) return sha.hex();
      sha.add(buffer.data(), static_cast<std::size_t>(got));
    }
  }
};

std::string digest_of(const fs::path& path) {
  const File file(path);
  const Identity before = identity(file.status());
  const std::string canonical = fs::canonical(path).string();
  const auto folder = cache_folder();
  const fs::path entry = folder ? *folder / text_digest(canonical) : fs::path();
  if (folder) {
    if (auto digest = remembered(entry, before, canonical)) return *digest;
  }
  const std::string digest = file.digest();
  // A file changed a moment ago may change again without its time showing it: not remembered.
  constexpr std::int64_t kSettled = 2'000'000'000;
  const std::int64_t now = std::chrono::duration_cast<std::chrono::nanoseconds>(
                               std::chrono::system_clock::now().time_since_epoch())
                               .count();
  if (folder && identity(file.status()) == before && now - before.modified > kSettled) {
    remember(entry, digest, before, canonical);
  }
  return digest;
}

}  // namespace

std::string sha256_hex(std::span<const std::byte> bytes) {
  Sha256 sha;
  sha.add(bytes.data(), bytes.size());
  return sha.hex();
}

std::string file_digest(std::span<const std::filesystem::path> files) {
  if (files.empty()) throw std::invalid_argument("file_digest needs at least one file");
  if (files.size() == 1) return digest_of(files[0]);
  std::string list;
  for (const auto& file : files) list += fmt::format("{}  {}\n", digest_of(file), file.filename().string());
  return text_digest(list);
}

}  // namespace deciban

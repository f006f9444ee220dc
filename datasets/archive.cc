#include "datasets/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <unordered_map>

namespace deciban {
namespace {

struct Closer {
  void operator()(archive* reader) const { archive_read_free(reader); }
};
using ArchiveReader = std::unique_ptr<archive, Closer>;

std::string error_of(archive* reader) {
  const char* const text = archive_error_string(reader);
  return text ? text : "unknown error";
}

// The path's parts joined anew.  Throws for a path that leads out of the archive.
std::string safe_path(std::string_view path) {
  if (path.starts_with('/') || path.find('\\') != std::string_view::npos ||
      path.find('\0') != std::string_view::npos) {
    throw std::runtime_error(fmt::format("the archive has a member with the path '{}': refused", path));
  }
  std::string result;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, end);
    path.remove_prefix(std::min(path.size(), end + 1));
    if (part == "..") throw std::runtime_error("the archive has a member with '..' in its path: refused");
    if (part.empty() || part == ".") continue;
    if (!result.empty()) result += '/';
    result += part;
  }
  return result;
}

// What macOS adds beside every file: not the author's.
bool is_apple_double(std::string_view path) {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  return name.starts_with("._") || path.starts_with("__MACOSX/");
}

class BoundedReading {
 public:
  BoundedReading(std::string_view bytes, const ArchiveLimits& limits)
      : limits_(limits), packed_(bytes.size()), gzipped_(bytes.starts_with("\x1f\x8b")) {
    reader_.reset(archive_read_new());
    archive* const reader = reader_.get();
    if (!reader || archive_read_support_filter_gzip(reader) < ARCHIVE_WARN ||
        archive_read_support_format_tar(reader) != ARCHIVE_OK ||
        archive_read_support_format_raw(reader) != ARCHIVE_OK) {
      throw std::runtime_error("libarchive cannot read gzip and tar here");
    }
    if (archive_read_open_memory(reader, bytes.data(), bytes.size()) != ARCHIVE_OK)
      throw std::runtime_error(fmt::format("not an archive: {}", error_of(reader)));
  }

  ArchiveContents read(const std::function<bool(std::string_view)>& wanted) {
    ArchiveContents contents;
    std::size_t seen = 0;
    for (;;) {
      archive_entry* entry = nullptr;
      const int status = archive_read_next_header(reader_.get(), &entry);
      if (status == ARCHIVE_EOF) break;
      if (status < ARCHIVE_WARN) {
        if (contents.members.empty())
          throw std::runtime_error(fmt::format("damaged archive: {}", error_of(reader_.get())));
        break;
      }
      if (++seen > limits_.members)
        throw std::runtime_error(
            fmt::format("the archive has more than {} members: refused", limits_.members));
      count_unpacked();
      if (gzipped_ && archive_filter_count(reader_.get()) < 2)
        throw std::runtime_error("damaged archive: it begins like a gzip file but is none");
      if (!member(entry, wanted, contents)) break;
    }
    return contents;
  }

 private:
  // False where the archive is damaged from here on.
  bool member(archive_entry* entry, const std::function<bool(std::string_view)>& wanted,
              ArchiveContents& contents) {
    const bool raw = archive_format(reader_.get()) == ARCHIVE_FORMAT_RAW;
    const char* const name = raw ? "" : archive_entry_pathname(entry);
    const std::string_view given = name ? name : "";
    if (given.size() > limits_.path_bytes)
      throw std::runtime_error(fmt::format("the archive has a path of {} bytes: refused", given.size()));
    const std::string path = safe_path(given);
    const bool link = archive_entry_hardlink(entry) != nullptr || archive_entry_filetype(entry) == AE_IFLNK;
    const bool regular = raw || archive_entry_filetype(entry) == AE_IFREG;
    const bool keep = regular && !link && !is_apple_double(path) && wanted(path);
    if (link) {
      ++contents.links;
    } else if (!keep) {
      ++contents.others;
    }
    std::string bytes;
    const bool whole = read_data(keep, bytes);
    if (keep && (whole || !bytes.empty())) {
      const auto [place, fresh] = place_of_.try_emplace(path, contents.members.size());
      if (fresh) {
        contents.members.push_back({path, std::move(bytes)});
      } else {
        contents.members[place->second].bytes = std::move(bytes);
      }
    }
    if (!whole && contents.members.empty())
      throw std::runtime_error(fmt::format("damaged archive: {}", error_of(reader_.get())));
    return whole;
  }

  // Every block is looked at, also of members that are not kept: skipping would unpack without a bound.
  bool read_data(bool keep, std::string& bytes) {
    for (;;) {
      const void* block = nullptr;
      std::size_t size = 0;
      la_int64_t offset = 0;
      const int status = archive_read_data_block(reader_.get(), &block, &size, &offset);
      if (status == ARCHIVE_EOF) return true;
      if (status < ARCHIVE_WARN) return false;
      unpacked_ += size;
      count_unpacked();
      if (!keep) continue;
      const auto at = static_cast<std::size_t>(std::max<la_int64_t>(offset, 0));
      if (at > limits_.kept_bytes || size > limits_.kept_bytes - at || kept_ > limits_.kept_bytes ||
          at + size - std::min(at + size, bytes.size()) > limits_.kept_bytes - kept_) {
        throw std::runtime_error(
            fmt::format("the archive's texts take more than {} bytes: refused", limits_.kept_bytes));
      }
      const std::size_t before = bytes.size();
      if (at > bytes.size()) bytes.resize(at, '\0');  // a hole of a sparse file
      bytes.resize(std::min(bytes.size(), at));
      bytes.append(static_cast<const char*>(block), size);
      kept_ += bytes.size() - std::min(before, bytes.size());
    }
  }

  void count_unpacked() const {
    const auto filtered = archive_filter_bytes(reader_.get(), 0);
    const std::size_t bytes =
        std::max(unpacked_, static_cast<std::size_t>(std::max<la_int64_t>(filtered, 0)));
    if (bytes > limits_.unpacked_bytes) {
      throw std::runtime_error(
          fmt::format("the archive unpacks to more than {} bytes: refused", limits_.unpacked_bytes));
    }
    if (bytes > limits_.ratio_free_bytes && bytes / limits_.ratio > packed_) {
      throw std::runtime_error(
          fmt::format("the archive unpacks to more than {} times its size: refused", limits_.ratio));
    }
  }

  const ArchiveLimits limits_;
  const std::size_t packed_;
  const bool gzipped_;
  ArchiveReader reader_;
  std::unordered_map<std::string, std::size_t> place_of_;  // path → index in members
  std::size_t unpacked_ = 0, kept_ = 0;
};

}  // namespace

ArchiveContents read_archive(std::string_view bytes, const std::function<bool(std::string_view)>& wanted,
                             const ArchiveLimits& limits) {
  return BoundedReading(bytes, limits).read(wanted);
}

}  // namespace deciban

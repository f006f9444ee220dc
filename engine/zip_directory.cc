#include "engine/zip_directory.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>

namespace deciban {
namespace {

constexpr std::uint32_t kLocalHeader = 0x04034b50, kCentralHeader = 0x02014b50, kEnd = 0x06054b50;
constexpr std::uint32_t kZip64End = 0x06064b50, kZip64Locator = 0x07064b50;
constexpr std::size_t kEndSize = 22, kZip64EndSize = 56, kLocatorSize = 20, kCentralSize = 46,
                      kLocalSize = 30;
constexpr std::uint32_t kIn64 = 0xffffffff;  // a 32-bit field whose value is in the zip64 extra field

struct Directory {
  std::size_t begin, end, entries;
};

std::uint32_t signature_at(const FileBytes& file, std::size_t at) {
  std::uint32_t value;
  std::memcpy(&value, file.bytes.data() + at, sizeof(value));
  return value;
}

// The last end record whose comment reaches exactly to the end of the file.
std::size_t find_end_record(const FileBytes& file) {
  const std::size_t size = file.bytes.size();
  constexpr std::size_t kLongestComment = 0xffff;
  if (size >= kEndSize) {
    const std::size_t last = size - kEndSize;
    const std::size_t first = last > kLongestComment ? last - kLongestComment : 0;
    for (std::size_t at = last + 1; at-- > first;) {
      if (signature_at(file, at) != kEnd) continue;
      std::uint16_t comment;
      std::memcpy(&comment, file.bytes.data() + at + 20, sizeof(comment));
      if (at + kEndSize + comment == size) return at;
    }
  }
  file.fail("is a ZIP archive without an end record: truncated? (download or copy it again)");
}

Directory locate(const FileBytes& file) {
  const std::size_t end_record = find_end_record(file);
  ByteCursor cursor(file, end_record + 4, file.bytes.size());
  const auto disk = cursor.get<std::uint16_t>("end record");
  const auto directory_disk = cursor.get<std::uint16_t>("end record");
  cursor.get<std::uint16_t>("end record");
  std::uint64_t entries = cursor.get<std::uint16_t>("end record");
  std::uint64_t size = cursor.get<std::uint32_t>("end record");
  std::uint64_t begin = cursor.get<std::uint32_t>("end record");
  std::size_t limit = end_record;
  const bool has_locator =
      end_record >= kLocatorSize && signature_at(file, end_record - kLocatorSize) == kZip64Locator;
  if (has_locator) {
    ByteCursor locator(file, end_record - kLocatorSize + 4, end_record);
    locator.get<std::uint32_t>("zip64 locator");
    const auto at = locator.get<std::uint64_t>("zip64 locator");
    if (at > end_record - kLocatorSize || end_record - kLocatorSize - at < kZip64EndSize ||
        signature_at(file, at) != kZip64End) {
      file.fail(
          fmt::format("ZIP: the zip64 locator points to byte {}, where there is no zip64 end record", at));
    }
    ByteCursor end64(file, at + 24, end_record);
    end64.get<std::uint64_t>("zip64 end record");
    entries = end64.get<std::uint64_t>("zip64 end record");
    size = end64.get<std::uint64_t>("zip64 end record");
    begin = end64.get<std::uint64_t>("zip64 end record");
    limit = at;
  } else if (disk != 0 || directory_disk != 0) {
    file.fail("ZIP: archives of several parts are not supported");
  }
  if (begin > limit || size > limit - begin) {
    file.fail(fmt::format("ZIP: the directory of {} bytes at byte {} does not fit the file", size, begin));
  }
  if (entries > kMostEntries)
    file.fail(fmt::format("ZIP: {} entries: more than {} are not read", entries, kMostEntries));
  if (entries > size / kCentralSize) {
    file.fail(fmt::format("ZIP: {} entries do not fit a directory of {} bytes", entries, size));
  }
  return {begin, begin + size, entries};
}

// The 64-bit values that replace fields of ffffffff, in this order and each only if its field needs it.
void apply_zip64_extra(const FileBytes& file, ByteCursor extra, std::string_view name,
                       std::initializer_list<std::uint64_t*> fields) {
  while (extra.left() >= 4) {
    const auto id = extra.get<std::uint16_t>("extra field");
    const auto size = extra.get<std::uint16_t>("extra field");
    if (size > extra.left())
      file.fail(fmt::format("ZIP: the extra field of entry {} is cut off", in_quotes(name)));
    const std::size_t begin = extra.position();
    extra.take(size, "extra field");
    if (id != 1) continue;
    ByteCursor values(file, begin, begin + size);
    for (std::uint64_t* field : fields) {
      if (*field == kIn64) *field = values.get<std::uint64_t>("zip64 extra field");
    }
    return;
  }
}

struct Located {
  ZipEntry entry;
  std::size_t header;  // of the local header
};

Located read_entry(const FileBytes& file, ByteCursor& cursor, const Directory& directory) {
  if (cursor.get<std::uint32_t>("directory entry") != kCentralHeader) {
    file.fail(fmt::format("ZIP: no directory entry at byte {}", cursor.position() - 4));
  }
  cursor.take(4, "directory entry");
  const auto flags = cursor.get<std::uint16_t>("directory entry");
  const auto method = cursor.get<std::uint16_t>("directory entry");
  cursor.take(4, "directory entry");
  const auto crc = cursor.get<std::uint32_t>("directory entry");
  std::uint64_t packed = cursor.get<std::uint32_t>("directory entry");
  std::uint64_t size = cursor.get<std::uint32_t>("directory entry");
  const auto name_size = cursor.get<std::uint16_t>("directory entry");
  const auto extra_size = cursor.get<std::uint16_t>("directory entry");
  const auto comment_size = cursor.get<std::uint16_t>("directory entry");
  cursor.take(8, "directory entry");
  std::uint64_t header = cursor.get<std::uint32_t>("directory entry");
  const auto name = cursor.text(name_size, "entry name");
  const std::size_t extra = cursor.position();
  cursor.take(extra_size, "extra field");
  cursor.take(comment_size, "entry comment");
  apply_zip64_extra(file, ByteCursor(file, extra, extra + extra_size), name, {&size, &packed, &header});

  if (flags & 1) file.fail(fmt::format("ZIP: entry {} is encrypted", in_quotes(name)));
  if (method != 0) {
    file.fail(fmt::format(
        "ZIP: entry {} is compressed (method {}); torch.save stores entries uncompressed: unpack the "
        "archive and save the model again with torch.save",
        in_quotes(name), method));
  }
  if (packed != size) {
    file.fail(fmt::format("ZIP: entry {} is stored but has {} bytes packed and {} unpacked", in_quotes(name),
                          packed, size));
  }
  if (header > directory.begin || directory.begin - header < kLocalSize ||
      signature_at(file, header) != kLocalHeader) {
    file.fail(fmt::format("ZIP: entry {} has no local header at byte {}", in_quotes(name), header));
  }
  // Sizes and checksum of the local header may be zero (a data descriptor follows): only its lengths count.
  ByteCursor local(file, header + 26, directory.begin);
  const auto local_name = local.get<std::uint16_t>("local header");
  const auto local_extra = local.get<std::uint16_t>("local header");
  if (local.text(local_name, "local name") != name) {
    file.fail(fmt::format("ZIP: entry {} has another name in its local header", in_quotes(name)));
  }
  local.take(local_extra, "local extra field");
  if (size > local.left()) {
    file.fail(fmt::format("ZIP: entry {} of {} bytes at byte {} does not fit the file", in_quotes(name), size,
                          header));
  }
  return {{name, local.position(), static_cast<std::size_t>(size), crc}, static_cast<std::size_t>(header)};
}

void refuse_overlaps(const FileBytes& file, const std::vector<Located>& located) {
  std::vector<std::size_t> order(located.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return located[a].header < located[b].header; });
  for (std::size_t i = 1; i < order.size(); ++i) {
    const Located& before = located[order[i - 1]];
    const Located& after = located[order[i]];
    if (before.entry.begin + before.entry.size > after.header) {
      file.fail(fmt::format("ZIP: entries {} and {} overlap", in_quotes(before.entry.name),
                            in_quotes(after.entry.name)));
    }
  }
}

constexpr std::array<std::uint32_t, 256> crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ (value & 1 ? 0xedb88320u : 0u);
    table[i] = value;
  }
  return table;
}

}  // namespace

ZipDirectory ZipDirectory::read(const FileBytes& file) {
  const Directory directory = locate(file);
  ByteCursor cursor(file, directory.begin, directory.end);
  std::vector<Located> located;
  located.reserve(directory.entries);
  for (std::size_t i = 0; i < directory.entries; ++i) located.push_back(read_entry(file, cursor, directory));
  refuse_overlaps(file, located);
  ZipDirectory result;
  result.entries_.reserve(located.size());
  for (const Located& each : located) {
    if (!result.by_name_.emplace(each.entry.name, result.entries_.size()).second) {
      file.fail(fmt::format("ZIP: two entries are named {}", in_quotes(each.entry.name)));
    }
    result.entries_.push_back(each.entry);
  }
  return result;
}

const ZipEntry* ZipDirectory::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &entries_[found->second];
}

std::uint32_t crc32(std::span<const std::byte> bytes) {
  static constexpr auto kTable = crc_table();
  std::uint32_t value = 0xffffffffu;
  for (const std::byte byte : bytes)
    value = (value >> 8) ^ kTable[(value ^ static_cast<std::uint32_t>(byte)) & 0xffu];
  return ~value;
}

}  // namespace deciban

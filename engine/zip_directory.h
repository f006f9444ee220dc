// The table of contents of a ZIP archive whose entries are stored uncompressed, as PyTorch writes them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/mapped_file.h"

namespace deciban {

struct ZipEntry {
  std::string_view name;            // bytes of the archive
  std::size_t begin = 0, size = 0;  // where its data lies in the file
  std::uint32_t crc = 0;            // 0: the writer did not compute it
};

class ZipDirectory {
 public:
  // Reads the central directory, zip64 included.  Throws std::runtime_error, naming file and entry, for
  // truncated or inconsistent archives: compressed or encrypted entries, entries out of range or overlapping,
  // names given twice.
  static ZipDirectory read(const FileBytes& file);

  const std::vector<ZipEntry>& entries() const { return entries_; }  // in the directory's order
  const ZipEntry* find(std::string_view name) const;                 // null if there is none

 private:
  std::vector<ZipEntry> entries_;
  std::unordered_map<std::string_view, std::size_t> by_name_;
};

// CRC-32 as in ZIP.
DECIBAN_API std::uint32_t crc32(std::span<const std::byte> bytes);

}  // namespace deciban

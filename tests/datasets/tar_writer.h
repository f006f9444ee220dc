// Small tar archives in memory, for tests: also such as no honest program writes.
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>

namespace deciban {

class TarWriter {
 public:
  TarWriter& file(std::string_view path, std::string_view bytes) { return entry(path, '0', "", bytes); }
  TarWriter& link(std::string_view path, std::string_view target, bool symbolic) {
    return entry(path, symbolic ? '2' : '1', target, "");
  }
  TarWriter& folder(std::string_view path) { return entry(path, '5', "", ""); }

  std::string tar() const { return bytes_ + std::string(1024, '\0'); }
  std::string gzip() const { return gzip(tar()); }

  static std::string gzip(std::string_view bytes) {
    archive* const writer = archive_write_new();
    archive_write_add_filter_gzip(writer);
    archive_write_set_format_raw(writer);
    std::string out(bytes.size() + bytes.size() / 8 + 65536, '\0');
    std::size_t used = 0;
    archive_write_open_memory(writer, out.data(), out.size(), &used);
    archive_entry* const entry = archive_entry_new();
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_pathname(entry, "data");
    archive_write_header(writer, entry);
    const bool whole =
        archive_write_data(writer, bytes.data(), bytes.size()) == static_cast<la_ssize_t>(bytes.size());
    archive_entry_free(entry);
    archive_write_close(writer);
    archive_write_free(writer);
    if (!whole) throw std::runtime_error("gzip failed");
    out.resize(used);
    return out;
  }

  // The header of an entry that claims `size` bytes.
  static std::string header(std::string_view path, char type, std::string_view target,
                            unsigned long long size) {
    std::string block(512, '\0');
    block.replace(0, std::min<std::size_t>(path.size(), 100), path.substr(0, 100));
    const auto octal = [&](std::size_t at, int digits, unsigned long long value) {
      char text[32];
      std::snprintf(text, sizeof text, "%0*llo", digits, value);
      block.replace(at, std::strlen(text), text);
    };
    octal(100, 7, 0644);
    octal(108, 7, 0);
    octal(116, 7, 0);
    octal(124, 11, size);
    octal(136, 11, 0);
    block[156] = type;
    block.replace(157, std::min<std::size_t>(target.size(), 100), target.substr(0, 100));
    block.replace(257, 8, std::string("ustar\00000", 8));
    block.replace(148, 8, "        ");
    unsigned sum = 0;
    for (const char c : block) sum += static_cast<unsigned char>(c);
    octal(148, 6, sum);
    block[154] = '\0';
    return block;
  }

 private:
  TarWriter& entry(std::string_view path, char type, std::string_view target, std::string_view bytes) {
    bytes_ += header(path, type, target, bytes.size());
    bytes_ += bytes;
    bytes_.append((512 - bytes.size() % 512) % 512, '\0');
    return *this;
  }

  std::string bytes_;
};

}  // namespace deciban

// Bounded reading of an archive that nobody vouches for: a tar, a gzipped tar or a single gzipped file, into
// memory.  Nothing is ever written to disk.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace deciban {

struct ArchiveLimits {
  std::size_t members = 20'000;                         // of any kind
  std::size_t unpacked_bytes = std::size_t{1} << 29;    // all members together, kept or not
  std::size_t kept_bytes = std::size_t{1} << 26;        // of the members that are kept
  std::size_t ratio = 200;                              // unpacked over packed bytes, beyond …
  std::size_t ratio_free_bytes = std::size_t{1} << 24;  // … this many
  std::size_t path_bytes = 1024;
};

struct ArchiveMember {
  std::string path;  // relative, without "." parts; empty: the archive was one compressed file without a name
  std::string bytes;
};

struct ArchiveContents {
  std::vector<ArchiveMember>
      members;             // regular files wanted, in archive order; of equal paths the last counts
  std::size_t links = 0;   // left out
  std::size_t others = 0;  // left out: unwanted files, devices, AppleDouble files
};

// Reads the members that `wanted` accepts by path.  Throws std::runtime_error with the reason: damaged, a
// path that leaves the archive, or a limit (named, with its value) exceeded.  Damage behind the first member
// ends the archive there, as tar programs have it, if anything was read.
ArchiveContents read_archive(std::string_view bytes, const std::function<bool(std::string_view path)>& wanted,
                             const ArchiveLimits& limits = {});

}  // namespace deciban

// The general-purpose compressors that stand beside the models: exact sizes as their command-line programs
// write them.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace deciban {

struct CompressedSize {
  std::uint64_t bytes = 0;  // the whole file
  std::uint64_t header_bytes =
      0;  // of these, the container around the compressed data: headers, index, checksum
};

// `xz -9e FILE`: preset 9 extreme, CRC64, one thread.  Takes up to 675 MiB of memory for big inputs.
// The parts are compressed as one input, as if concatenated: one part for a document, all for a solid
// archive. Throws std::runtime_error naming the compressor and its error (such as too little memory).
CompressedSize xz_size(std::span<const std::string_view> parts);
CompressedSize xz_size(std::string_view text);

// `zstd -19 --ultra FILE` (which is level 19, since --ultra alone only permits more): content size and
// checksum in the frame, one worker thread, as the program runs by default.  Throws as xz_size().
CompressedSize zstd_size(std::span<const std::string_view> parts);
CompressedSize zstd_size(std::string_view text);

// `brotli FILE`: quality 11, the window that holds the whole input, up to 16 MiB.  No container, no checksum.
// Throws as xz_size().
CompressedSize brotli_size(std::span<const std::string_view> parts);
CompressedSize brotli_size(std::string_view text);

// `bzip2 -9 FILE`.  Of the container the headers of the file, of its first block and its end are counted, not
// those of further blocks.  Throws as xz_size().
CompressedSize bzip2_size(std::span<const std::string_view> parts);
CompressedSize bzip2_size(std::string_view text);

}  // namespace deciban

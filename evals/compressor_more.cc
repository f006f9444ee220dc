#include <brotli/encode.h>
#include <bzlib.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <stdexcept>

#include "evals/compressor.h"

namespace deciban {
namespace {

constexpr std::size_t kOutputPiece = 1 << 16;  // bytes of output at a time

std::uint64_t size_of(std::span<const std::string_view> parts) {
  std::uint64_t total = 0;
  for (const std::string_view part : parts) total += part.size();
  return total;
}

}  // namespace

CompressedSize brotli_size(std::span<const std::string_view> parts) {
  const std::uint64_t total = size_of(parts);
  const std::unique_ptr<BrotliEncoderState, void (*)(BrotliEncoderState*)> encoder(
      BrotliEncoderCreateInstance(nullptr, nullptr, nullptr), BrotliEncoderDestroyInstance);
  if (!encoder) throw std::runtime_error("brotli: not enough memory");
  // As the program chooses: the smallest window that reaches back to the input's beginning.
  std::uint32_t window = BROTLI_MIN_WINDOW_BITS;
  while (window < BROTLI_MAX_WINDOW_BITS && (std::uint64_t{1} << window) - 16 < total) ++window;
  constexpr std::uint64_t kLargestHint = std::uint64_t{1} << 30;
  bool set = BrotliEncoderSetParameter(encoder.get(), BROTLI_PARAM_QUALITY, BROTLI_MAX_QUALITY) &&
             BrotliEncoderSetParameter(encoder.get(), BROTLI_PARAM_LGWIN, window);
  if (total > 0) {
    set = set && BrotliEncoderSetParameter(encoder.get(), BROTLI_PARAM_SIZE_HINT,
                                           static_cast<std::uint32_t>(std::min(total, kLargestHint)));
  }
  if (!set) throw std::runtime_error("brotli: this library does not take the program's parameters");
  std::uint64_t bytes = 0;
  std::array<std::uint8_t, kOutputPiece> piece;
  const auto run = [&](std::string_view part, BrotliEncoderOperation operation) {
    std::size_t left = part.size();
    const auto* next = reinterpret_cast<const std::uint8_t*>(part.data());
    do {
      std::size_t room = piece.size();
      std::uint8_t* out = piece.data();
      if (!BrotliEncoderCompressStream(encoder.get(), operation, &left, &next, &room, &out, nullptr)) {
        throw std::runtime_error("brotli: not enough memory");
      }
      bytes += piece.size() - room;
    } while (left > 0 || BrotliEncoderHasMoreOutput(encoder.get()) ||
             (operation == BROTLI_OPERATION_FINISH && !BrotliEncoderIsFinished(encoder.get())));
  };
  for (const std::string_view part : parts) run(part, BROTLI_OPERATION_PROCESS);
  run({}, BROTLI_OPERATION_FINISH);
  return {bytes, 0};
}

CompressedSize brotli_size(std::string_view text) { return brotli_size(std::span(&text, 1)); }

CompressedSize bzip2_size(std::span<const std::string_view> parts) {
  // "BZh9"; each block's and the end's magic number with a checksum.
  constexpr std::uint64_t kFileHeader = 4, kBlockHeader = 10, kEnd = 10;
  bz_stream stream{};
  constexpr int kBlock100k = 9, kUsualWork = 0;
  if (BZ2_bzCompressInit(&stream, kBlock100k, 0, kUsualWork) != BZ_OK) {
    throw std::runtime_error("bzip2 -9: not enough memory");
  }
  const std::unique_ptr<bz_stream, int (*)(bz_stream*)> ended(&stream, BZ2_bzCompressEnd);
  std::uint64_t bytes = 0;
  std::array<char, kOutputPiece> piece;
  const auto step = [&](int action) {
    stream.next_out = piece.data();
    stream.avail_out = piece.size();
    const int code = BZ2_bzCompress(&stream, action);
    bytes += piece.size() - stream.avail_out;
    if (code < 0) throw std::runtime_error(fmt::format("bzip2 -9: error {}", code));
    return code;
  };
  for (std::string_view part : parts) {
    while (!part.empty()) {
      // Its counters have 32 bits.
      const std::size_t n = std::min<std::size_t>(part.size(), std::numeric_limits<int>::max());
      stream.next_in = const_cast<char*>(part.data());  // it only reads
      stream.avail_in = static_cast<unsigned>(n);
      while (stream.avail_in > 0) step(BZ_RUN);
      part.remove_prefix(n);
    }
  }
  while (step(BZ_FINISH) != BZ_STREAM_END) {
  }
  return {bytes, kFileHeader + kEnd + (size_of(parts) > 0 ? kBlockHeader : 0)};
}

CompressedSize bzip2_size(std::string_view text) { return bzip2_size(std::span(&text, 1)); }

}  // namespace deciban

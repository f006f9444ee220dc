#include "evals/compressor.h"

#include <fmt/format.h>
#include <lzma.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <stdexcept>
#include <string>

namespace deciban {
namespace {

constexpr std::size_t kPiece = 1 << 16;  // bytes of output at a time

// Counts the bytes of a compressed file and keeps its two ends, in which its headers are.
class Output {
 public:
  void add(std::string_view bytes) {
    size_ += bytes.size();
    head_.append(bytes.substr(0, kEnd - std::min(kEnd, head_.size())));
    tail_.append(bytes.substr(bytes.size() - std::min(kEnd, bytes.size())));
    if (tail_.size() > kEnd) tail_.erase(0, tail_.size() - kEnd);
  }
  std::uint64_t size() const { return size_; }
  const std::string& head() const { return head_; }
  const std::string& tail() const { return tail_; }

 private:
  static constexpr std::size_t kEnd = 64;
  std::uint64_t size_ = 0;
  std::string head_, tail_;
};

std::string_view lzma_error(lzma_ret code) {
  switch (code) {
    case LZMA_MEM_ERROR:
      return "not enough memory";
    case LZMA_OPTIONS_ERROR:
      return "options that this liblzma does not know";
    case LZMA_UNSUPPORTED_CHECK:
      return "this liblzma has no CRC64";
    default:
      return "an internal error";
  }
}

// The bytes of an .xz file of one block that are not LZMA2 data: 12 of stream header, the block's header, its
// padding to a multiple of 4, 8 of CRC64, the index and 12 of stream footer.  The index tells the block's
// size without padding.
std::uint64_t xz_container(const Output& output) {
  constexpr std::uint64_t kStreamHeader = 12, kCheck = 8;
  lzma_stream_flags footer{};
  const std::string& tail = output.tail();
  const auto* end = reinterpret_cast<const std::uint8_t*>(tail.data()) + tail.size();
  if (lzma_stream_footer_decode(&footer, end - LZMA_STREAM_HEADER_SIZE) != LZMA_OK) {
    throw std::runtime_error("xz: its own output has a damaged footer");
  }
  const std::uint8_t* index = end - LZMA_STREAM_HEADER_SIZE - footer.backward_size;
  std::size_t place = 1;  // after the index indicator
  lzma_vli blocks = 0, unpadded = 0;
  if (lzma_vli_decode(&blocks, nullptr, index, &place, footer.backward_size) != LZMA_OK) {
    throw std::runtime_error("xz: its own output has a damaged index");
  }
  if (blocks == 0) return output.size();
  if (blocks != 1 || lzma_vli_decode(&unpadded, nullptr, index, &place, footer.backward_size) != LZMA_OK) {
    throw std::runtime_error("xz: its own output is not of one block");
  }
  const auto block_header =
      lzma_block_header_size_decode(static_cast<std::uint8_t>(output.head()[kStreamHeader]));
  return output.size() - (unpadded - block_header - kCheck);
}

struct FreeCctx {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};

void check_zstd(std::size_t code) {
  if (ZSTD_isError(code)) throw std::runtime_error(fmt::format("zstd: {}", ZSTD_getErrorName(code)));
}

// Frame header and checksum (RFC 8878, 3.1.1).
std::uint64_t zstd_container(const Output& output) {
  constexpr std::uint64_t kMagic = 4, kDescriptor = 1, kChecksum = 4;
  const auto descriptor = static_cast<std::uint8_t>(output.head()[kMagic]);
  const bool single_segment = descriptor & 0x20;
  static constexpr std::array<std::uint64_t, 4> kContentSize{0, 2, 4, 8};
  std::uint64_t content_size = kContentSize[descriptor >> 6];
  if (content_size == 0 && single_segment) content_size = 1;
  return kMagic + kDescriptor + (single_segment ? 0 : 1) + content_size + kChecksum;
}

}  // namespace

CompressedSize xz_size(std::span<const std::string_view> parts) {
  lzma_stream stream = LZMA_STREAM_INIT;
  const auto end = [](lzma_stream* used) { lzma_end(used); };
  const std::unique_ptr<lzma_stream, decltype(end)> ended(&stream, end);
  lzma_ret code = lzma_easy_encoder(&stream, 9 | LZMA_PRESET_EXTREME, LZMA_CHECK_CRC64);
  if (code != LZMA_OK) throw std::runtime_error(fmt::format("xz -9e: {}", lzma_error(code)));
  Output output;
  std::array<char, kPiece> piece;
  const auto run = [&](lzma_action action) {
    do {
      stream.next_out = reinterpret_cast<std::uint8_t*>(piece.data());
      stream.avail_out = piece.size();
      code = lzma_code(&stream, action);
      output.add({piece.data(), piece.size() - stream.avail_out});
      if (code != LZMA_OK && code != LZMA_STREAM_END) {
        throw std::runtime_error(fmt::format("xz -9e: {}", lzma_error(code)));
      }
    } while (action == LZMA_FINISH ? code != LZMA_STREAM_END : stream.avail_in > 0);
  };
  for (const std::string_view part : parts) {
    stream.next_in = reinterpret_cast<const std::uint8_t*>(part.data());
    stream.avail_in = part.size();
    if (!part.empty()) run(LZMA_RUN);
  }
  run(LZMA_FINISH);
  return {output.size(), xz_container(output)};
}

CompressedSize xz_size(std::string_view text) { return xz_size(std::span(&text, 1)); }

CompressedSize zstd_size(std::span<const std::string_view> parts) {
  const std::unique_ptr<ZSTD_CCtx, FreeCctx> context(ZSTD_createCCtx());
  if (!context) throw std::runtime_error("zstd: not enough memory");
  std::uint64_t total = 0;
  for (const std::string_view part : parts) total += part.size();
  check_zstd(ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, 19));
  check_zstd(ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1));
  // One worker cuts big inputs into jobs, which changes their size a little; the program does so by default.
  check_zstd(ZSTD_CCtx_setParameter(context.get(), ZSTD_c_nbWorkers, 1));
  check_zstd(ZSTD_CCtx_setPledgedSrcSize(context.get(), total));
  Output output;
  std::array<char, kPiece> piece;
  const auto run = [&](std::string_view part, ZSTD_EndDirective directive) {
    ZSTD_inBuffer in{part.data(), part.size(), 0};
    std::size_t left = 0;
    do {
      ZSTD_outBuffer out{piece.data(), piece.size(), 0};
      left = ZSTD_compressStream2(context.get(), &out, &in, directive);
      check_zstd(left);
      output.add({piece.data(), out.pos});
    } while (directive == ZSTD_e_end ? left > 0 : in.pos < in.size);
  };
  for (const std::string_view part : parts) run(part, ZSTD_e_continue);
  run({}, ZSTD_e_end);
  return {output.size(), zstd_container(output)};
}

CompressedSize zstd_size(std::string_view text) { return zstd_size(std::span(&text, 1)); }

}  // namespace deciban

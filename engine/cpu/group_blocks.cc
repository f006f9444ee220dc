#include "engine/cpu/group_blocks.h"

#include <cstring>

#include "engine/cpu/kernels.h"
#include "engine/encoding.h"

namespace deciban::cpu {
namespace {

// Where a block of a row lies in a panel: the byte of its scale (and minimum), and of its first word; the
// following words are `panel` words apart.
struct Place {
  std::size_t head, words;
  std::size_t block;  // its number in the row
};
// Calls use() with the place of each block of an output.
template <typename Use>
void for_blocks(WeightFormat format, std::size_t panel, std::size_t output, std::size_t inputs,
                const Use& use) {
  const std::size_t group = group_of(format);
  const bool pairs = format == WeightFormat::i8g32;
  const std::size_t words = pairs ? group / 4 : group / 8, in_run = pairs ? 2 : 1;
  const std::size_t run_bytes = (1 + in_run * words) * panel * 4;
  for (std::size_t b = 0; b * group < inputs; ++b) {
    const std::size_t run = b / in_run * run_bytes, part = b % in_run;
    use(Place{run + output * 4 + part * 2, run + ((1 + part * words) * panel + output) * 4, b});
  }
}

constexpr std::uint32_t kAdded = 0x80808080;  // to the four bytes of i8

}  // namespace

std::optional<Encoding> encoding_of(WeightFormat format) {
  switch (format) {
    case WeightFormat::i4:
      return Encoding::i4g32;
    case WeightFormat::i4g64:
      return Encoding::i4g64;
    case WeightFormat::i8g32:
      return Encoding::i8g32;
    default:
      return std::nullopt;
  }
}

const std::byte* rows_of(const StoredTensor& tensor, WeightFormat format) {
  const auto encoding = encoding_of(format);
  if (!encoding || tensor.encoding != *encoding || tensor.scale != 1 || tensor.shape.empty()) return nullptr;
  const std::size_t block = block_elements(*encoding), inputs = tensor.shape.back();
  if (inputs > 1 && tensor.strides.back() != 1) return nullptr;
  auto stride = static_cast<std::ptrdiff_t>((inputs + block - 1) / block * block);
  for (std::size_t i = tensor.shape.size() - 1; i-- > 0;) {
    if (tensor.shape[i] != 1 && tensor.strides[i] != stride) return nullptr;
    stride *= static_cast<std::ptrdiff_t>(tensor.shape[i]);
  }
  return tensor.data;
}

bool finite_scales(Encoding encoding, const std::byte* blocks, std::size_t bytes) {
  const std::size_t heads = encoding == Encoding::i8g32 ? 1 : 2;
  for (std::size_t at = 0; at < bytes; at += block_bytes(encoding)) {
    for (std::size_t i = 0; i < heads; ++i) {
      std::uint16_t bf16;
      std::memcpy(&bf16, blocks + at + 2 * i, 2);
      if ((bf16 & 0x7f80) == 0x7f80) return false;
    }
  }
  return true;
}

void panel_from_rows(WeightFormat format, std::size_t panel, const std::byte* rows, std::size_t outputs,
                     std::size_t inputs, std::byte* packed) {
  const Encoding encoding = *encoding_of(format);
  const std::size_t bytes = block_bytes(encoding), row = row_bytes(encoding, inputs);
  const bool pairs = format == WeightFormat::i8g32;
  const std::size_t head = pairs ? 2 : 4;
  std::memset(packed, 0, panel_bytes(format, inputs, panel));
  for (std::size_t n = 0; n < outputs; ++n) {
    for_blocks(format, panel, n, inputs, [&](const Place& at) {
      const std::byte* block = rows + n * row + at.block * bytes;
      std::memcpy(packed + at.head, block, head);
      for (std::size_t i = 0; i < (bytes - head) / 4; ++i) {
        std::uint32_t word;
        std::memcpy(&word, block + head + i * 4, 4);
        if (pairs) word ^= kAdded;
        std::memcpy(packed + at.words + i * panel * 4, &word, 4);
      }
    });
  }
}

void rows_from_panel(WeightFormat format, std::size_t panel, const std::byte* packed, std::size_t outputs,
                     std::size_t inputs, std::byte* rows) {
  const Encoding encoding = *encoding_of(format);
  const std::size_t bytes = block_bytes(encoding), row = row_bytes(encoding, inputs);
  const bool pairs = format == WeightFormat::i8g32;
  const std::size_t head = pairs ? 2 : 4;
  for (std::size_t n = 0; n < outputs; ++n) {
    for_blocks(format, panel, n, inputs, [&](const Place& at) {
      std::byte* block = rows + n * row + at.block * bytes;
      std::memcpy(block, packed + at.head, head);
      for (std::size_t i = 0; i < (bytes - head) / 4; ++i) {
        std::uint32_t word;
        std::memcpy(&word, packed + at.words + i * panel * 4, 4);
        if (pairs) word ^= kAdded;
        std::memcpy(block + head + i * 4, &word, 4);
      }
    });
  }
}

}  // namespace deciban::cpu

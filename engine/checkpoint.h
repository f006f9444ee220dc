// Checkpoint files as named tensors that stay on disk: mapped, read in place, converted on the way out.
//
// One reader a format (torch_file.cc, safetensors.cc, rwkvcpp_file.cc, gguf_file.cc) fills a Checkpoint with
// the file's own names and layouts; rwkv_names.h turns those into the official RWKV names and layouts.  All
// readers treat the file as hostile: every length is checked, nothing is executed, and errors name file,
// tensor and value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/export.h"

namespace deciban {

// How elements lie in the file.  The q formats are ggml's blocks of 32, those in k of 256 (quantised along
// the last dimension); the i formats with groups are ours (docs/formats.md). `generated` lies nowhere: values
// are computed from a seed when they are read (one block of any size).
enum class Encoding {
  f64,
  f32,
  f16,
  bf16,
  i64,
  i32,
  i16,
  i8,
  u8,
  boolean,
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q4_k,
  q6_k,
  i4g32,
  i4g64,
  i8g32,
  generated
};

DECIBAN_API std::string_view name(Encoding encoding);
// Elements in one block (1 for plain encodings) and bytes of one block.
DECIBAN_API std::size_t block_elements(Encoding encoding);
DECIBAN_API std::size_t block_bytes(Encoding encoding);

// A tensor in a file.  Cheap to copy; keeps the file mapped.  Immutable, any thread may read.
class DECIBAN_API StoredTensor {
 public:
  std::string name;
  std::vector<std::size_t> shape;  // row-major, outermost first; empty = scalar
  std::vector<std::ptrdiff_t>
      strides;  // in elements, as long as shape; quantised: in elements of the contiguous array
  Encoding encoding = Encoding::f32;
  const std::byte* data = nullptr;    // element (0, 0, …)
  float scale = 1;                    // every value is multiplied by it on the way out
  std::shared_ptr<const void> owner;  // keeps `data` alive: the mapping, or memory of our own
  bool mapped = false;  // `data` lies in a file mapping: its pages may be dropped and read again

  std::size_t elements() const;
  // Writes elements [first, first + count) in row-major order of `shape` as f32.  Exact for f32, f16, bf16,
  // i8.
  void read(std::size_t first, std::size_t count, float* out) const;
  std::vector<float> read_all() const;
  // A view with the last two dimensions swapped; no data moves.
  StoredTensor transposed() const;
  // A view whose dimension i is this one's order[i]; no data moves.
  StoredTensor permuted(const std::vector<std::size_t>& order) const;
  // A view without the dimensions of extent 1.
  StoredTensor squeezed() const;
  // The sub-tensor at index i of the first dimension (of a quantised tensor whose slice would start inside a
  // block: a copy in f32).
  StoredTensor slice(std::size_t i) const;
  // The same elements in row-major order with another shape: a view where the layout allows it, else a copy
  // in f32.
  StoredTensor reshaped(std::vector<std::size_t> new_shape) const;
  // Of a generated tensor, so that a device can make its values itself: element (i, j, …) is `scale` times
  // generated_value(seed, i * strides[0] + j * strides[1] + …) of engine/generated_values.h.
  std::optional<std::uint64_t> generated_seed() const;
  // Whether the elements lie in row-major order without gaps.
  bool contiguous() const;
  // Tells the system that the pages under elements [first, first + count) are not needed for now.
  void release(std::size_t first, std::size_t count) const;
};

// f32 values of our own as a StoredTensor (for vectors that must be transformed at load).
// Throws std::invalid_argument if the shape does not hold as many values.
DECIBAN_API StoredTensor owned_tensor(std::string name, std::vector<std::size_t> shape,
                                      std::vector<float> values);

// Seeded near-normal values of the given deviation that are computed when they are read and need no memory.
// Values before `deviation` is applied are exact in bf16.
DECIBAN_API StoredTensor generated_tensor(std::string name, std::vector<std::size_t> shape,
                                          std::uint64_t seed, float deviation);

class DECIBAN_API Checkpoint {
 public:
  // Opens a file, or a directory holding *.safetensors (sharded or not, with config.json) or one known file.
  // Throws std::runtime_error: missing, truncated, malformed, legacy, hostile, or of unknown format.
  static Checkpoint open(const std::filesystem::path& path);

  std::string format;                        // "pth", "safetensors", "rwkv.cpp", "gguf"
  std::vector<std::filesystem::path> files;  // what was read, in order
  std::vector<StoredTensor> tensors;         // in the file's order; names are unique
  std::map<std::string, std::string>
      metadata;        // safetensors __metadata__, GGUF key-values (scalars and strings as text)
  std::string config;  // text of the config.json beside the weights, or empty
  std::vector<std::string> vocabulary;  // GGUF's tokenizer.ggml.tokens, as stored; else empty
  std::vector<std::string> merges;      // GGUF's tokenizer.ggml.merges
  std::vector<float> token_scores;      // GGUF's tokenizer.ggml.scores
  std::vector<int> token_types;         // GGUF's tokenizer.ggml.token_type

  const StoredTensor* find(std::string_view name) const;  // null if there is none
  const StoredTensor& at(std::string_view name) const;    // throws, naming the tensor and the file
};

// SHA-256 over the bytes of the files (for several: over the list of "digest  name" lines), lower-case hex.
// Remembered in $XDG_CACHE_HOME/deciban/digests by path, size and modification time; a cache that cannot be
// written is no error.
DECIBAN_API std::string file_digest(std::span<const std::filesystem::path> files);
DECIBAN_API std::string sha256_hex(std::span<const std::byte> bytes);

}  // namespace deciban

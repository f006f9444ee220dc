#include <fmt/format.h>

#include <optional>

#include "engine/readers.h"

namespace deciban {
namespace {

constexpr std::int32_t kMagic = 0x67676d66;
constexpr std::int32_t kMaxRank = 4, kMaxName = 1024;

// rwkv.cpp numbers its types itself, not as ggml does.
std::optional<Encoding> encoding_of(std::int32_t type) {
  switch (type) {
    case 0:
      return Encoding::f32;
    case 1:
      return Encoding::f16;
    case 2:
      return Encoding::q4_0;
    case 3:
      return Encoding::q4_1;
    case 7:
      return Encoding::q5_0;
    case 8:
      return Encoding::q5_1;
    case 9:
      return Encoding::q8_0;
    default:
      return std::nullopt;
  }
}

StoredTensor read_record(const FileBytes& file, ByteCursor& cursor, std::int32_t version) {
  const std::size_t start = cursor.position();
  const auto rank = cursor.get<std::int32_t>("number of dimensions");
  const auto name_size = cursor.get<std::int32_t>("length of a name");
  const auto type = cursor.get<std::int32_t>("type of a tensor");
  if (rank < 1 || rank > kMaxRank || name_size < 1 || name_size > kMaxName) {
    file.fail(fmt::format("damaged at byte {}: a tensor of {} dimensions with a name of {} bytes", start,
                          rank, name_size));
  }
  std::vector<std::size_t> shape(static_cast<std::size_t>(rank));
  for (std::size_t i = shape.size(); i-- > 0;) {  // stored fastest first
    const auto extent = cursor.get<std::int32_t>("dimension");
    if (extent < 0) file.fail(fmt::format("damaged at byte {}: a dimension of {}", start, extent));
    shape[i] = static_cast<std::size_t>(extent);
  }
  std::string name(cursor.text(static_cast<std::size_t>(name_size), "name of a tensor"));
  const auto encoding = encoding_of(type);
  if (!encoding) {
    file.fail(fmt::format(
        "tensor {} has type {}, which is not read (known: F32 0, F16 1, Q4_0 2, Q4_1 3, Q5_0 7, Q5_1 8, "
        "Q8_0 9)",
        in_quotes(name), type));
  }
  if (version < 101 && block_elements(*encoding) > 1) {
    file.fail(fmt::format(
        "tensor {} is quantised in the obsolete layout of version {}: quantise the model again with a "
        "newer rwkv.cpp",
        in_quotes(name), version));
  }
  const std::size_t bytes = tensor_bytes(file, name, *encoding, shape);
  const std::size_t begin = cursor.position();
  cursor.take(bytes, fmt::format("data of tensor {}", in_quotes(name)));
  return tensor_in_file(file, std::move(name), *encoding, std::move(shape), begin, begin + bytes);
}

}  // namespace

Checkpoint read_rwkvcpp_file(const FileBytes& file) {
  ByteCursor cursor(file);
  if (cursor.get<std::int32_t>("magic") != kMagic) file.fail("does not begin with rwkv.cpp's magic");
  const auto version = cursor.get<std::int32_t>("version");
  if (version != 100 && version != 101) {
    file.fail(fmt::format("rwkv.cpp file version {}: only 100 and 101 are read", version));
  }
  const auto vocabulary = cursor.get<std::int32_t>("vocabulary size");
  const auto width = cursor.get<std::int32_t>("width");
  const auto layers = cursor.get<std::int32_t>("number of layers");
  const auto type = cursor.get<std::int32_t>("data type");
  if (vocabulary <= 0 || width <= 0 || layers <= 0) {
    file.fail(fmt::format("damaged header: vocabulary {}, width {}, {} layers", vocabulary, width, layers));
  }
  Checkpoint result;
  result.format = "rwkv.cpp";
  result.files = {file.path};
  result.metadata = {{"version", std::to_string(version)},
                     {"n_vocab", std::to_string(vocabulary)},
                     {"n_embd", std::to_string(width)},
                     {"n_layer", std::to_string(layers)},
                     {"data_type", std::to_string(type)}};
  while (cursor.left() > 0) {
    if (result.tensors.size() == kMostEntries)
      file.fail(fmt::format("more than {} tensors are not read", kMostEntries));
    result.tensors.push_back(read_record(file, cursor, version));
  }
  refuse_equal_names(file, result.tensors);
  return result;
}

}  // namespace deciban

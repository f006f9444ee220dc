#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "engine/quantised_tensors.h"
#include "engine/readers.h"

namespace deciban {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMaxHeader = 100'000'000;  // the format's own limit
constexpr std::size_t kMaxRank = 8;

struct Dtype {
  std::string_view name;
  Encoding encoding;
};
constexpr Dtype kDtypes[] = {{"F64", Encoding::f64},     {"F32", Encoding::f32}, {"F16", Encoding::f16},
                             {"BF16", Encoding::bf16},   {"I64", Encoding::i64}, {"I32", Encoding::i32},
                             {"I16", Encoding::i16},     {"I8", Encoding::i8},   {"U8", Encoding::u8},
                             {"BOOL", Encoding::boolean}};

struct Range {
  std::size_t begin, end;
};

std::size_t size_from(const FileBytes& file, std::string_view tensor, const json& number) {
  if (!number.is_number_unsigned()) {
    file.fail(fmt::format("tensor {}: shape and data_offsets must be whole numbers", in_quotes(tensor)));
  }
  return number.get<std::size_t>();
}

Encoding encoding_from(const FileBytes& file, std::string_view tensor, const json& entry) {
  const auto dtype = entry.find("dtype");
  if (dtype == entry.end() || !dtype->is_string())
    file.fail(fmt::format("tensor {} has no dtype", in_quotes(tensor)));
  const auto& text = dtype->get_ref<const std::string&>();
  for (const auto& known : kDtypes) {
    if (known.name == text) return known.encoding;
  }
  file.fail(
      fmt::format("tensor {}: elements of type {} are not supported", in_quotes(tensor), in_quotes(text)));
}

// The tensors must fill the data area without gaps, as the format demands: nothing can hide in it.
void check_tiling(const FileBytes& file, const std::vector<StoredTensor>& tensors, std::vector<Range> ranges,
                  std::size_t size) {
  std::vector<std::size_t> order(ranges.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::pair(ranges[a].begin, ranges[a].end) < std::pair(ranges[b].begin, ranges[b].end);
  });
  std::size_t at = 0;
  for (const std::size_t i : order) {
    if (ranges[i].begin != at) {
      file.fail(fmt::format("tensor {} begins at byte {} of the data, {}", in_quotes(tensors[i].name),
                            ranges[i].begin, ranges[i].begin < at ? "inside another tensor" : "after a gap"));
    }
    at = ranges[i].end;
  }
  if (at != size) {
    file.fail(
        fmt::format("the tensors fill {} bytes of data, the file has {}: truncated or damaged?", at, size));
  }
}

}  // namespace

Checkpoint read_safetensors(const FileBytes& file) {
  ByteCursor cursor(file);
  const auto header_size = cursor.get<std::uint64_t>("header length");
  if (header_size > kMaxHeader) {
    file.fail(
        fmt::format("safetensors header of {} bytes: more than {} are not allowed", header_size, kMaxHeader));
  }
  const auto text = cursor.text(header_size, "safetensors header");
  const std::size_t data = cursor.position(), data_size = cursor.left();
  const json header = json::parse(text, nullptr, false);
  if (!header.is_object()) file.fail("the safetensors header is not a JSON object");

  Checkpoint result;
  result.format = "safetensors";
  result.files = {file.path};
  std::vector<Range> ranges;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      if (!entry.is_object()) file.fail("__metadata__ is not a JSON object");
      for (const auto& [key, value] : entry.items()) {
        if (!value.is_string()) file.fail(fmt::format("__metadata__ {} is not text", in_quotes(key)));
        result.metadata.emplace(key, value.get<std::string>());
      }
      continue;
    }
    if (!entry.is_object())
      file.fail(fmt::format("tensor {} is not described by a JSON object", in_quotes(name)));
    const Encoding encoding = encoding_from(file, name, entry);
    const auto shape = entry.find("shape"), offsets = entry.find("data_offsets");
    if (shape == entry.end() || !shape->is_array() || shape->size() > kMaxRank) {
      file.fail(
          fmt::format("tensor {}: shape must be a list of at most {} numbers", in_quotes(name), kMaxRank));
    }
    if (offsets == entry.end() || !offsets->is_array() || offsets->size() != 2) {
      file.fail(fmt::format("tensor {}: data_offsets must be a list of two numbers", in_quotes(name)));
    }
    std::vector<std::size_t> extents;
    for (const auto& extent : *shape) extents.push_back(size_from(file, name, extent));
    const Range range{size_from(file, name, (*offsets)[0]), size_from(file, name, (*offsets)[1])};
    if (range.begin > range.end || range.end > data_size) {
      file.fail(fmt::format(
          "tensor {}: data_offsets {} to {} lie outside of the {} bytes of data: truncated or damaged?",
          in_quotes(name), range.begin, range.end, data_size));
    }
    result.tensors.push_back(
        tensor_in_file(file, name, encoding, std::move(extents), data + range.begin, data + range.end));
    ranges.push_back(range);
  }
  check_tiling(file, result.tensors, ranges, data_size);
  // JSON objects come sorted by name; the header's order is that of the data.
  std::vector<std::size_t> order(ranges.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::pair(ranges[a].begin, ranges[a].end) < std::pair(ranges[b].begin, ranges[b].end);
  });
  std::vector<StoredTensor> sorted;
  for (const std::size_t i : order) sorted.push_back(std::move(result.tensors[i]));
  result.tensors = std::move(sorted);
  apply_quantised(file, result);
  return result;
}

}  // namespace deciban

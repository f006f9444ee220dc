#include "engine/quantised_tensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <unordered_map>

#include "engine/cpu/group_blocks.h"
#include "engine/encoding.h"

namespace deciban {
namespace {

using nlohmann::json;

constexpr Encoding kOurs[] = {Encoding::i4g32, Encoding::i4g64, Encoding::i8g32};
constexpr std::size_t kMaxRank = 8;

std::optional<Encoding> encoding_named(const std::string& word) {
  for (const Encoding encoding : kOurs) {
    if (name(encoding) == word) return encoding;
  }
  return std::nullopt;
}

QuantisedEntry entry_from(const FileBytes& file, const std::string& name, const json& object) {
  const auto fail = [&](std::string_view reason) {
    file.fail(fmt::format("{}: tensor {}: {}", kQuantisedKey, in_quotes(name), reason));
  };
  if (!object.is_object()) fail("is not described by a JSON object");
  QuantisedEntry entry;
  entry.name = name;
  const auto encoding = object.find("encoding"), shape = object.find("shape"),
             transposed = object.find("transposed");
  if (encoding == object.end() || !encoding->is_string()) fail("has no encoding");
  const auto known = encoding_named(encoding->get<std::string>());
  if (!known) {
    fail(fmt::format("blocks of kind {} are not known; a newer deciban may have written them",
                     in_quotes(encoding->get<std::string>())));
  }
  entry.encoding = *known;
  if (shape == object.end() || !shape->is_array() || shape->size() < 2 || shape->size() > kMaxRank) {
    fail(fmt::format("its shape must be a list of 2 to {} numbers", kMaxRank));
  }
  for (const json& extent : *shape) {
    if (!extent.is_number_unsigned() || extent.get<std::size_t>() == 0) {
      fail("its shape must be of whole numbers above zero");
    }
    entry.shape.push_back(extent.get<std::size_t>());
  }
  if (transposed != object.end()) {
    if (!transposed->is_boolean()) fail("transposed must be true or false");
    entry.transposed = transposed->get<bool>();
  }
  return entry;
}

void apply(const FileBytes& file, const QuantisedEntry& entry, StoredTensor& tensor) {
  const auto fail = [&](std::string_view reason) {
    file.fail(fmt::format("{}: tensor {}: {}", kQuantisedKey, in_quotes(entry.name), reason));
  };
  if (tensor.encoding != Encoding::u8 || tensor.shape.size() != 2) {
    fail(fmt::format("rows of blocks are bytes in two dimensions, not {} of shape {}", name(tensor.encoding),
                     tensor.shape));
  }
  std::vector<std::size_t> shape = entry.shape;
  if (entry.transposed) std::swap(shape[shape.size() - 2], shape.back());
  const std::size_t inputs = shape.back(), block = block_elements(entry.encoding);
  std::size_t rows = 1;
  try {
    for (std::size_t i = 0; i + 1 < shape.size(); ++i) rows = checked_product(rows, shape[i]);
    checked_product(checked_product(rows, checked_sum(inputs, block)), 4);
  } catch (const std::overflow_error&) {
    fail(fmt::format("shape {} is beyond any memory", entry.shape));
  }
  if (rows != tensor.shape[0] || row_bytes(entry.encoding, inputs) != tensor.shape[1]) {
    fail(fmt::format("{} rows of {} bytes do not hold shape {} as {}: truncated or damaged?", tensor.shape[0],
                     tensor.shape[1], entry.shape, name(entry.encoding)));
  }
  tensor.encoding = entry.encoding;
  tensor.shape = shape;
  tensor.strides.assign(shape.size(), 1);
  auto stride = static_cast<std::ptrdiff_t>((inputs + block - 1) / block * block);
  for (std::size_t i = shape.size() - 1; i-- > 0;) {
    tensor.strides[i] = stride;
    stride *= static_cast<std::ptrdiff_t>(shape[i]);
  }
  if (entry.transposed) tensor = tensor.transposed();
}

}  // namespace

const std::byte* stored_blocks(const StoredTensor& tensor, WeightFormat format) {
  return cpu::rows_of(tensor, format);
}

std::string describe_quantised(const std::vector<QuantisedEntry>& entries) {
  json all = json::object();
  for (const QuantisedEntry& entry : entries) {
    json one{{"encoding", name(entry.encoding)}, {"shape", entry.shape}};
    if (entry.transposed) one["transposed"] = true;
    all[entry.name] = std::move(one);
  }
  return all.dump();
}

void apply_quantised(const FileBytes& file, Checkpoint& checkpoint) {
  const auto text = checkpoint.metadata.find(kQuantisedKey);
  if (text == checkpoint.metadata.end()) return;
  const json all = json::parse(text->second, nullptr, false);
  if (!all.is_object()) file.fail(fmt::format("{} in its metadata is not a JSON object", kQuantisedKey));
  std::unordered_map<std::string_view, StoredTensor*> tensors;
  for (StoredTensor& tensor : checkpoint.tensors) tensors.emplace(tensor.name, &tensor);
  for (const auto& [name, object] : all.items()) {
    const auto found = tensors.find(name);
    if (found == tensors.end()) {
      file.fail(fmt::format("{}: tensor {} is not in the file", kQuantisedKey, in_quotes(name)));
    }
    apply(file, entry_from(file, name, object), *found->second);
  }
}

}  // namespace deciban

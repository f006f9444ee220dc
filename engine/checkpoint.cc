#include "engine/checkpoint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <unordered_set>

#include "engine/mapped_file.h"
#include "engine/readers.h"

namespace deciban {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFormats = "PyTorch .pth (zip), safetensors, rwkv.cpp .bin, GGUF";
constexpr std::uintmax_t kMaxText = std::uintmax_t{64} << 20;  // config.json and the index of shards

bool begins_with(const FileBytes& file, std::string_view magic) {
  return file.bytes.size() >= magic.size() && std::memcmp(file.bytes.data(), magic.data(), magic.size()) == 0;
}

[[noreturn]] void refuse_unknown(const FileBytes& file) {
  using namespace std::string_view_literals;
  if (begins_with(file, "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"sv)) {
    file.fail(
        "is in PyTorch's format of before version 1.6; load it with a newer PyTorch and save it again: "
        "torch.save(torch.load(path), new_path)");
  }
  if (begins_with(file, "version https://git-lfs")) {
    file.fail("is a Git LFS pointer, not the weights themselves: run 'git lfs pull'");
  }
  if (begins_with(file, "\x80"sv))
    file.fail("is a bare pickle, not a file of torch.save of version 1.6 or later");
  for (const std::string_view magic : {"lmgg"sv, "tjgg"sv, "algg"sv}) {
    if (begins_with(file, magic)) file.fail("is in one of ggml's formats of before GGUF, which is not read");
  }
  std::string start;
  for (const std::byte byte : file.bytes.first(std::min<std::size_t>(file.bytes.size(), 8))) {
    start += fmt::format(" {:02x}", static_cast<unsigned>(byte));
  }
  file.fail(fmt::format("is in no known checkpoint format (first bytes{}); known: {}", start, kFormats));
}

bool looks_like_safetensors(const FileBytes& file) {
  return file.bytes.size() > 8 && file.bytes[8] == std::byte{'{'} && file.bytes[7] == std::byte{0};
}

std::string read_text(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error(path.string() + ": cannot open");
  if (fs::file_size(path) > kMaxText)
    throw std::runtime_error(path.string() + ": is too large for what it should be");
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// The config.json in a folder, or empty.
std::string config_in(const fs::path& folder) {
  const fs::path path = folder / "config.json";
  std::error_code ignored;
  return fs::is_regular_file(path, ignored) ? read_text(path) : std::string();
}

// The shards of an index, in the order of their names.
Checkpoint open_shards(const fs::path& index) {
  const auto fail = [&](std::string_view reason) {
    throw std::runtime_error(fmt::format("{}: {}", index.string(), reason));
  };
  const auto parsed = nlohmann::json::parse(read_text(index), nullptr, false);
  if (!parsed.is_object() || !parsed.contains("weight_map") || !parsed["weight_map"].is_object()) {
    fail("is not an index of safetensors shards: no weight_map");
  }
  std::set<std::string> names;
  for (const auto& [tensor, shard] : parsed["weight_map"].items()) {
    if (!shard.is_string()) fail(fmt::format("tensor {} is not mapped to a file name", in_quotes(tensor)));
    const auto& name = shard.get_ref<const std::string&>();
    if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos ||
        name.find('\0') != std::string::npos) {
      fail(fmt::format("tensor {} is mapped to {}, which is not a plain file name", in_quotes(tensor),
                       in_quotes(name)));
    }
    names.insert(name);
  }
  if (names.empty()) fail("lists no tensors");
  Checkpoint result;
  std::unordered_set<std::string_view> seen;
  result.format = "safetensors";
  for (const auto& name : names) {
    const FileBytes file = map_file(index.parent_path() / name);
    if (!looks_like_safetensors(file)) file.fail("is listed as a shard but is not a safetensors file");
    Checkpoint shard = read_safetensors(file);
    result.files.push_back(file.path);
    result.metadata.merge(shard.metadata);
    std::move(shard.tensors.begin(), shard.tensors.end(), std::back_inserter(result.tensors));
  }
  for (const auto& tensor : result.tensors) {
    if (!seen.insert(tensor.name).second)
      fail(fmt::format("tensor {} is in two shards", in_quotes(tensor.name)));
  }
  for (const auto& [tensor, shard] : parsed["weight_map"].items()) {
    if (!seen.contains(tensor)) {
      fail(fmt::format("tensor {} is missing from {}", in_quotes(tensor),
                       in_quotes(shard.get_ref<const std::string&>())));
    }
  }
  result.config = config_in(index.parent_path());
  return result;
}

Checkpoint open_file(const fs::path& path) {
  Checkpoint result = read_checkpoint(map_file(path));
  result.config = config_in(path.parent_path());
  return result;
}

bool has_suffix(const fs::path& path, std::initializer_list<std::string_view> suffixes) {
  const std::string extension = path.extension().string();
  return std::find(suffixes.begin(), suffixes.end(), extension) != suffixes.end();
}

Checkpoint open_directory(const fs::path& folder) {
  std::vector<fs::path> indices, safetensors, others, all;
  for (const auto& entry : fs::directory_iterator(folder)) {
    std::error_code ignored;
    all.push_back(entry.path().filename());
    if (!entry.is_regular_file(ignored)) continue;
    if (entry.path().filename().string().ends_with(".safetensors.index.json"))
      indices.push_back(entry.path());
    if (has_suffix(entry.path(), {".safetensors", ".st"})) safetensors.push_back(entry.path());
    if (has_suffix(entry.path(), {".pth", ".pt", ".bin", ".gguf", ".ckpt"})) others.push_back(entry.path());
  }
  if (indices.size() == 1) return open_shards(indices[0]);
  if (indices.empty() && safetensors.size() == 1) return open_file(safetensors[0]);
  if (indices.empty() && safetensors.empty() && others.size() == 1) return open_file(others[0]);
  std::sort(all.begin(), all.end());
  constexpr std::size_t kListed = 12;
  std::string list;
  for (std::size_t i = 0; i < std::min(all.size(), kListed); ++i) {
    list += (i ? ", " : "") + all[i].string();
  }
  if (all.size() > kListed) list += fmt::format(", and {} more", all.size() - kListed);
  const bool none = indices.empty() && safetensors.empty() && others.empty();
  throw std::runtime_error(
      fmt::format("{}: the directory holds {} (it has: {}); {}", folder.string(),
                  none ? "no weight file" : "several weight files without an index that joins them",
                  all.empty() ? "nothing" : list,
                  none ? fmt::format("known formats: {}", kFormats) : "name one of them"));
}

}  // namespace

Checkpoint read_checkpoint(const FileBytes& file) {
  using namespace std::string_view_literals;
  if (begins_with(file, "PK\x03\x04"sv) || begins_with(file, "PK\x05\x06"sv)) return read_torch_file(file);
  if (begins_with(file, "GGUF"sv)) return read_gguf_file(file);
  if (begins_with(file, "fmgg"sv)) return read_rwkvcpp_file(file);
  if (looks_like_safetensors(file)) return read_safetensors(file);
  refuse_unknown(file);
}

Checkpoint Checkpoint::open(const std::filesystem::path& path) {
  std::error_code error;
  const auto status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found)
    throw std::runtime_error(path.string() + ": no such file or directory");
  if (fs::is_directory(status)) return open_directory(path);
  if (path.filename().string().ends_with(".index.json")) return open_shards(path);
  return open_file(path);
}

const StoredTensor* Checkpoint::find(std::string_view tensor_name) const {
  for (const auto& tensor : tensors) {
    if (tensor.name == tensor_name) return &tensor;
  }
  return nullptr;
}

const StoredTensor& Checkpoint::at(std::string_view tensor_name) const {
  if (const auto* tensor = find(tensor_name)) return *tensor;
  throw std::runtime_error(
      fmt::format("{}: has no tensor '{}'", files.empty() ? "checkpoint" : files[0].string(), tensor_name));
}

std::size_t tensor_bytes(const FileBytes& file, std::string_view name, Encoding encoding,
                         const std::vector<std::size_t>& shape) {
  const std::size_t block = block_elements(encoding);
  if (block > 1 && (shape.empty() || shape.back() % block != 0)) {
    file.fail(fmt::format("tensor {} of shape {}: rows of {} need a multiple of {} elements", in_quotes(name),
                          shape, deciban::name(encoding), block));
  }
  try {
    // A zero anywhere makes the tensor empty, but must not hide a product of the others that overflows.
    std::size_t elements = 1;
    bool empty = false;
    for (const std::size_t extent : shape) {
      empty |= extent == 0;
      elements = checked_product(elements, std::max<std::size_t>(extent, 1));
    }
    if (elements >> 60) throw std::overflow_error("strides");
    const std::size_t bytes =
        checked_product(elements / block + (elements % block != 0), block_bytes(encoding));
    return empty ? 0 : bytes;
  } catch (const std::overflow_error&) {
    file.fail(fmt::format("tensor {}: shape {} is impossibly large", in_quotes(name), shape));
  }
}

StoredTensor tensor_in_file(const FileBytes& file, std::string name, Encoding encoding,
                            std::vector<std::size_t> shape, std::size_t begin, std::size_t end) {
  const std::size_t bytes = tensor_bytes(file, name, encoding, shape);
  if (end - begin != bytes) {
    file.fail(fmt::format("tensor {} of shape {} and type {} needs {} bytes, has {}", in_quotes(name), shape,
                          deciban::name(encoding), bytes, end - begin));
  }
  StoredTensor result;
  result.name = std::move(name);
  result.strides.resize(shape.size());
  std::ptrdiff_t stride = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    result.strides[i] = stride;
    stride *= static_cast<std::ptrdiff_t>(std::max<std::size_t>(shape[i], 1));
  }
  result.shape = std::move(shape);
  result.encoding = encoding;
  result.data = file.bytes.data() + begin;
  result.owner = file.owner;
  result.mapped = file.mapped;
  return result;
}

void refuse_equal_names(const FileBytes& file, const std::vector<StoredTensor>& tensors) {
  std::unordered_set<std::string_view> seen;
  for (const auto& tensor : tensors) {
    if (!seen.insert(tensor.name).second)
      file.fail(fmt::format("two tensors are named {}", in_quotes(tensor.name)));
  }
}

}  // namespace deciban

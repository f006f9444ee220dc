// Writers of small checkpoint files of every format, for tests and for the corpora of the fuzzers.  They
// follow the formats' descriptions, not the engine's readers.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/checkpoint.h"
#include "engine/mapped_file.h"
#include "engine/readers.h"

namespace deciban::testing_files {

template <class T>
void put(std::string& out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out.append(bytes, sizeof(T));
}

template <class T>
std::string packed(const std::vector<T>& values) {
  std::string out;
  for (const T value : values) put(out, value);
  return out;
}

struct WrittenTensor {
  std::string name;
  std::vector<std::size_t> shape;
  std::string data;
  Encoding encoding = Encoding::f32;
};

inline WrittenTensor f32_tensor(std::string name, std::vector<std::size_t> shape,
                                const std::vector<float>& values) {
  return {std::move(name), std::move(shape), packed(values), Encoding::f32};
}

inline Checkpoint read_bytes(std::string_view bytes) {
  return read_checkpoint(memory_file("file", std::as_bytes(std::span(bytes))));
}

// ---- safetensors

inline std::string safetensors_name(Encoding encoding) {
  switch (encoding) {
    case Encoding::f64:
      return "F64";
    case Encoding::f32:
      return "F32";
    case Encoding::f16:
      return "F16";
    case Encoding::bf16:
      return "BF16";
    case Encoding::i64:
      return "I64";
    case Encoding::i32:
      return "I32";
    case Encoding::i16:
      return "I16";
    case Encoding::i8:
      return "I8";
    case Encoding::u8:
      return "U8";
    case Encoding::boolean:
      return "BOOL";
    default:
      return "Q";
  }
}

inline std::string safetensors_raw(std::string_view header, std::string_view data) {
  std::string out;
  put<std::uint64_t>(out, header.size());
  return out.append(header).append(data);
}

inline std::string safetensors_file(const std::vector<WrittenTensor>& tensors) {
  std::string header = "{\"__metadata__\":{\"format\":\"pt\"}", data;
  for (const auto& tensor : tensors) {
    header += ",\"" + tensor.name + "\":{\"dtype\":\"" + safetensors_name(tensor.encoding) + "\",\"shape\":[";
    for (std::size_t i = 0; i < tensor.shape.size(); ++i)
      header += (i ? "," : "") + std::to_string(tensor.shape[i]);
    header += "],\"data_offsets\":[" + std::to_string(data.size());
    data += tensor.data;
    header += "," + std::to_string(data.size()) + "]}";
  }
  return safetensors_raw(header + "}", data);
}

// ---- rwkv.cpp

inline std::string rwkvcpp_header(std::int32_t version, std::int32_t vocabulary, std::int32_t width,
                                  std::int32_t layers, std::int32_t type) {
  return packed<std::int32_t>({0x67676d66, version, vocabulary, width, layers, type});
}

inline std::int32_t rwkvcpp_type(Encoding encoding) {
  switch (encoding) {
    case Encoding::f32:
      return 0;
    case Encoding::f16:
      return 1;
    case Encoding::q4_0:
      return 2;
    case Encoding::q4_1:
      return 3;
    case Encoding::q5_0:
      return 7;
    case Encoding::q5_1:
      return 8;
    case Encoding::q8_0:
      return 9;
    default:
      return -1;
  }
}

inline std::string rwkvcpp_record(const WrittenTensor& tensor) {
  std::string out;
  put(out, static_cast<std::int32_t>(tensor.shape.size()));
  put(out, static_cast<std::int32_t>(tensor.name.size()));
  put(out, rwkvcpp_type(tensor.encoding));
  for (std::size_t i = tensor.shape.size(); i-- > 0;) put(out, static_cast<std::int32_t>(tensor.shape[i]));
  return out + tensor.name + tensor.data;
}

inline std::string rwkvcpp_file(const std::vector<WrittenTensor>& tensors) {
  std::string out = rwkvcpp_header(101, 1, 1, 1, 0);
  for (const auto& tensor : tensors) out += rwkvcpp_record(tensor);
  return out;
}

// ---- GGUF

inline void put_string(std::string& out, std::string_view text) {
  put<std::uint64_t>(out, text.size());
  out += text;
}

// Key, type and value of one metadata pair.
inline std::string gguf_text(std::string_view key, std::string_view value) {
  std::string out;
  put_string(out, key);
  put<std::uint32_t>(out, 8);
  put_string(out, value);
  return out;
}
template <class T>
std::string gguf_number(std::string_view key, std::uint32_t type, T value) {
  std::string out;
  put_string(out, key);
  put<std::uint32_t>(out, type);
  put(out, value);
  return out;
}
inline std::string gguf_u32(std::string_view key, std::uint32_t value) { return gguf_number(key, 4, value); }
inline std::string gguf_texts(std::string_view key, const std::vector<std::string>& values) {
  std::string out;
  put_string(out, key);
  put<std::uint32_t>(out, 9);
  put<std::uint32_t>(out, 8);
  put<std::uint64_t>(out, values.size());
  for (const auto& value : values) put_string(out, value);
  return out;
}

inline std::uint32_t gguf_type(Encoding encoding) {
  switch (encoding) {
    case Encoding::f32:
      return 0;
    case Encoding::f16:
      return 1;
    case Encoding::q4_0:
      return 2;
    case Encoding::q4_1:
      return 3;
    case Encoding::q5_0:
      return 6;
    case Encoding::q5_1:
      return 7;
    case Encoding::q8_0:
      return 8;
    case Encoding::bf16:
      return 30;
    default:
      return 99;
  }
}

inline std::string gguf_file(const std::vector<std::string>& pairs, const std::vector<WrittenTensor>& tensors,
                             std::size_t alignment = 32, std::uint32_t version = 3) {
  std::string out = "GGUF", data;
  put(out, version);
  put<std::uint64_t>(out, tensors.size());
  put<std::uint64_t>(out, pairs.size());
  for (const auto& pair : pairs) out += pair;
  for (const auto& tensor : tensors) {
    data.resize((data.size() + alignment - 1) / alignment * alignment);
    put_string(out, tensor.name);
    put(out, static_cast<std::uint32_t>(tensor.shape.size()));
    for (std::size_t i = tensor.shape.size(); i-- > 0;) put<std::uint64_t>(out, tensor.shape[i]);
    put(out, gguf_type(tensor.encoding));
    put<std::uint64_t>(out, data.size());
    data += tensor.data;
  }
  out.resize((out.size() + alignment - 1) / alignment * alignment);
  return out + data;
}

// ---- ZIP and pickle, as torch.save writes them

inline std::uint32_t plain_crc32(std::string_view bytes) {
  std::uint32_t value = 0xffffffffu;
  for (const unsigned char byte : bytes) {
    value ^= byte;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ (0xedb88320u & (0u - (value & 1u)));
  }
  return ~value;
}

struct ZipWritten {
  std::string name, data;
  std::uint16_t method = 0, flags = 0x0808;
  std::optional<std::uint32_t> crc = {};            // else the right one
  std::optional<std::uint64_t> stated_size = {};    // else the right one
  std::optional<std::uint64_t> stated_offset = {};  // else the right one
};

struct ZipStyle {
  bool zip64_end = true;       // as PyTorch always writes
  bool zip64_entries = false;  // as for files beyond 4 GiB
  bool padding = true;         // data at multiples of 64
  std::string comment;
};

inline std::string zip_file(const std::vector<ZipWritten>& entries, const ZipStyle& style = {}) {
  std::string out, directory;
  for (const auto& entry : entries) {
    const std::uint64_t header = entry.stated_offset.value_or(out.size());
    const std::uint64_t size = entry.stated_size.value_or(entry.data.size());
    const auto size32 = style.zip64_entries ? 0xffffffffu : static_cast<std::uint32_t>(size);
    const auto crc = entry.crc.value_or(plain_crc32(entry.data));
    std::string extra;
    if (style.padding) {
      const std::size_t data = out.size() + 30 + entry.name.size() + 4;
      const std::size_t fill = (64 - data % 64) % 64;
      put<std::uint16_t>(extra, 0x4246);
      put(extra, static_cast<std::uint16_t>(fill));
      extra.append(fill, 'Z');
    }
    // Local header: sizes and checksum follow behind the data.
    put<std::uint32_t>(out, 0x04034b50);
    put<std::uint16_t>(out, 0);
    put(out, entry.flags);
    put(out, entry.method);
    put<std::uint32_t>(out, 0);
    out.append(12, '\0');
    put(out, static_cast<std::uint16_t>(entry.name.size()));
    put(out, static_cast<std::uint16_t>(extra.size()));
    out += entry.name + extra + entry.data;
    put<std::uint32_t>(out, 0x08074b50);
    put(out, crc);
    put(out, static_cast<std::uint32_t>(size));
    put(out, static_cast<std::uint32_t>(size));

    std::string extra64;
    if (style.zip64_entries) {
      put<std::uint16_t>(extra64, 1);
      put<std::uint16_t>(extra64, 24);
      put(extra64, size);
      put(extra64, size);
      put(extra64, header);
    }
    put<std::uint32_t>(directory, 0x02014b50);
    put<std::uint32_t>(directory, 0);
    put(directory, entry.flags);
    put(directory, entry.method);
    put<std::uint32_t>(directory, 0);
    put(directory, crc);
    put(directory, size32);
    put(directory, size32);
    put(directory, static_cast<std::uint16_t>(entry.name.size()));
    put(directory, static_cast<std::uint16_t>(extra64.size()));
    directory.append(10, '\0');
    put(directory, style.zip64_entries ? 0xffffffffu : static_cast<std::uint32_t>(header));
    directory += entry.name + extra64;
  }
  const std::uint64_t begin = out.size();
  out += directory;
  if (style.zip64_end || style.zip64_entries) {
    const std::uint64_t record = out.size();
    put<std::uint32_t>(out, 0x06064b50);
    put<std::uint64_t>(out, 44);
    put<std::uint32_t>(out, 0);
    put<std::uint64_t>(out, 0);
    put<std::uint64_t>(out, entries.size());
    put<std::uint64_t>(out, entries.size());
    put<std::uint64_t>(out, directory.size());
    put(out, begin);
    put<std::uint32_t>(out, 0x07064b50);
    put<std::uint32_t>(out, 0);
    put(out, record);
    put<std::uint32_t>(out, 1);
  }
  put<std::uint32_t>(out, 0x06054b50);
  put<std::uint32_t>(out, 0);
  put(out, static_cast<std::uint16_t>(entries.size()));
  put(out, static_cast<std::uint16_t>(entries.size()));
  put(out, static_cast<std::uint32_t>(directory.size()));
  put(out, style.zip64_entries ? 0xffffffffu : static_cast<std::uint32_t>(begin));
  put(out, static_cast<std::uint16_t>(style.comment.size()));
  return out + style.comment;
}

// Opcodes of pickle protocol 2.
inline std::string pickle_text(std::string_view text) {
  std::string out = "X";
  put(out, static_cast<std::uint32_t>(text.size()));
  return out.append(text);
}
inline std::string pickle_number(std::int32_t number) {
  std::string out = "J";
  put(out, number);
  return out;
}
inline std::string pickle_global(std::string_view module, std::string_view name) {
  return std::string("c").append(module).append("\n").append(name).append("\n");
}
inline std::string pickle_numbers(const std::vector<std::size_t>& numbers) {
  std::string out = "(";
  for (const std::size_t number : numbers) out += pickle_number(static_cast<std::int32_t>(number));
  return out + "t";
}

struct TorchView {
  std::string type = "FloatStorage", key = "0";
  std::size_t storage_elements = 0, offset = 0;
  std::vector<std::size_t> shape, strides;
};

// The call that makes a tensor.
inline std::string pickle_tensor(const TorchView& view) {
  std::string out = pickle_global("torch._utils", "_rebuild_tensor_v2") + "((" + pickle_text("storage");
  out += pickle_global("torch", view.type) + pickle_text(view.key) + pickle_text("cpu");
  out += pickle_number(static_cast<std::int32_t>(view.storage_elements)) + "tQ";
  out += pickle_number(static_cast<std::int32_t>(view.offset)) + pickle_numbers(view.shape) +
         pickle_numbers(view.strides);
  return out + "\x89" + pickle_global("collections", "OrderedDict") + ")RtR";
}
inline std::string pickle_dict(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string out = "}(";
  for (const auto& [key, value] : items) out += pickle_text(key) + value;
  return out + "u";
}
inline std::string pickled(const std::string& value) { return "\x80\x02" + value + "."; }

inline std::string torch_type(Encoding encoding) {
  switch (encoding) {
    case Encoding::bf16:
      return "BFloat16Storage";
    case Encoding::f16:
      return "HalfStorage";
    case Encoding::f64:
      return "DoubleStorage";
    default:
      return "FloatStorage";
  }
}

inline std::string torch_file(const std::vector<WrittenTensor>& tensors, const ZipStyle& style = {}) {
  std::vector<std::pair<std::string, std::string>> items;
  std::vector<ZipWritten> entries = {{"model/data.pkl", ""}};
  for (const auto& tensor : tensors) {
    TorchView view;
    view.type = torch_type(tensor.encoding);
    view.key = std::to_string(items.size());
    view.storage_elements = tensor.data.size() / block_bytes(tensor.encoding);
    view.shape = tensor.shape;
    std::size_t stride = 1;
    view.strides.resize(tensor.shape.size());
    for (std::size_t i = tensor.shape.size(); i-- > 0; stride *= tensor.shape[i]) view.strides[i] = stride;
    items.emplace_back(tensor.name, pickle_tensor(view));
    entries.push_back({"model/data/" + view.key, tensor.data});
  }
  entries[0].data = pickled(pickle_dict(items));
  entries.push_back({"model/version", "3\n"});
  return zip_file(entries, style);
}

// A file of torch.save with this pickle and one storage "0" of eight floats.
inline std::string torch_file_of(const std::string& pickle) {
  return zip_file({{"model/data.pkl", pickle},
                   {"model/data/0", packed<float>({0, 1, 2, 3, 4, 5, 6, 7})},
                   {"model/version", "3\n"}});
}

}  // namespace deciban::testing_files

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <optional>
#include <unordered_set>

#include "engine/pickle.h"
#include "engine/readers.h"
#include "engine/zip_directory.h"

namespace deciban {
namespace {

using Kind = PickleValue::Kind;

struct StorageType {
  std::string_view global;
  Encoding encoding;
};
constexpr StorageType kStorageTypes[] = {
    {"torch FloatStorage", Encoding::f32}, {"torch BFloat16Storage", Encoding::bf16},
    {"torch HalfStorage", Encoding::f16},  {"torch DoubleStorage", Encoding::f64},
    {"torch LongStorage", Encoding::i64},  {"torch IntStorage", Encoding::i32},
    {"torch ShortStorage", Encoding::i16}, {"torch CharStorage", Encoding::i8},
    {"torch ByteStorage", Encoding::u8},   {"torch BoolStorage", Encoding::boolean}};
constexpr std::string_view kTensor = "torch._utils _rebuild_tensor_v2";
constexpr std::string_view kParameter = "torch._utils _rebuild_parameter";
constexpr std::size_t kMaxRank = 8;

std::vector<std::string_view> allowed_globals() {
  std::vector<std::string_view> result = {kTensor, kParameter, "collections OrderedDict"};
  for (const auto& type : kStorageTypes) result.push_back(type.global);
  return result;
}

struct NamedValue {
  std::string_view name;
  PickleIndex tensor;  // the call of _rebuild_tensor_v2
};

class TorchFile {
 public:
  explicit TorchFile(const FileBytes& file) : file_(file), directory_(ZipDirectory::read(file)) {
    const ZipEntry& data = find_pickle();
    if (const ZipEntry* order = directory_.find(prefix_ + "byteorder")) {
      const std::string_view text(reinterpret_cast<const char*>(file.bytes.data() + order->begin),
                                  order->size);
      if (!text.starts_with("little")) {
        file.fail(fmt::format(
            "byte order {}: only little-endian files are read; save it again on a little-endian machine",
            in_quotes(text)));
      }
    }
    if (data.crc != 0 && crc32(file.bytes.subspan(data.begin, data.size)) != data.crc) {
      file.fail(fmt::format("checksum of {} is wrong: the file is damaged", in_quotes(data.name)));
    }
    pickle_ = Pickle::read(file, data.begin, data.begin + data.size, allowed_globals());
  }

  Checkpoint checkpoint() {
    Checkpoint result;
    result.format = "pth";
    result.files = {file_.path};
    for (const auto& [name, tensor] : tensors_of(weights()))
      result.tensors.push_back(read_tensor(name, tensor));
    refuse_equal_names(file_, result.tensors);
    return result;
  }

 private:
  const ZipEntry& find_pickle() {
    const ZipEntry* found = nullptr;
    for (const ZipEntry& entry : directory_.entries()) {
      constexpr std::string_view kName = "/data.pkl";
      if (!entry.name.ends_with(kName)) continue;
      if (found) file_.fail("has two entries data.pkl: not a file of torch.save");
      found = &entry;
      prefix_ = std::string(entry.name.substr(0, entry.name.size() - kName.size() + 1));
    }
    if (!found) file_.fail("is a ZIP archive without data.pkl: not a file of torch.save");
    return *found;
  }

  const PickleValue& value(PickleIndex index) const { return pickle_[index]; }

  // The call of _rebuild_tensor_v2 in a tensor or parameter.
  std::optional<PickleIndex> as_tensor(PickleIndex index) const {
    for (int depth = 0; depth < 2; ++depth) {
      if (value(index).kind != Kind::call) return std::nullopt;
      const std::string_view callable = value(value(index).items[0]).text;
      if (callable == kTensor) return index;
      const auto& arguments = value(value(index).items[1]).items;
      if (callable != kParameter || arguments.empty()) return std::nullopt;
      index = arguments[0];
    }
    return std::nullopt;
  }

  std::vector<NamedValue> tensors_of(PickleIndex dict) const {
    std::vector<NamedValue> result;
    const auto& items = value(dict).items;
    for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
      if (value(items[i]).kind != Kind::text) continue;
      if (const auto tensor = as_tensor(items[i + 1])) result.push_back({value(items[i]).text, *tensor});
    }
    return result;
  }

  // The only dictionary with tensors nearest to the top.
  PickleIndex weights() const {
    if (value(pickle_.root()).kind != Kind::dict) {
      file_.fail(
          "does not hold a dictionary of tensors; save the weights with torch.save(model.state_dict(), "
          "path)");
    }
    struct Place {
      std::string path;
      PickleIndex dict;
    };
    std::vector<Place> level = {{"", pickle_.root()}};
    std::unordered_set<PickleIndex> seen = {pickle_.root()};  // dictionaries may hold each other
    constexpr int kDeepest = 4;
    for (int depth = 0; depth < kDeepest && !level.empty(); ++depth) {
      std::vector<Place> with_tensors, next;
      for (const Place& place : level) {
        if (!tensors_of(place.dict).empty()) with_tensors.push_back(place);
        const auto& items = value(place.dict).items;
        for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
          if (value(items[i]).kind != Kind::text || value(items[i + 1]).kind != Kind::dict) continue;
          if (!seen.insert(items[i + 1]).second) continue;
          next.push_back({fmt::format("{}[{}]", place.path, in_quotes(value(items[i]).text)), items[i + 1]});
        }
      }
      if (with_tensors.size() == 1) return with_tensors[0].dict;
      if (with_tensors.size() > 1) {
        file_.fail(fmt::format(
            "has several dictionaries of tensors, {} and {}: save one of them alone with torch.save",
            with_tensors[0].path, with_tensors[1].path));
      }
      level = std::move(next);
    }
    file_.fail("has no tensors in its dictionaries");
  }

  std::vector<std::size_t> sizes(std::string_view tensor, PickleIndex index, std::string_view what) const {
    const PickleValue& tuple = value(index);
    if (tuple.kind != Kind::tuple || tuple.items.size() > kMaxRank) {
      file_.fail(fmt::format("tensor {}: its {} is not a tuple of at most {} numbers", in_quotes(tensor),
                             what, kMaxRank));
    }
    std::vector<std::size_t> result;
    for (const PickleIndex item : tuple.items) result.push_back(size(tensor, item, what));
    return result;
  }
  std::size_t size(std::string_view tensor, PickleIndex index, std::string_view what) const {
    const PickleValue& number = value(index);
    // 2^48 elements are more than any memory holds; below it no product of two sizes in bytes overflows
    // unnoticed.
    if (number.kind != Kind::integer || number.integer < 0 || number.integer >= (std::int64_t{1} << 48)) {
      file_.fail(fmt::format("tensor {}: its {} has the impossible value {}", in_quotes(tensor), what,
                             number.integer));
    }
    return static_cast<std::size_t>(number.integer);
  }

  struct Storage {
    Encoding encoding;
    std::size_t begin, elements;
  };
  Storage storage(std::string_view tensor, PickleIndex index) const {
    const auto refuse = [&](std::string_view reason) {
      file_.fail(fmt::format("tensor {}: {}", in_quotes(tensor), reason));
    };
    if (value(index).kind != Kind::persistent) refuse("its storage is not a reference to one");
    const PickleValue& id = value(value(index).items[0]);
    if (id.kind != Kind::tuple || id.items.size() != 5 || value(id.items[0]).text != "storage" ||
        value(id.items[1]).kind != Kind::global || value(id.items[2]).kind != Kind::text) {
      refuse("the reference to its storage is malformed");
    }
    const StorageType* type = nullptr;
    for (const auto& known : kStorageTypes) {
      if (known.global == value(id.items[1]).text) type = &known;
    }
    if (!type) refuse("its storage has no type");
    const auto key = value(id.items[2]).text;
    const ZipEntry* entry = directory_.find(fmt::format("{}data/{}", prefix_, key));
    if (!entry) refuse(fmt::format("its storage {} is not in the file", in_quotes(key)));
    const std::size_t elements = size(tensor, id.items[4], "storage size");
    if (elements > entry->size / block_bytes(type->encoding)) {
      refuse(fmt::format("its storage {} has {} bytes, too few for {} elements of {}", in_quotes(key),
                         entry->size, elements, name(type->encoding)));
    }
    return {type->encoding, entry->begin, elements};
  }

  StoredTensor read_tensor(std::string_view tensor_name, PickleIndex call) const {
    const auto refuse = [&](std::string_view reason) {
      file_.fail(fmt::format("tensor {}: {}", in_quotes(tensor_name), reason));
    };
    const auto& arguments = value(value(call).items[1]).items;
    if (arguments.size() < 4) refuse("too few arguments of _rebuild_tensor_v2");
    const Storage source = storage(tensor_name, arguments[0]);
    const std::size_t offset = size(tensor_name, arguments[1], "offset");
    StoredTensor result;
    result.name = std::string(tensor_name);
    result.shape = sizes(tensor_name, arguments[2], "shape");
    const auto strides = sizes(tensor_name, arguments[3], "stride");
    if (strides.size() != result.shape.size()) refuse("as many strides as dimensions are needed");
    std::size_t elements = 1, last = offset;
    bool empty = false;
    for (std::size_t i = 0; i < strides.size(); ++i) {
      result.strides.push_back(static_cast<std::ptrdiff_t>(strides[i]));
      if (result.shape[i] == 0) {
        empty = true;
        continue;
      }
      elements = checked_product(elements, result.shape[i]);
      last = checked_sum(last, checked_product(result.shape[i] - 1, strides[i]));
    }
    if (!empty && last >= source.elements) {
      refuse(fmt::format("shape {}, stride {} and offset {} reach beyond its storage of {} elements",
                         result.shape, strides, offset, source.elements));
    }
    // A view that shows elements many times over (torch.expand) could claim any size.
    if (!empty && elements > source.elements) {
      refuse(fmt::format("shape {} has more elements than its storage of {}; save it with .contiguous()",
                         result.shape, source.elements));
    }
    result.encoding = source.encoding;
    result.data = file_.bytes.data() + source.begin + (empty ? 0 : offset * block_bytes(source.encoding));
    result.owner = file_.owner;
    result.mapped = file_.mapped;
    return result;
  }

  const FileBytes& file_;
  ZipDirectory directory_;
  std::string prefix_;  // of the archive's entries, with a slash at its end
  Pickle pickle_;
};

}  // namespace

Checkpoint read_torch_file(const FileBytes& file) {
  try {
    return TorchFile(file).checkpoint();
  } catch (const std::overflow_error& error) {
    file.fail(error.what());
  }
}

}  // namespace deciban

#include "engine/convert.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/checkpoint.h"
#include "engine/cpu/group_blocks.h"
#include "engine/cpu/quantise_rows.h"
#include "engine/encoding.h"
#include "engine/quantised_tensors.h"
#include "engine/rwkv.h"
#include "engine/rwkv_names.h"

namespace deciban {
namespace {

namespace fs = std::filesystem;

struct Target {
  std::string_view word;
  WeightFormat format;
};
constexpr std::array<Target, 5> kTargets = {{{"bf16", WeightFormat::bf16},
                                             {"f16", WeightFormat::f16},
                                             {"int8", WeightFormat::i8},
                                             {"int4", WeightFormat::i4},
                                             {"int4g64", WeightFormat::i4g64}}};

WeightFormat target_of(const std::string& word) {
  std::string known;
  for (const Target& target : kTargets) {
    if (target.word == word) return target.format;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", target.word);
  }
  throw std::invalid_argument(fmt::format("unknown format '{}'; known: {}", word, known));
}

// Whether a tensor is multiplied by, and whether its inputs are the last dimension but one (LoRA).
enum class Use { other, matrix, lora };
Use use_of(std::string_view name) {
  if (name == "head.weight") return Use::matrix;
  constexpr std::array<std::string_view, 8> kMatrices = {
      "att.receptance.weight", "att.key.weight", "att.value.weight",      "att.gate.weight",
      "att.output.weight",     "ffn.key.weight", "ffn.receptance.weight", "ffn.value.weight"};
  constexpr std::array<std::string_view, 12> kLora = {"att.w1",
                                                      "att.w2",
                                                      "att.a1",
                                                      "att.a2",
                                                      "att.v1",
                                                      "att.v2",
                                                      "att.g1",
                                                      "att.g2",
                                                      "att.time_maa_w1",
                                                      "att.time_maa_w2",
                                                      "att.time_decay_w1",
                                                      "att.time_decay_w2"};
  const std::size_t dot = name.starts_with("blocks.") ? name.find('.', 7) : std::string_view::npos;
  if (dot == std::string_view::npos) return Use::other;
  const std::string_view leaf = name.substr(dot + 1);
  if (std::find(kMatrices.begin(), kMatrices.end(), leaf) != kMatrices.end()) return Use::matrix;
  return std::find(kLora.begin(), kLora.end(), leaf) != kLora.end() ? Use::lora : Use::other;
}

// A tensor of the result.
struct Plan {
  const StoredTensor* tensor;
  WeightFormat format;  // f32: as it is stored
  bool blocks = false, transposed = false;
  std::string_view type;
  std::vector<std::size_t> shape;  // in the file
  std::uint64_t bytes = 0;
};

bool kept_as_stored(const StoredTensor& tensor) {
  const bool plain = tensor.encoding == Encoding::f32 || tensor.encoding == Encoding::bf16 ||
                     tensor.encoding == Encoding::f16;
  return plain && tensor.scale == 1 && tensor.contiguous();
}

std::string_view type_of(Encoding encoding) {
  return encoding == Encoding::bf16 ? "BF16" : encoding == Encoding::f16 ? "F16" : "F32";
}

Plan plan_of(const StoredTensor& tensor, WeightFormat asked) {
  Plan plan{&tensor, WeightFormat::f32, false, false, "F32", tensor.shape, 0};
  const Use use = tensor.shape.size() < 2 ? Use::other : use_of(tensor.name);
  if (use == Use::other) {
    if (kept_as_stored(tensor)) plan.type = type_of(tensor.encoding);
    plan.bytes = tensor.elements() * (plan.type == "F32" ? 4 : 2);
    return plan;
  }
  plan.format = weight_format(tensor.name, asked);
  if (plan.format == WeightFormat::i8) plan.format = WeightFormat::i8g32;  // what the CPU packs
  if (group_of(plan.format) == 0) {
    plan.type = plan.format == WeightFormat::bf16 ? "BF16" : "F16";
    plan.bytes = tensor.elements() * 2;
    return plan;
  }
  plan.blocks = true;
  plan.transposed = use == Use::lora;
  plan.type = "U8";
  const std::size_t inputs = plan.transposed ? tensor.shape[tensor.shape.size() - 2] : tensor.shape.back();
  const std::size_t rows = inputs == 0 ? 0 : tensor.elements() / inputs;
  plan.shape = {rows, row_bytes(*cpu::encoding_of(plan.format), inputs)};
  plan.bytes = rows * plan.shape[1];
  return plan;
}

std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
// To nearest even; what does not fit becomes infinite.
std::uint16_t to_f16(float value) {
  const double magnitude = std::fabs(static_cast<double>(value));
  const auto sign = static_cast<std::uint16_t>(std::signbit(value) ? 0x8000 : 0);
  if (magnitude == 0) return sign;
  const int exponent = std::max(std::ilogb(magnitude), -14);
  const double steps = std::nearbyint(std::ldexp(magnitude, 10 - exponent));  // 1024 to 2048, or subnormal
  const auto bits =
      static_cast<std::uint32_t>((exponent + 14) * 1024 + steps);  // a carry raises the exponent
  return static_cast<std::uint16_t>(sign | std::min<std::uint32_t>(bits, 0x7c00));
}

// A file that takes its name when it is whole and on the disk.
class Draft {
 public:
  explicit Draft(fs::path path) : path_(std::move(path)) {
    draft_ = path_;
    draft_ += fmt::format(".{}.part", ::getpid());
    file_ = ::open(draft_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file_ < 0) fail();
  }
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;
  ~Draft() {
    if (file_ >= 0) ::close(file_);
    if (!done_) ::unlink(draft_.c_str());
  }
  void write(const void* data, std::size_t size) {
    const auto* at = static_cast<const char*>(data);
    while (size > 0) {
      const ssize_t written = ::write(file_, at, size);
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) fail();
      at += written;
      size -= static_cast<std::size_t>(written);
    }
  }
  void finish() {
    if (::fsync(file_) != 0) fail();
    const int file = std::exchange(file_, -1);
    if (::close(file) != 0) fail();
    fs::rename(draft_, path_);
    done_ = true;
  }

 private:
  [[noreturn]] void fail() const {
    throw std::runtime_error(fmt::format("cannot write {}: {}", path_.string(), std::strerror(errno)));
  }
  fs::path path_, draft_;
  int file_ = -1;
  bool done_ = false;
};

void write_tensor(Draft& out, const Plan& plan) {
  const StoredTensor& tensor = *plan.tensor;
  if (plan.blocks) {
    const std::vector<std::byte> rows =
        cpu::quantised_rows(plan.transposed ? tensor.transposed() : tensor, plan.format);
    return out.write(rows.data(), rows.size());
  }
  if (plan.format == WeightFormat::f32 && kept_as_stored(tensor)) return out.write(tensor.data, plan.bytes);
  constexpr std::size_t kPiece = std::size_t{1} << 20;
  std::vector<float> values;
  std::vector<std::uint16_t> narrow;
  for (std::size_t first = 0; first < tensor.elements(); first += kPiece) {
    values.resize(std::min(kPiece, tensor.elements() - first));
    tensor.read(first, values.size(), values.data());
    if (plan.format == WeightFormat::f32) {
      out.write(values.data(), values.size() * sizeof(float));
      continue;
    }
    narrow.resize(values.size());
    const bool half = plan.format == WeightFormat::f16;
    for (std::size_t i = 0; i < values.size(); ++i) {
      narrow[i] = !std::isfinite(values[i]) ? 0x7f80 : half ? to_f16(values[i]) : to_bf16(values[i]);
      const std::uint16_t most = half ? 0x7c00 : 0x7f80;
      if ((narrow[i] & most) == most) {
        throw std::runtime_error(
            fmt::format("tensor '{}' holds {} at element {}, which is no finite {}: the file is damaged, its "
                        "training diverged, or the format is too narrow",
                        tensor.name, values[i], first + i, half ? "f16" : "bf16"));
      }
    }
    out.write(narrow.data(), narrow.size() * sizeof(std::uint16_t));
  }
}

std::string header_of(const std::vector<Plan>& plans, const std::string& format) {
  nlohmann::json header = nlohmann::json::object();
  std::vector<QuantisedEntry> quantised;
  std::uint64_t at = 0;
  for (const Plan& plan : plans) {
    header[plan.tensor->name] = {
        {"dtype", plan.type}, {"shape", plan.shape}, {"data_offsets", {at, at + plan.bytes}}};
    at += plan.bytes;
    if (plan.blocks) {
      quantised.push_back(
          {plan.tensor->name, *cpu::encoding_of(plan.format), plan.tensor->shape, plan.transposed});
    }
  }
  header["__metadata__"]["deciban.format"] = format;
  if (!quantised.empty()) header["__metadata__"][kQuantisedKey] = describe_quantised(quantised);
  std::string text = header.dump();
  while ((text.size() + sizeof(std::uint64_t)) % 64 != 0) text += ' ';  // tensors begin at whole cache lines
  return text;
}

}  // namespace

Conversion convert_rwkv(const fs::path& input, const std::string& format, const fs::path& output) {
  const WeightFormat target = target_of(format);
  const Checkpoint source = Checkpoint::open(input), official = official_rwkv(source);
  Conversion done;
  done.family = name(rwkv_shape(official).version);
  done.parameters = parameter_count(official);
  for (const fs::path& file : source.files) done.bytes_before += fs::file_size(file);
  std::vector<Plan> plans;
  for (const StoredTensor& tensor : official.tensors) plans.push_back(plan_of(tensor, target));
  Draft draft(output);
  const std::string header = header_of(plans, format);
  const std::uint64_t size = header.size();
  draft.write(&size, sizeof size);
  draft.write(header.data(), header.size());
  for (const Plan& plan : plans) write_tensor(draft, plan);
  draft.finish();
  done.bytes_after = fs::file_size(output);
  return done;
}

}  // namespace deciban

#include <fmt/format.h>

#include <array>
#include <stdexcept>
#include <utility>

#include "engine/ops.h"

namespace deciban {
namespace {

constexpr std::array<std::pair<std::string_view, NumericMode>, 11> kModes{{
    {"f32", {WeightFormat::f32, ActivationFormat::f32}},
    {"bf16", {WeightFormat::bf16, ActivationFormat::f32}},
    {"bf16a", {WeightFormat::bf16, ActivationFormat::bf16}},
    {"f16", {WeightFormat::f16, ActivationFormat::f32}},
    {"f16a", {WeightFormat::f16, ActivationFormat::f16}},
    {"int8", {WeightFormat::i8, ActivationFormat::f32}},
    {"w8a16", {WeightFormat::i8, ActivationFormat::bf16}},
    {"int8a", {WeightFormat::i8, ActivationFormat::i8}},
    {"int4", {WeightFormat::i4, ActivationFormat::f32}},
    {"int4g64", {WeightFormat::i4g64, ActivationFormat::f32}},
    {"fp8", {WeightFormat::f8, ActivationFormat::f8}},
}};

}  // namespace

NumericMode numeric_mode(const std::string& word) {
  std::string known;
  for (const auto& [name, mode] : kModes) {
    if (name == word) return mode;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", name);
  }
  throw std::invalid_argument(fmt::format("unknown numeric mode '{}'; known: auto, {}", word, known));
}

std::string name(WeightFormat format) {
  switch (format) {
    case WeightFormat::f32:
      return "f32";
    case WeightFormat::bf16:
      return "bf16";
    case WeightFormat::f16:
      return "f16";
    case WeightFormat::i8:
      return "i8";
    case WeightFormat::f8:
      return "e4m3";
    case WeightFormat::i4:
      return "i4g32";
    case WeightFormat::i4g64:
      return "i4g64";
    case WeightFormat::i8g32:
      return "i8g32";
  }
  return "?";
}

std::string name(ActivationFormat format) {
  switch (format) {
    case ActivationFormat::f32:
      return "f32";
    case ActivationFormat::bf16:
      return "bf16";
    case ActivationFormat::f16:
      return "f16";
    case ActivationFormat::i8:
      return "i8";
    case ActivationFormat::f8:
      return "e4m3";
  }
  return "?";
}

}  // namespace deciban

#include "bench/gate_cases.h"

#include <fmt/format.h>

#include <regex>
#include <stdexcept>

#include "bench/gate_ab.h"

namespace deciban {
namespace {

using Act = Epilogue::Act;
using Combine = Epilogue::Combine;

constexpr std::size_t kWidth = 384, kFfn = 1536, kRank = 64, kHead = 64, kVocabulary = 4096;

std::vector<OpCase> make_cases() {
  std::vector<OpCase> cases;
  for (const std::size_t rows : {std::size_t{1}, std::size_t{64}}) {
    const auto add = [&](OpCase c) {
      c.rows = rows;
      cases.push_back(c);
    };
    add({.op = OpKind::embed, .inputs = kWidth, .outputs = 1024, .traits = kNormed});
    add({.op = OpKind::norm_mix, .inputs = kWidth, .outputs = 6});
    add({.op = OpKind::wkv4, .inputs = kWidth});
    add({.op = OpKind::wkv5, .inputs = kWidth, .head_size = kHead, .traits = kGate | kTokenDecay});
    add({.op = OpKind::wkv7, .inputs = kWidth, .head_size = kHead});
    add({.op = OpKind::norm_rows, .inputs = kWidth});
    add({.op = OpKind::linear, .inputs = kRank, .outputs = kWidth, .act = Act::decay7, .traits = kBias});
    add({.op = OpKind::linear, .inputs = kFfn, .outputs = kWidth, .combine = Combine::add});
    for (const char* word : {"f32", "bf16", "bf16a", "f16", "int8", "int8a", "int4", "int4g64"}) {
      const NumericMode mode = numeric_mode(word);
      add({.op = OpKind::linear, .inputs = kWidth, .outputs = kWidth, .mode = mode});
    }
    for (const char* word : {"f32", "bf16a"}) {
      const NumericMode mode = numeric_mode(word);
      add({.op = OpKind::linear, .inputs = kWidth, .outputs = kFfn, .mode = mode, .act = Act::relu2});
      add({.op = OpKind::score_head, .inputs = kWidth, .outputs = kVocabulary, .mode = mode});
    }
  }
  return cases;
}

}  // namespace

const std::vector<OpCase>& gate_cases() {
  static const std::vector<OpCase> all = make_cases();
  return all;
}

std::string name(const PlacedCase& c) { return name(c.op) + " @" + c.place; }

std::vector<std::string> gate_case_names(const std::vector<std::string>& places, const std::string& pattern) {
  std::regex wanted;
  try {
    wanted = std::regex(pattern, std::regex::ECMAScript);
  } catch (const std::regex_error& error) {
    throw std::invalid_argument(fmt::format("'{}' is no regular expression: {}", pattern, error.what()));
  }
  std::vector<std::string> names;
  for (const std::string& place : places) {
    for (const OpCase& c : gate_cases()) {
      const std::string text = name(PlacedCase{c, place});
      if (pattern.empty() || std::regex_search(text, wanted)) names.push_back(text);
    }
  }
  if (names.empty()) {
    const PlacedCase example{gate_cases().back(), places.empty() ? "avx2" : places.front()};
    throw std::invalid_argument(
        fmt::format("no case matches '{}'; they are called like '{}'", pattern, name(example)));
  }
  return names;
}

std::vector<std::string> kernel_tables() { return supported_isas(); }
std::string usual_kernel_table() { return cpu_backend()->kernels(); }

}  // namespace deciban

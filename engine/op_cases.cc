#include "engine/op_cases.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "engine/op_case_data.h"

namespace deciban {
namespace {

using Act = Epilogue::Act;
using Combine = Epilogue::Combine;
using Sizes = std::vector<std::size_t>;

// One line an operation: its name, how a case is made, and what it costs.
struct Entry {
  OpKind op;
  std::string_view name;
  std::unique_ptr<OpProblem> (*problem)(const OpCase& c);
};
constexpr Entry kEntries[] = {
    {OpKind::embed, "embed", op_case::embed_problem},
    {OpKind::norm_mix, "norm_mix", op_case::norm_mix_problem},
    {OpKind::linear, "linear", op_case::linear_problem},
    {OpKind::wkv4, "wkv4", op_case::wkv4_problem},
    {OpKind::wkv5, "wkv5", op_case::wkv5_problem},
    {OpKind::wkv7, "wkv7", op_case::wkv7_problem},
    {OpKind::norm_rows, "norm_rows", op_case::norm_rows_problem},
    {OpKind::score_head, "score_head", op_case::head_problem},
    {OpKind::transfer, "transfer", op_case::transfer_problem},
    {OpKind::add_rows, "add_rows", op_case::add_rows_problem},
    {OpKind::attention, "attention", op_case::attention_problem},
};

constexpr std::string_view kActNames[] = {"none",        "relu2",  "sigmoid", "tanh", "silu",
                                          "exp_neg_exp", "decay7", "relu",    "gelu", "gelu_tanh"};
constexpr std::string_view kCombineNames[] = {"store", "add", "gate_add", "lerp", "gate"};
constexpr std::string_view kPiecesNames[] = {"one", "singles", "mixed"};
constexpr std::pair<Trait, std::string_view> kTraitNames[] = {
    {kBias, "bias"},
    {kNarrow, "narrow"},
    {kTransposed, "transposed"},
    {kInPlace, "in-place"},
    {kLarge, "large"},
    {kTies, "ties"},
    {kBorderTies, "border-ties"},
    {kGate, "gate"},
    {kKeepH, "h"},
    {kNormed, "normed"},
    {kTokenDecay, "token-decay"},
    {kInner, "inner"},
    {kRms, "rms"},
    {kNoBias, "no-bias"},
    {kInterleaved, "interleaved"},
    {kAlibi, "alibi"},
    {kHeadNorm, "head-norm"},
};

double format_bytes(WeightFormat format) {
  switch (format) {
    case WeightFormat::f32:
      return 4;
    case WeightFormat::bf16:
    case WeightFormat::f16:
      return 2;
    case WeightFormat::i8:
    case WeightFormat::f8:
      return 1;
    case WeightFormat::i4:
      return 0.625;
    case WeightFormat::i4g64:
      return 0.5625;
    case WeightFormat::i8g32:
      return 1.0625;
  }
  return 4;
}
double format_bytes(ActivationFormat format) {  // i8 and f8 are made by the product
  return static_cast<double>(Tensor::element_bytes(Ops::product_type(format)));
}

}  // namespace

std::string_view name(OpKind op) {
  return std::find_if(std::begin(kEntries), std::end(kEntries), [op](const Entry& e) { return e.op == op; })
      ->name;
}

std::string name(const OpCase& c) {
  std::string text = fmt::format("{} {}", name(c.op), c.rows);
  if (c.outputs != 0) text += fmt::format("x{}", c.outputs);
  text += fmt::format("x{}", c.inputs);
  if (c.head_size != 0) text += fmt::format("/{}", c.head_size);
  if (c.op == OpKind::attention) {
    text += fmt::format(" kv{} rope{} window{} after{}", c.kv_heads, c.rotary, c.window, c.history);
  }
  text += fmt::format(" {}/{}", name(c.mode.weights), name(c.mode.activations));
  if (c.op == OpKind::linear) {
    text +=
        fmt::format(" {} {}", kActNames[static_cast<int>(c.act)], kCombineNames[static_cast<int>(c.combine)]);
  }
  if (c.pieces != Pieces::one) text += fmt::format(" {}", kPiecesNames[static_cast<int>(c.pieces)]);
  for (const auto& [trait, word] : kTraitNames) {
    if (c.has(trait)) text += fmt::format(" {}", word);
  }
  return text;
}

double flops(const OpCase& c) {
  const double rows = c.rows, inputs = c.inputs, outputs = c.outputs, head = c.head_size;
  switch (c.op) {
    case OpKind::linear:
    case OpKind::score_head:
      return 2 * rows * inputs * outputs;
    case OpKind::wkv4:
      return 14 * rows * inputs;
    case OpKind::wkv5:
      return 7 * rows * inputs * head;
    case OpKind::wkv7:
      return 9 * rows * inputs * head;
    case OpKind::embed:
      return c.has(kNormed) ? 8 * rows * inputs : 0;
    case OpKind::norm_rows:
      return 8 * rows * inputs;
    case OpKind::norm_mix:
      return rows * inputs * (9 + 2 * outputs);
    case OpKind::add_rows:
      return rows * inputs;
    case OpKind::attention:
      return 4 * inputs * op_case::seen_tokens(c);
    case OpKind::transfer:
      return 0;
  }
  return 0;
}

double bytes(const OpCase& c) {
  const double rows = c.rows, inputs = c.inputs, outputs = c.outputs, head = c.head_size;
  const double narrow = format_bytes(c.mode.activations),
               sequences = op_case::sequences(c.pieces, c.rows).pieces.size();
  switch (c.op) {
    case OpKind::linear: {
      const double result = rows * outputs;
      const double read = c.combine == Combine::store ? 0 : c.combine == Combine::add ? 4 : 8;
      return inputs * outputs * format_bytes(c.mode.weights) + rows * inputs * narrow +
             result * (c.has(kNarrow) ? 2 : 4) + result * read;
    }
    case OpKind::score_head:
      return inputs * outputs * format_bytes(c.mode.weights) + rows * inputs * narrow + rows * 16;
    case OpKind::wkv4:
      return rows * inputs * (12 + narrow) + sequences * inputs * 32;
    case OpKind::wkv5:
      return rows * inputs * (12 + (c.has(kGate) ? 4 : 0) + (c.has(kTokenDecay) ? 4 : 0) + narrow) +
             sequences * inputs * head * 8;
    case OpKind::wkv7:
      return rows * inputs * (24 + narrow) + sequences * inputs * head * 8;
    case OpKind::embed:
      return rows * inputs * 8;
    case OpKind::norm_rows:
      return rows * inputs * (4 + narrow);
    case OpKind::norm_mix:
      return rows * inputs * (4 + outputs * narrow + (c.has(kKeepH) ? 8 : 0)) + sequences * inputs * 8;
    case OpKind::add_rows:
      return rows * inputs * 12;
    case OpKind::attention:
      // Queries and results; new keys and values, and once what was there before.
      return rows * inputs * (4 + narrow) +
             2 * c.kv_heads * head * (rows * (4 + narrow) + op_case::history_tokens(c) * narrow);
    case OpKind::transfer:
      return inputs * 8;
  }
  return 0;
}

std::unique_ptr<OpProblem> make_problem(const OpCase& c) {
  for (const Entry& entry : kEntries) {
    if (entry.op == c.op) return entry.problem(c);
  }
  throw std::logic_error("an op case of no operation");
}

OpVerdict judge(std::span<const Expected> expected, const std::vector<std::vector<float>>& outputs) {
  OpVerdict verdict;
  if (expected.size() != outputs.size()) {
    verdict.complaint = fmt::format("{} outputs instead of {}", outputs.size(), expected.size());
    return verdict;
  }
  double worst_excess = 0;
  for (std::size_t o = 0; o < outputs.size(); ++o) {
    const Expected& e = expected[o];
    if (outputs[o].size() != e.value.size()) {
      verdict.complaint =
          fmt::format("{} has {} values instead of {}", e.what, outputs[o].size(), e.value.size());
      return verdict;
    }
    for (std::size_t i = 0; i < e.value.size(); ++i) {
      const double off = std::abs(outputs[o][i] - e.value[i]);
      if (e.allowed[i] > 0 && off <= e.allowed[i])
        verdict.worst = std::max(verdict.worst, off / e.allowed[i]);
      if (off <= e.allowed[i]) continue;
      const double excess =
          std::isfinite(off) ? off / (e.allowed[i] + 1e-300) : 1e308;  // NaN is the worst of all
      if (excess > worst_excess) {
        worst_excess = excess;
        verdict.worst = excess;
        verdict.complaint = fmt::format("{}[{}] is {:.9g}, must be {:.9g} +- {:.2g}", e.what, i,
                                        outputs[o][i], e.value[i], e.allowed[i]);
      }
    }
  }
  return verdict;
}

}  // namespace deciban

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

enum class Kind { cpu, accelerator };

std::vector<NumericMode> modes_of(std::initializer_list<const char*> words) {
  std::vector<NumericMode> modes;
  for (const char* word : words) modes.push_back(numeric_mode(word));
  return modes;
}
std::vector<NumericMode> all_modes(Kind kind) {
  return kind == Kind::cpu
             ? modes_of({"f32", "bf16", "bf16a", "f16", "int8", "int8a", "int4", "int4g64"})
             : modes_of({"f32", "bf16", "bf16a", "f16", "f16a", "int8", "w8a16", "int8a", "fp8"});
}
// For operations without weights: results of every type.
std::vector<NumericMode> all_results(Kind kind) {
  return kind == Kind::cpu ? modes_of({"f32", "bf16a"}) : modes_of({"f32", "bf16a", "f16a"});
}

// Every combination of the lists is a case.
struct Grid {
  OpKind op;
  Sizes rows, outputs, inputs, head_sizes = {0};
  std::vector<NumericMode> modes = {NumericMode{}};
  std::vector<Act> acts = {Act::none};
  std::vector<Combine> combines = {Combine::store};
  std::vector<Pieces> pieces = {Pieces::one};
  std::vector<unsigned> traits = {kPlain};
  std::size_t kv_heads = 0, rotary = 0, window = 0, history = 0;
};

std::vector<Grid> grids(Kind kind) {
  static const std::vector<Act> acts = {Act::none, Act::relu2,       Act::sigmoid, Act::tanh,
                                        Act::silu, Act::exp_neg_exp, Act::decay7,  Act::relu,
                                        Act::gelu, Act::gelu_tanh};
  static const std::vector<Pieces> layouts = {Pieces::one, Pieces::singles, Pieces::mixed};
  return {
      {.op = OpKind::embed,
       .rows = {1, 13},
       .outputs = {257},
       .inputs = {1, 17, 64, 65, 768},
       .traits = {kPlain, kNormed, kNormed | kLarge}},
      {.op = OpKind::norm_mix,
       .rows = {1, 2, 7, 130},
       .outputs = {1, 6, 8},
       .inputs = {16, 48, 64, 80, 1040},
       .modes = all_results(kind),
       .pieces = layouts,
       .traits = {kPlain, kKeepH | kLarge}},
      {.op = OpKind::norm_mix,
       .rows = {13},
       .outputs = {0},
       .inputs = {64},
       .pieces = layouts,
       .traits = {kKeepH}},
      // Every shape in every mode: tails of panels, of row tiles, of pairs of inputs, and of blocks of
      // inputs.
      {.op = OpKind::linear,
       .rows = {1, 2, 5, 6, 7, 13, 130},
       .outputs = {1, 17, 63, 64, 65, 257},
       .inputs = {1, 31, 64, 1025, 3000},
       .modes = all_modes(kind)},
      // Every epilogue; 67 = 4 * 16 + 3 outputs leave a tail in every vector width.
      {.op = OpKind::linear,
       .rows = {7},
       .outputs = {67},
       .inputs = {48, 1025},
       .modes = all_modes(kind),
       .acts = acts,
       .combines = {Combine::store, Combine::add, Combine::gate_add, Combine::lerp, Combine::gate},
       .traits = {kPlain, kBias}},
      {.op = OpKind::linear,
       .rows = {7, 25},
       .outputs = {67},
       .inputs = {48},
       .modes = all_modes(kind),
       .acts = acts,
       .combines = {Combine::store, Combine::lerp, Combine::gate},
       .traits = {kNarrow | kBias}},
      {.op = OpKind::linear,
       .rows = {1, 60},
       .outputs = {96},
       .inputs = {65},
       .modes = all_modes(kind),
       .acts = {Act::sigmoid},
       .combines = {Combine::lerp},
       .traits = {kInPlace | kBias}},
      {.op = OpKind::linear,
       .rows = {13},
       .outputs = {65, 257},
       .inputs = {31, 64},
       .modes = all_modes(kind),
       .traits = {kTransposed}},
      {.op = OpKind::wkv4,
       .rows = {1, 6, 130},
       .outputs = {0},
       .inputs = {16, 48, 64, 80, 272},
       .modes = all_results(kind),
       .pieces = layouts,
       .traits = {kPlain, kLarge}},
      {.op = OpKind::wkv5,
       .rows = {1, 7, 130},
       .outputs = {0},
       .inputs = {128},
       .head_sizes = {8, 16, 32, 64, 128},
       .modes = all_results(kind),
       .pieces = layouts,
       .traits = {kPlain, kGate, kTokenDecay, kTokenDecay | kGate}},
      {.op = OpKind::wkv5,
       .rows = {33},
       .outputs = {0},
       .inputs = {240},
       .head_sizes = {48, 80},
       .traits = {kGate, kTokenDecay | kGate}},
      {.op = OpKind::wkv7,
       .rows = {1, 7, 130},
       .outputs = {0},
       .inputs = {128},
       .head_sizes = {8, 16, 32, 64, 128},
       .modes = all_results(kind),
       .pieces = layouts},
      {.op = OpKind::wkv7, .rows = {33}, .outputs = {0}, .inputs = {240}, .head_sizes = {48, 80}},
      {.op = OpKind::norm_rows,
       .rows = {1, 2, 13},
       .outputs = {0},
       .inputs = {1, 17, 64, 65, 257, 1025},
       .modes = all_results(kind),
       .traits = {kPlain, kLarge}},
      {.op = OpKind::score_head,
       .rows = {1, 13},
       .outputs = {257, 4096, 4097},
       .inputs = {64},
       .modes = all_modes(kind),
       .traits = {kPlain, kLarge, kTies}},
      {.op = OpKind::score_head,
       .rows = {130},
       .outputs = {257},
       .inputs = {31, 1025},
       .modes = all_modes(kind)},
      {.op = OpKind::score_head,
       .rows = {13},
       .outputs = {8200},
       .inputs = {48},
       .modes = all_modes(kind),
       .traits = {kPlain, kTies, kBorderTies}},
      {.op = OpKind::score_head,
       .rows = {13},
       .outputs = {50277},
       .inputs = {32},
       .modes = all_modes(kind),
       .traits = {kPlain, kTies, kBorderTies}},
      {.op = OpKind::transfer,
       .rows = {1, 13},
       .outputs = {2, 5},
       .inputs = {1, 31, 64, 257},
       .modes = all_results(kind)},
  };
}

// What transformers need beyond RWKV.
std::vector<Grid> transformer_grids(Kind kind) {
  static const std::vector<Pieces> layouts = {Pieces::one, Pieces::singles, Pieces::mixed};
  const std::vector<NumericMode> results = all_results(kind);
  std::vector<Grid> all = {
      {.op = OpKind::norm_rows,
       .rows = {1, 13},
       .outputs = {0},
       .inputs = {1, 17, 64, 257, 1025},
       .modes = results,
       .traits = {kRms, kNoBias, kRms | kNoBias, kRms | kLarge}},
      {.op = OpKind::add_rows, .rows = {1, 13}, .outputs = {40}, .inputs = {1, 17, 64, 768}},
  };
  struct Shape {
    std::size_t heads, kv_heads, head_size, rotary, window, history;
    unsigned traits;
  };
  const Shape shapes[] = {
      {3, 3, 64, 16, 0, 0, kPlain},           {4, 4, 64, 0, 0, 130, kAlibi},
      {4, 2, 32, 32, 0, 63, kInterleaved},    {6, 1, 64, 64, 70, 200, kPlain},
      {2, 2, 80, 20, 0, 64, kPlain},          {4, 2, 16, 16, 17, 1, kHeadNorm},
      {1, 1, 20, 8, 0, 5, kHeadNorm},         {2, 1, 128, 128, 64, 300, kInterleaved | kHeadNorm},
      {16, 2, 8, 8, 0, 129, kAlibi | kLarge}, {2, 2, 2, 2, 1, 3, kPlain},
  };
  for (const Shape& s : shapes) {
    Grid grid{.op = OpKind::attention,
              .rows = kind == Kind::cpu ? Sizes{1, 7, 130, 200} : Sizes{1, 7, 130},
              .outputs = {0},
              .inputs = {s.heads * s.head_size},
              .head_sizes = {s.head_size},
              .modes = results,
              .pieces = layouts,
              .traits = {s.traits}};
    grid.kv_heads = s.kv_heads;
    grid.rotary = s.rotary;
    grid.window = s.window;
    grid.history = s.history;
    all.push_back(std::move(grid));
  }
  return all;
}

// Heads that accelerators have kernels of their own for, with sequences of many tiles, groups larger than an
// instruction's rows, and narrow inputs.
std::vector<Grid> wide_attention_grids() {
  struct Shape {
    std::size_t heads, kv_heads, head_size, rotary, window, history;
    std::vector<Pieces> pieces;
    unsigned traits;
  };
  const std::vector<Pieces> many = {Pieces::one, Pieces::mixed}, single = {Pieces::singles};
  const Shape shapes[] = {
      {2, 2, 64, 16, 0, 300, many, kPlain},
      {2, 2, 64, 16, 0, 300, single, kPlain},
      {4, 1, 128, 128, 0, 200, many, kInner},
      {4, 1, 128, 128, 0, 200, single, kInner},
      {2, 1, 64, 64, 150, 290, many, kInner | kHeadNorm},
      {2, 1, 64, 64, 150, 290, single, kInner | kHeadNorm},
      {2, 2, 128, 32, 100, 70, many, kInner | kInterleaved},
      {2, 2, 128, 32, 100, 70, single, kInner | kInterleaved},
      {4, 2, 64, 0, 0, 257, many, kAlibi | kInner},
      {4, 2, 64, 0, 0, 257, single, kAlibi | kInner},
      {2, 2, 128, 0, 0, 129, many, kAlibi},
      {2, 2, 128, 0, 0, 129, single, kAlibi},
      {20, 1, 64, 64, 0, 190, single, kInner},
      {2, 1, 80, 20, 0, 200, many, kInner},
      {2, 1, 80, 20, 0, 200, single, kInner},
      {1, 1, 256, 64, 90, 130, many, kPlain},
      {1, 1, 256, 64, 90, 130, single, kPlain},
      {2, 1, 256, 256, 0, 64, many, kInner | kAlibi},
      {2, 1, 256, 256, 0, 64, single, kInner | kAlibi},
      {1, 1, 320, 64, 0, 70, many, kPlain},
      {1, 1, 320, 64, 0, 70, single, kPlain},
      {2, 1, 96, 96, 0, 66, many, kInner},
      {2, 1, 96, 96, 0, 66, single, kInner},
  };
  std::vector<Grid> all;
  for (const Shape& s : shapes) {
    Grid grid{.op = OpKind::attention,
              .rows = s.pieces == single ? Sizes{9} : Sizes{300},
              .outputs = {0},
              .inputs = {s.heads * s.head_size},
              .head_sizes = {s.head_size},
              .modes = modes_of({"f32", "bf16a", "f16a"}),
              .pieces = s.pieces,
              .traits = {s.traits}};
    grid.kv_heads = s.kv_heads;
    grid.rotary = s.rotary;
    grid.window = s.window;
    grid.history = s.history;
    all.push_back(std::move(grid));
  }
  return all;
}

// What accelerators keep narrow between products and recurrences.
std::vector<Grid> inner_grids() {
  static const std::vector<Pieces> layouts = {Pieces::one, Pieces::singles, Pieces::mixed};
  const std::vector<NumericMode> narrow = modes_of({"bf16a", "f16a"});
  return {
      {.op = OpKind::linear,
       .rows = {1, 7, 60, 130},
       .outputs = {67, 96},
       .inputs = {48, 1025},
       .modes = modes_of({"bf16a", "f16a", "w8a16", "fp8"}),
       .acts = {Act::sigmoid, Act::none},
       .combines = {Combine::gate_add, Combine::lerp},
       .traits = {kInner | kBias}},
      {.op = OpKind::linear,
       .rows = {1, 7, 60, 300},
       .outputs = {96, 257},
       .inputs = {64, 65},
       .modes = modes_of({"bf16a", "f16a", "w8a16", "fp8"}),
       .acts = {Act::sigmoid},
       .combines = {Combine::lerp},
       .traits = {kInner | kInPlace | kBias}},
      {.op = OpKind::wkv4,
       .rows = {1, 6, 130},
       .outputs = {0},
       .inputs = {16, 80, 272},
       .modes = narrow,
       .pieces = layouts,
       .traits = {kInner}},
      {.op = OpKind::wkv5,
       .rows = {1, 7, 130, 300},
       .outputs = {0},
       .inputs = {128},
       .head_sizes = {32, 64, 128},
       .modes = narrow,
       .pieces = layouts,
       .traits = {kInner, kInner | kGate, kInner | kTokenDecay | kGate}},
      {.op = OpKind::wkv7,
       .rows = {1, 7, 130, 300},
       .outputs = {0},
       .inputs = {128},
       .head_sizes = {32, 64, 128},
       .modes = narrow,
       .pieces = layouts,
       .traits = {kInner}},
      // Shapes of whole tiles, as models have them.
      {.op = OpKind::linear,
       .rows = {128, 384},
       .outputs = {64, 256, 512},
       .inputs = {64, 256, 768},
       .modes = all_modes(Kind::accelerator),
       .acts = {Act::none, Act::relu2},
       .traits = {kPlain, kNarrow}},
      {.op = OpKind::score_head,
       .rows = {300},
       .outputs = {4096},
       .inputs = {128},
       .modes = all_modes(Kind::accelerator)},
  };
}

void expand(const Grid& g, std::vector<OpCase>& cases) {
  OpCase c;
  c.op = g.op;
  c.kv_heads = g.kv_heads;
  c.rotary = g.rotary;
  c.window = g.window;
  c.history = g.history;
  for (const std::size_t rows : g.rows) {
    c.rows = rows;
    for (const std::size_t outputs : g.outputs) {
      c.outputs = outputs;
      for (const std::size_t inputs : g.inputs) {
        c.inputs = inputs;
        for (const std::size_t head_size : g.head_sizes) {
          c.head_size = head_size;
          for (const NumericMode& mode : g.modes) {
            c.mode = mode;
            for (const Act act : g.acts) {
              c.act = act;
              for (const Combine combine : g.combines) {
                c.combine = combine;
                for (const Pieces pieces : g.pieces) {
                  c.pieces = pieces;
                  for (const unsigned traits : g.traits) {
                    c.traits = traits;
                    cases.push_back(c);
                  }
                }
              }
            }
          }
        }
      }
    }
  }
}

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

const std::vector<OpCase>& op_cases() {
  static const std::vector<OpCase> all = [] {
    std::vector<OpCase> cases;
    for (const Grid& grid : grids(Kind::cpu)) expand(grid, cases);
    for (const Grid& grid : transformer_grids(Kind::cpu)) expand(grid, cases);
    return cases;
  }();
  return all;
}

const std::vector<OpCase>& accelerator_op_cases() {
  static const std::vector<OpCase> all = [] {
    std::vector<OpCase> cases;
    for (const Grid& grid : grids(Kind::accelerator)) expand(grid, cases);
    for (const Grid& grid : transformer_grids(Kind::accelerator)) expand(grid, cases);
    for (const Grid& grid : inner_grids()) expand(grid, cases);
    for (const Grid& grid : wide_attention_grids()) expand(grid, cases);
    // Models ask for narrow results where products read narrow inputs.
    std::erase_if(cases, [](const OpCase& c) {
      return c.has(kNarrow) && Ops::product_type(c.mode.activations) == Tensor::Type::f32;
    });
    return cases;
  }();
  return all;
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

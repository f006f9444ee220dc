// Which cases of operations there are: every combination of lists of shapes, modes and traits.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "engine/op_case_data.h"
#include "engine/op_cases.h"

namespace deciban {
namespace {

using Act = Epilogue::Act;
using Combine = Epilogue::Combine;
using Sizes = std::vector<std::size_t>;

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

// Weights in groups on accelerators: by f32 as on the CPU, and by bf16 as models are computed there.
std::vector<Grid> group_grids() {
  std::vector<NumericMode> modes = modes_of({"int4", "int4g64"}), narrow;
  for (const WeightFormat format : {WeightFormat::i4, WeightFormat::i4g64, WeightFormat::i8g32})
    narrow.push_back({format, ActivationFormat::bf16});
  modes.insert(modes.end(), narrow.begin(), narrow.end());
  return {
      {.op = OpKind::linear,
       .rows = {1, 3, 8, 16, 17, 130},
       .outputs = {1, 65, 257},
       .inputs = {1, 31, 64, 100, 1025, 3000},
       .modes = modes},
      {.op = OpKind::linear,
       .rows = {7},
       .outputs = {67},
       .inputs = {48, 1025},
       .modes = narrow,
       .acts = {Act::none, Act::relu2, Act::decay7},
       .combines = {Combine::store, Combine::add, Combine::gate_add, Combine::lerp},
       .traits = {kPlain, kBias}},
      {.op = OpKind::linear,
       .rows = {13, 25},
       .outputs = {65, 257},
       .inputs = {31, 64},
       .modes = narrow,
       .traits = {kTransposed, kNarrow}},
      {.op = OpKind::score_head,
       .rows = {1, 130},
       .outputs = {257, 4097},
       .inputs = {64},
       .modes = narrow,
       .traits = {kPlain, kTies}},
  };
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

}  // namespace

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
    for (const Grid& grid : group_grids()) expand(grid, cases);
    for (const Grid& grid : wide_attention_grids()) expand(grid, cases);
    // Models ask for narrow results where products read narrow inputs.
    std::erase_if(cases, [](const OpCase& c) {
      return c.has(kNarrow) && Ops::product_type(c.mode.activations) == Tensor::Type::f32;
    });
    return cases;
  }();
  return all;
}

}  // namespace deciban

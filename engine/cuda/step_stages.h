// One step of one sequence as a list of stages, which one resident kernel works through: between stages all
// its blocks meet.  Made by StepRecorder, run by StepProgram.
#pragma once

#include "engine/cuda/few_dot.cuh"
#include "engine/cuda/kv_layout.h"
#include "engine/cuda/wkv_heads.cuh"

namespace deciban::cuda {

constexpr int kStepWarps = 16;  // of a block

// Attention of one row (step_attention.cuh): a head's keys are shared by `splits` blocks.
struct StepAttention {
  KvView kv;
  const void *q = nullptr, *k = nullptr, *v = nullptr;  // the inner type
  int heads = 0, group = 1, splits = 1, lanes = 8;
  int window = 0, rotary = 0;
  bool interleaved = false;
  const float *frequencies = nullptr, *slopes = nullptr;
  float magnitude = 1, scale = 1;
  float* sums = nullptr;   // [heads][splits][size]
  float2* ends = nullptr;  // [heads][splits]: maximum and total
  unsigned memory = 0;     // bytes from the start of shared memory
};
// What it left behind, for the products that read it.
struct StepShares {
  const float* sums = nullptr;
  const float2* ends = nullptr;
  int splits = 0, size = 0;
};

// The part of shared memory that attention takes.
struct StepAttentionMemory {
  static constexpr int kMostSize = 256;
  float q[kMostSize], k[kMostSize], v[kMostSize];
  float2 turns[kMostSize / 2];
  float sums[kStepWarps][kMostSize];
  float2 ends[kStepWarps];
};

struct alignas(16) StepStage {
  static constexpr int kMostProducts = 8, kMostMixes = 8;
  static constexpr int kWarps = kStepWarps;  // of a block
  static constexpr int kMostColumns = 5120;  // of a row that is normalised
  static constexpr int kMostBlocks = 256;
  static constexpr unsigned kMostShared = 208 << 10;

  enum class Kind { embed, mix, products, heads, wkv4, attention };
  Kind kind = Kind::mix;

  // embed: a table's row to mix.x, normalised if mix.weight is given.
  const void* table = nullptr;
  Tensor::Type table_type = Tensor::Type::f32;

  // mix: a row's norm, its difference to the row before (`shift`, null: a norm alone) and its mixes. Products
  // may begin with one: then each block makes for itself what it reads, and `h` takes the row that the next
  // stage moves into the state.
  struct Mix {
    float* x = nullptr;
    int columns = 0;  // 0: products of finished rows
    const float *weight = nullptr, *bias = nullptr;
    float eps = 0;
    bool centred = true;  // false: a root-mean-square norm, whose bias may be null, as all but RWKV's may
    // A second norm of the same row, which is out[1]; out[0] is the first.
    const float *second_weight = nullptr, *second_bias = nullptr;
    float *shift = nullptr, *h = nullptr;
    int count = 0;
    const float* by[kMostMixes] = {};  // null: the normalised row itself
    View out[kMostMixes] = {};         // mix alone
    View normed = {}, before = {};     // mix alone, if wanted
  } mix;

  // products: outputs are numbered through, `a_block` of them for each block; 2^split warps share an output's
  // inputs.
  int count = 0, outputs = 0, a_block = 0, split = 0;
  Few at[kMostProducts] = {};
  int mixed[kMostProducts] = {};  // which mix a product reads; -1: its own x
  // Of each block: the product of its first output, and (bits) the mixes that its outputs read.
  unsigned char first_product[kMostBlocks] = {}, needed[kMostBlocks] = {};
  // In shared memory: where a product's inputs begin, in elements; the mix's parameters, and the end, in
  // bytes.
  int place[kMostProducts] = {};
  unsigned parameters = 0, shared = 0;

  // A product of what attention found: which one, -1: none.
  int joined = -1;
  StepShares shares;

  // attention; products that wait for nothing from it may be beside it.
  StepAttention attention;

  // heads, and wkv4 with w in `decay`, u in `bonus` and the channels in `size`.
  int version = 0;
  HeadsArgs heads = {};

  // The state of a token shift, moved beside the stage's work, when all have read the old one.
  const float* moved_from = nullptr;
  float* moved_to = nullptr;
  int moved = 0;
};

}  // namespace deciban::cuda

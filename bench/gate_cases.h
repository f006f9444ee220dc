// The cases whose speed the gate watches: the operations of a small model while it decodes (one row) and
// while it scores (a chunk), in the modes that have kernels of their own.
#pragma once

#include <string>
#include <vector>

#include "engine/op_cases.h"

namespace deciban {

// Small enough that a process makes the inputs of all of them in a fraction of a second.
const std::vector<OpCase>& gate_cases();

// A case where it runs: "linear 64x384x384 f32/f32 none store @avx2".
struct PlacedCase {
  OpCase op;
  std::string place;  // a kernel table of the CPU, or a device ("cuda:0")
};
std::string name(const PlacedCase& c);

}  // namespace deciban

// Loops of independent multiply-adds, one for each instruction that a kernel table may multiply with:
// roofline_x86.cc or roofline_aarch64.cc, of which the build takes one.
#pragma once

#include <span>
#include <string_view>

#include "engine/ops.h"

namespace deciban {

struct Instruction {
  std::string_view name;
  void (*work)(long rounds);  // each round: `chains` instructions that do not depend on each other
  int chains;
  int operations;  // of one instruction; a multiply-add counts two
  bool (*supported)();
};
std::span<const Instruction> instructions();

// The name of the one that a kernel table multiplies with in a numeric mode.
std::string_view instruction_of(std::string_view kernels, NumericMode mode);

// A moment's pause in a loop that waits for other threads.
void relax();

}  // namespace deciban

// Mathematics out of a token stream as one line of TeX, with the paper's own macros expanded.
#pragma once

#include <string>
#include <string_view>

#include "datasets/latex_macros.h"

namespace deciban {

// Where a formula that was just begun ends.
struct MathEnd {
  enum class Kind { dollar, double_dollar, parenthesis, bracket, environment };
  Kind kind = Kind::dollar;
  std::string environment;  // its name
};

// Reads up to the formula's end, which is consumed.  A formula that does not end before a blank line (inline)
// or the file does ends there.  Throws LatexLimit.
std::string read_math(LatexStream& stream, const MathEnd& end);

}  // namespace deciban

// A paper's LaTeX source → its text by parts.
#pragma once

#include <cstddef>

#include "datasets/latex_input.h"
#include "datasets/latex_macros.h"
#include "datasets/paper.h"

namespace deciban {

// Walks over the source beginning with file `main`.  Never throws for what the source contains: where a limit
// is exceeded the paper has `reason`.
Paper paper_from_latex(const LatexSource& source, std::size_t main, const PaperOptions& options,
                       const LatexLimits& limits = {});

}  // namespace deciban

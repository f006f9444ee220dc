// The transforms of single data sets' texts, as lm-evaluation-harness does them.
#pragma once

#include <string>
#include <string_view>

namespace deciban {

// HellaSwag: stripped, " [title]" becomes ". ", what stands in square brackets goes, two spaces become one
// (in one pass).
std::string hellaswag_text(std::string_view text);

// WikiText: the spaces of its tokenisation taken out again, in the harness's order of replacements.
std::string wikitext_text(std::string_view page);

}  // namespace deciban

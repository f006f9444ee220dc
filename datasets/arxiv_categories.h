// arXiv's subject categories, so that a misspelled one is noticed before anything is asked for.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace deciban {

// "cs.CL", "hep-th", … in alphabetical order.
std::span<const std::string_view> arxiv_categories();

// Whether the word is a category, or an archive that has several ("cs").
bool is_arxiv_category(std::string_view word);
bool is_arxiv_archive(std::string_view word);

// Whether a paper's category is the one asked for, or of the archive asked for.
bool in_category(std::string_view category, std::string_view asked);

}  // namespace deciban

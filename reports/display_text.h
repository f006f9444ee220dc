// Text as it may be shown: no byte of it can move the cursor, break a table or change the reading direction.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace deciban {

// Line breaks and tabs become spaces; other control characters, direction marks and bytes that are not UTF-8
// become U+FFFD.
std::string display_text(std::string_view text);
// Columns that a display_text() takes on a terminal: 2 for wide characters, 0 for combining ones.
std::size_t display_width(std::string_view text);
// A display_text() of at most `width` columns: its middle replaced by an ellipsis if it is wider.
std::string shorten_middle(std::string_view text, std::size_t width);

}  // namespace deciban

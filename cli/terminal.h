// What the terminal can show: its width, and whether colour is wanted.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace deciban {

enum class ColorWhen { automatic, always, never };
ColorWhen parse_color(const std::string& word);  // "auto", "always", "never"; throws std::invalid_argument

bool is_terminal(int file);
// Columns of the terminal at `file`; of $COLUMNS or 100 where it is none.
std::size_t terminal_width(int file);
// NO_COLOR (set and not empty) and TERM=dumb turn `automatic` off, as does a file that is no terminal.
bool wants_color(ColorWhen when, int file);

// Breaks a text at spaces into lines of at most `width` columns; the second and later lines are indented.
std::vector<std::string> wrap(std::string_view text, std::size_t width, std::size_t indent = 0);

// "1:02:03", "4:05".
std::string clock_time(double seconds);
// "1.53 MB".
std::string byte_count(double bytes);

}  // namespace deciban

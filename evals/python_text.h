// Python's string methods on UTF-8: tasks were defined in Python, and their texts must come out the same to
// the byte.  Bytes that are not UTF-8 pass through unchanged and count as one character each.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace deciban::python {

// str.isspace() of one character: Unicode's white space and the separators U+001C … U+001F.
bool is_space(char32_t character);

std::string_view lstrip(std::string_view text);
std::string_view rstrip(std::string_view text);
std::string_view strip(std::string_view text);
// How many bytes rstrip() takes away.
std::size_t trailing_space(std::string_view text);

// str.lower() with the rule for a final sigma.
std::string lower(std::string_view text);
// str.capitalize(): the first character in title case (ß becomes Ss), all others in lower case.
std::string capitalize(std::string_view text);
// The first character alone in lower case (İ becomes two), the rest as it is.
std::string lower_first(std::string_view text);

// str.isdigit(): not empty, and all characters are decimal digits or digits of another form (², ①).
bool is_digits(std::string_view text);

// len(text): code points.
std::size_t length(std::string_view text);
// text[:-1].
std::string_view without_last(std::string_view text);

// text.split(separator); an empty separator is white space, as text.split() without an argument.
std::vector<std::string> split(std::string_view text, std::string_view separator);
// len(re.split(r"\s+", text)): empty fields at the ends count.
std::size_t fields_between_space(std::string_view text);
// text.replace(from, to); `from` must not be empty.
std::string replace(std::string_view text, std::string_view from, std::string_view to);

// repr(value) of a float: "0.1", "1e-05", "1e+16", "-inf", "nan".
std::string repr(double value);
// json.dumps(text) with ensure_ascii: everything beyond ASCII as \uXXXX.
std::string ascii_json(std::string_view text);

}  // namespace deciban::python

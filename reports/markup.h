// HTML and SVG as a tree: every text and attribute is escaped when the tree is written, so no name or text of
// a record can become markup.
#pragma once

#include <pugixml.hpp>
#include <string>
#include <string_view>

namespace deciban {

using Node = pugi::xml_node;

// A new last child; `kind` becomes its class attribute.
Node add(Node parent, const char* name, std::string_view kind = "");
// The same with a text in it.
Node add_text(Node parent, const char* name, std::string_view text, std::string_view kind = "");
// A text as it may be shown (display_text()).
void put_text(Node parent, std::string_view text);
// The same, but line feeds and tabs stay: for texts in <pre>.
void put_lines(Node parent, std::string_view text);
// A name from a record: set apart from its surroundings whatever its writing direction, shortened in the
// middle to `width` columns, the rest of it in its title.
Node add_name(Node parent, std::string_view name, std::size_t width = 40);
void put(Node node, const char* attribute, std::string_view value);
// With at most two decimals, as pixels need; NaN and infinity are refused with std::logic_error.
void put(Node node, const char* attribute, double value);

// The number as put() writes it.
std::string pixels(double value);

// The document with "<!DOCTYPE html>" before it: void elements unclosed, all others closed, no blank between.
std::string html_text(const pugi::xml_document& document);
// One SVG element as a file of its own.
std::string svg_text(Node svg);

}  // namespace deciban

// XML elements by their namespace: prefixes are the writer's choice, and arXiv's have changed.
#pragma once

#include <pugixml.hpp>
#include <string>
#include <string_view>

namespace deciban {

// Whether `node` is the element `local` of the namespace `uri`.
bool is_element(const pugi::xml_node& node, std::string_view uri, std::string_view local);
// The first such child; a null node if there is none.
pugi::xml_node child_of(const pugi::xml_node& parent, std::string_view uri, std::string_view local);
// All text of a node, with each run of white space made one space and none at the ends.
std::string normal_text(const pugi::xml_node& node);
std::string normal_space(std::string_view text);

// Parses a document.  Throws std::runtime_error saying what is wrong and what the bytes look like instead.
void parse_xml(std::string_view bytes, pugi::xml_document& document);

}  // namespace deciban

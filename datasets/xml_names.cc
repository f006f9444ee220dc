#include "datasets/xml_names.h"

#include <fmt/format.h>

#include <stdexcept>

namespace deciban {
namespace {

// The namespace that `prefix` stands for at `node`; empty if it is not declared.
std::string_view namespace_of(pugi::xml_node node, std::string_view prefix) {
  for (; node.type() == pugi::node_element; node = node.parent()) {
    for (const pugi::xml_attribute& attribute : node.attributes()) {
      std::string_view name = attribute.name();
      if (!name.starts_with("xmlns")) continue;
      name.remove_prefix(5);
      if (prefix.empty() ? name.empty()
                         : name.size() == prefix.size() + 1 && name[0] == ':' && name.ends_with(prefix))
        return attribute.value();
    }
  }
  return "";
}

void append_text(const pugi::xml_node& node, std::string& text) {
  // Children in document order without recursion: depth is the writer's choice too.
  pugi::xml_node at = node.first_child();
  while (at) {
    if (at.type() == pugi::node_pcdata || at.type() == pugi::node_cdata) text += at.value();
    if (at.first_child()) {
      at = at.first_child();
      continue;
    }
    while (at && at != node && !at.next_sibling()) at = at.parent();
    if (!at || at == node) return;
    at = at.next_sibling();
  }
}

}  // namespace

bool is_element(const pugi::xml_node& node, std::string_view uri, std::string_view local) {
  if (node.type() != pugi::node_element) return false;
  const std::string_view name = node.name();
  const std::size_t colon = name.find(':');
  const std::string_view prefix = colon == std::string_view::npos ? "" : name.substr(0, colon);
  if ((colon == std::string_view::npos ? name : name.substr(colon + 1)) != local) return false;
  return namespace_of(node, prefix) == uri;
}

pugi::xml_node child_of(const pugi::xml_node& parent, std::string_view uri, std::string_view local) {
  for (const pugi::xml_node& child : parent.children()) {
    if (is_element(child, uri, local)) return child;
  }
  return {};
}

std::string normal_space(std::string_view text) {
  std::string result;
  bool gap = false;
  for (const char c : text) {
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      gap = !result.empty();
      continue;
    }
    if (gap) result += ' ';
    gap = false;
    result += c;
  }
  return result;
}

std::string normal_text(const pugi::xml_node& node) {
  std::string text;
  append_text(node, text);
  return normal_space(text);
}

void parse_xml(std::string_view bytes, pugi::xml_document& document) {
  const pugi::xml_parse_result result = document.load_buffer(
      bytes.data(), bytes.size(), pugi::parse_default | pugi::parse_ws_pcdata, pugi::encoding_utf8);
  if (result) return;
  const std::string begin = normal_space(bytes.substr(0, 200));
  std::string lower = begin;
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  if (lower.find("<html") != std::string::npos || lower.find("<!doctype html") != std::string::npos)
    throw std::runtime_error("the answer is a web page, not XML");
  throw std::runtime_error(fmt::format("the answer is not well-formed XML: {} at byte {} of {}",
                                       result.description(), result.offset, bytes.size()));
}

}  // namespace deciban

#include "reports/markup.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>

#include "reports/display_text.h"

namespace deciban {
namespace {

constexpr std::size_t kTitleWidth = 300;  // columns of a title: nobody reads a megabyte in a tooltip

constexpr std::array<std::string_view, 6> kVoid{"meta", "link", "br", "hr", "img", "col"};

void escape(std::string& out, std::string_view text, bool attribute) {
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += attribute ? "&quot;" : "\"";
        break;
      default:
        out += c;
    }
  }
}

void write(std::string& out, Node node, bool xml) {
  if (node.type() == pugi::node_pcdata) {
    const bool raw = !xml && std::string_view(node.parent().name()) == "style";
    if (raw) {
      out += node.value();
    } else {
      escape(out, node.value(), false);
    }
    return;
  }
  const std::string_view name = node.name();
  out += '<';
  out += name;
  for (const pugi::xml_attribute attribute : node.attributes()) {
    out += ' ';
    out += attribute.name();
    out += "=\"";
    escape(out, attribute.value(), true);
    out += '"';
  }
  out += '>';
  if (!xml && std::find(kVoid.begin(), kVoid.end(), name) != kVoid.end()) return;
  // A line feed right after <pre> is the parser's, not the text's.
  if (!xml && name == "pre") out += '\n';
  for (const Node child : node.children()) write(out, child, xml);
  out += "</";
  out += name;
  out += '>';
}

}  // namespace

Node add(Node parent, const char* name, std::string_view kind) {
  Node node = parent.append_child(name);
  if (!kind.empty()) put(node, "class", kind);
  return node;
}

Node add_text(Node parent, const char* name, std::string_view text, std::string_view kind) {
  Node node = add(parent, name, kind);
  put_text(node, text);
  return node;
}

void put_text(Node parent, std::string_view text) {
  parent.append_child(pugi::node_pcdata).set_value(display_text(text).c_str());
}

void put_lines(Node parent, std::string_view text) {
  std::string shown;
  while (!text.empty()) {
    const std::size_t stop = std::min(text.find_first_of("\n\t"), text.size());
    shown += display_text(text.substr(0, stop));
    if (stop == text.size()) break;
    shown += text[stop];
    text.remove_prefix(stop + 1);
  }
  parent.append_child(pugi::node_pcdata).set_value(shown.c_str());
}

Node add_name(Node parent, std::string_view name, std::size_t width) {
  const std::string whole = display_text(name.substr(0, 4 * kTitleWidth)),
                    shown = shorten_middle(whole, width);
  Node node = add_text(parent, "bdi", shown);
  if (shown != whole) put(node, "title", shorten_middle(whole, kTitleWidth));
  return node;
}

void put(Node node, const char* attribute, std::string_view value) {
  node.append_attribute(attribute).set_value(display_text(value).c_str());
}

void put(Node node, const char* attribute, double value) { put(node, attribute, pixels(value)); }

std::string pixels(double value) {
  if (!std::isfinite(value)) throw std::logic_error("a chart has a place that is not finite");
  std::string text = fmt::format("{:.2f}", value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.pop_back();
  return text == "-0" ? "0" : text;
}

std::string html_text(const pugi::xml_document& document) {
  std::string out = "<!DOCTYPE html>\n";
  write(out, document.document_element(), false);
  return out + "\n";
}

std::string svg_text(Node svg) {
  std::string out;
  write(out, svg, true);
  return out + "\n";
}

}  // namespace deciban

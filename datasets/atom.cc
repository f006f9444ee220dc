#include "datasets/atom.h"

#include <fmt/format.h>

#include <charconv>
#include <stdexcept>

#include "datasets/xml_names.h"

namespace deciban {
namespace {

constexpr std::string_view kAtom = "http://www.w3.org/2005/Atom";
constexpr std::string_view kSearch = "http://a9.com/-/spec/opensearch/1.1/";
constexpr std::string_view kArxiv = "http://arxiv.org/schemas/atom";

std::size_t number_of(const pugi::xml_node& feed, std::string_view name) {
  const std::string text = normal_text(child_of(feed, kSearch, name));
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    throw std::runtime_error(fmt::format("the feed's {} is '{}', not a number", name, text));
  return value;
}

bool digit(char c) { return c >= '0' && c <= '9'; }

bool is_timestamp(std::string_view text) {
  constexpr std::string_view kShape = "0000-00-00T00:00:00Z";
  if (text.size() < kShape.size()) return false;
  for (std::size_t i = 0; i < kShape.size() - 1; ++i) {
    if (kShape[i] == '0' ? !digit(text[i]) : text[i] != kShape[i]) return false;
  }
  return true;
}

AtomEntry entry_of(const pugi::xml_node& node, const std::string& url) {
  AtomEntry entry;
  const std::size_t abs = url.find("/abs/");
  if (abs == std::string::npos)
    throw std::runtime_error(fmt::format("an entry's id is '{}', not of a paper", url));
  split_arxiv_id(std::string_view(url).substr(abs + 5), entry.id, entry.version);
  entry.published = normal_text(child_of(node, kAtom, "published"));
  entry.updated = normal_text(child_of(node, kAtom, "updated"));
  if (!is_timestamp(entry.published))
    throw std::runtime_error(fmt::format("{}: published is '{}', not a date", entry.id, entry.published));
  entry.title = normal_text(child_of(node, kAtom, "title"));
  entry.abstract = normal_text(child_of(node, kAtom, "summary"));
  entry.comment = normal_text(child_of(node, kArxiv, "comment"));
  for (const pugi::xml_node& child : node.children()) {
    if (is_element(child, kAtom, "category")) entry.categories.emplace_back(child.attribute("term").value());
  }
  entry.primary_category = child_of(node, kArxiv, "primary_category").attribute("term").value();
  if (entry.primary_category.empty() && !entry.categories.empty())
    entry.primary_category = entry.categories.front();
  return entry;
}

}  // namespace

void split_arxiv_id(std::string_view word, std::string& id, int& version) {
  version = 1;
  std::string_view base = word;
  if (const std::size_t v = word.rfind('v');
      v != std::string_view::npos && v + 1 < word.size() && v > 0 && digit(word[v - 1])) {
    const std::string_view digits = word.substr(v + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), version);
    if (error != std::errc() || end != digits.data() + digits.size() || version < 1) version = 0;
    base = word.substr(0, v);
  }
  // It becomes part of URLs and names of files.
  bool good = version > 0 && !base.empty() && base.size() <= 40 && digit(base.back());
  std::size_t slashes = 0;
  for (const char c : base) {
    slashes += c == '/';
    good = good &&
           (digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' || c == '/');
  }
  if (!good || slashes > 1 || base.find("..") != std::string_view::npos || base.front() == '/' ||
      base.front() == '.')
    throw std::runtime_error(fmt::format("'{}' is not an arXiv id", word));
  id = base;
}

AtomFeed parse_atom(std::string_view xml) {
  pugi::xml_document document;
  parse_xml(xml, document);
  const pugi::xml_node feed = document.document_element();
  if (!is_element(feed, kAtom, "feed"))
    throw std::runtime_error(fmt::format("the answer is not an Atom feed: it begins with <{}>", feed.name()));
  AtomFeed result;
  for (const pugi::xml_node& node : feed.children()) {
    if (!is_element(node, kAtom, "entry")) continue;
    const std::string url = normal_text(child_of(node, kAtom, "id"));
    if (url.find("/api/errors") != std::string::npos) {
      result.error = normal_text(child_of(node, kAtom, "summary"));
      if (result.error.empty()) result.error = "an error without a message";
      result.entries.clear();
      return result;
    }
    result.entries.push_back(entry_of(node, url));
  }
  result.total = number_of(feed, "totalResults");
  result.start = number_of(feed, "startIndex");
  return result;
}

}  // namespace deciban

// An HTML page parsed by gumbo within bounds of memory and time.
#pragma once

#include <gumbo.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace deciban {

struct HtmlLimits {
  std::size_t page_bytes = std::size_t{48} << 20;
  std::size_t tree_bytes = std::size_t{1} << 30;
  double seconds = 20;
};

// Owns the page and its tree.  Throws std::runtime_error naming the limit that a page exceeds.
class HtmlTree {
 public:
  // Scripts, styles and what is inside of formulas with an alternative text are left out before parsing:
  // they are most of a page's bytes and none of its text.
  explicit HtmlTree(std::string_view page, const HtmlLimits& limits = {});
  ~HtmlTree();
  HtmlTree(const HtmlTree&) = delete;
  HtmlTree& operator=(const HtmlTree&) = delete;

  const GumboNode* root() const;

 private:
  struct Memory;
  std::string page_;
  std::unique_ptr<Memory> memory_;
  const GumboOutput* output_ = nullptr;
};

// The value of an attribute; empty if there is none.
std::string_view attribute(const GumboNode& element, const char* name);
// Whether `classes` (words separated by spaces) has the word.
bool has_word(std::string_view classes, std::string_view word);
const GumboNode* first_child(const GumboNode& node);   // null if there is none
const GumboNode* next_sibling(const GumboNode& node);  // null if there is none
// The node that follows in document order within `top`, without going into `node` if `inside` is false; null
// at the end.
const GumboNode* next_node(const GumboNode* node, const GumboNode* top, bool inside);

}  // namespace deciban

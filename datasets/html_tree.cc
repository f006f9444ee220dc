#include "datasets/html_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <csetjmp>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace deciban {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::size_t kBlock = std::size_t{1} << 20;
constexpr std::size_t kAlignment = alignof(std::max_align_t);

const GumboVector* children(const GumboNode& node) {
  if (node.type == GUMBO_NODE_ELEMENT || node.type == GUMBO_NODE_TEMPLATE) return &node.v.element.children;
  return node.type == GUMBO_NODE_DOCUMENT ? &node.v.document.children : nullptr;
}

// Copies a page without the insides of <script>, <style> and of <math alttext=…>.
std::string without_bulk(std::string_view page) {
  struct Bulk {
    std::string_view open, close;
  };
  constexpr Bulk kBulk[] = {{"<math", "</math>"}, {"<script", "</script>"}, {"<style", "</style>"}};
  std::string out;
  out.reserve(page.size());
  std::size_t copied = 0;
  std::size_t missing_close[3] = {};  // no such end from here on
  for (std::size_t at = page.find('<'); at != std::string_view::npos; at = page.find('<', at + 1)) {
    for (std::size_t k = 0; k < 3; ++k) {
      const Bulk& bulk = kBulk[k];
      if (missing_close[k] != 0 || page.compare(at, bulk.open.size(), bulk.open) != 0) continue;
      const std::size_t tag_end = page.find('>', at);
      if (tag_end == std::string_view::npos) break;
      const std::string_view tag = page.substr(at, tag_end - at);
      // A formula that has no other version of itself keeps what it has.  A '>' within an attribute's quotes
      // ends the tag too early here: then the quotes do not match, and the formula is left as it is.
      if (k == 0 && (tag.find(" alttext=\"") == std::string_view::npos ||
                     std::count(tag.begin(), tag.end(), '"') % 2 != 0))
        break;
      const std::size_t close = page.find(bulk.close, tag_end);
      if (close == std::string_view::npos) {
        missing_close[k] = 1;
        break;
      }
      out.append(page, copied, tag_end + 1 - copied);
      copied = close;
      at = close;
      break;
    }
  }
  out.append(page, copied);
  return out;
}

}  // namespace

// All of gumbo's memory: given back at once.  Gumbo has no errors to return, so that too much of it is left
// by a long jump; nothing of gumbo's has to be unwound but this memory.
struct HtmlTree::Memory {
  explicit Memory(const HtmlLimits& limits) : limits(limits) {}

  static void* allocate(void* self, std::size_t size) { return static_cast<Memory*>(self)->take(size); }
  static void release(void* /*self*/, void* /*memory*/) {}

  void* take(std::size_t size) {
    // Time is looked at now and then: gumbo allocates with every token.
    if ((++calls & 0xFFF) == 0 &&
        std::chrono::duration<double>(SteadyClock::now() - begun).count() > limits.seconds) {
      std::longjmp(escape, kTooSlow);
    }
    size = (size + kAlignment - 1) / kAlignment * kAlignment;
    if (size > limits.tree_bytes - std::min(limits.tree_bytes, total)) std::longjmp(escape, kTooLarge);
    total += size;
    if (size > left) {
      const std::size_t block = std::max(size, kBlock);
      char* const fresh = static_cast<char*>(std::malloc(block));
      if (!fresh) std::longjmp(escape, kTooLarge);
      blocks.push_back(fresh);
      next = fresh;
      left = block;
    }
    void* const result = next;
    next += size;
    left -= size;
    return result;
  }

  ~Memory() {
    for (char* block : blocks) std::free(block);
  }

  static constexpr int kTooLarge = 1, kTooSlow = 2;
  const HtmlLimits limits;
  const SteadyClock::time_point begun = SteadyClock::now();
  std::jmp_buf escape;
  std::vector<char*> blocks;
  char* next = nullptr;
  std::size_t left = 0, total = 0, calls = 0;
};

HtmlTree::HtmlTree(std::string_view page, const HtmlLimits& limits) {
  if (page.size() > limits.page_bytes)
    throw std::runtime_error(fmt::format("the page takes more than {} bytes: refused", limits.page_bytes));
  page_ = without_bulk(page);
  memory_ = std::make_unique<Memory>(limits);
  GumboOptions options = kGumboDefaultOptions;
  options.allocator = Memory::allocate;
  options.deallocator = Memory::release;
  options.userdata = memory_.get();
  options.max_errors = 0;
  // No object with a destructor may come to life between here and the jump.
  const int escaped = setjmp(memory_->escape);
  if (escaped == 0) {
    output_ = gumbo_parse_with_options(&options, page_.data(), page_.size());
    return;
  }
  memory_.reset();
  if (escaped == Memory::kTooSlow)
    throw std::runtime_error(
        fmt::format("the page takes more than {} seconds to parse: refused", limits.seconds));
  throw std::runtime_error(
      fmt::format("the page's elements take more than {} bytes: refused", limits.tree_bytes));
}

HtmlTree::~HtmlTree() = default;

const GumboNode* HtmlTree::root() const { return output_->root; }

std::string_view attribute(const GumboNode& element, const char* name) {
  if (element.type != GUMBO_NODE_ELEMENT && element.type != GUMBO_NODE_TEMPLATE) return {};
  const GumboAttribute* const found = gumbo_get_attribute(&element.v.element.attributes, name);
  return found ? std::string_view(found->value) : std::string_view();
}

bool has_word(std::string_view classes, std::string_view word) {
  for (std::size_t at = classes.find(word); at != std::string_view::npos; at = classes.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    if ((at == 0 || classes[at - 1] == ' ') && (end == classes.size() || classes[end] == ' ')) return true;
  }
  return false;
}

const GumboNode* first_child(const GumboNode& node) {
  const GumboVector* const below = children(node);
  return below && below->length > 0 ? static_cast<const GumboNode*>(below->data[0]) : nullptr;
}

const GumboNode* next_sibling(const GumboNode& node) {
  const GumboVector* const beside = node.parent ? children(*node.parent) : nullptr;
  return beside && node.index_within_parent + 1 < beside->length
             ? static_cast<const GumboNode*>(beside->data[node.index_within_parent + 1])
             : nullptr;
}

const GumboNode* next_node(const GumboNode* node, const GumboNode* top, bool inside) {
  if (inside) {
    if (const GumboNode* child = first_child(*node)) return child;
  }
  for (; node && node != top; node = node->parent) {
    if (const GumboNode* sibling = next_sibling(*node)) return sibling;
  }
  return nullptr;
}

}  // namespace deciban

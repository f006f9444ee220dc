// Papers in the HTML that LaTeXML makes of LaTeX: arxiv.org/html and its relatives.
#include <fmt/format.h>

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "datasets/html_tree.h"
#include "datasets/paper.h"
#include "datasets/paper_parts.h"
#include "datasets/paper_text.h"

namespace deciban {
namespace {

constexpr std::size_t kLeastSections = 2;

// Pages that say that there is no paper, by their words.
std::optional<std::string> stub_reason(std::string_view html) {
  struct Stub {
    std::string_view words, reason;
  };
  constexpr Stub kStubs[] = {{"Conversion to HTML had a Fatal error",
                              "the conversion to HTML ended with a fatal error: the paper is not whole"},
                             {"had a Fatal error and exited abruptly",
                              "the conversion to HTML ended with a fatal error: the paper is not whole"},
                             {"No HTML for", "there is no HTML version"},
                             {"HTML is not available for the source", "there is no HTML version"},
                             {"No content available", "there is no HTML version"}};
  for (const Stub& stub : kStubs) {
    if (html.find(stub.words) != std::string_view::npos) return std::string(stub.reason);
  }
  return std::nullopt;
}

std::string_view classes_of(const GumboNode& node) { return attribute(node, "class"); }

enum class Treatment {
  inside,    // its text is text like what is around it
  block,     // a paragraph or several
  space,     // a part of a paragraph, set apart by spaces
  left_out,  // no text
  omitted,   // no text, and a hole where it stood
  math,
  display,  // a table of equations
  note,
  heading,
  run_in,  // the title of a theorem or proof
  title,
  abstract,
  appendix,
};

// What is never text.
constexpr std::string_view kLeftOut[] = {"ltx_bibliography",
                                         "ltx_acknowledgements",
                                         "ltx_authors",
                                         "ltx_dates",
                                         "ltx_keywords",
                                         "ltx_classification",
                                         "ltx_TOC",
                                         "ltx_tabular",
                                         "ltx_listing",
                                         "ltx_graphics",
                                         "ltx_picture",
                                         "ltx_page_footer",
                                         "ltx_pagination",
                                         "ltx_ERROR",
                                         "ltx_index",
                                         "ltx_phantom",
                                         "ltx_rdf",
                                         "ltx_engrafo_author_notes",
                                         "ltx_eqn_eqno",
                                         "ltx_title_abstract",
                                         "ltx_title_keywords",
                                         "ltx_title_classification",
                                         "ltx_title_acknowledgements",
                                         "ltx_tag_equation",
                                         "ltx_tag_equationgroup",
                                         "ltx_note_mark",
                                         "ltx_note_type",
                                         "ltx_role_newpage",
                                         "ltx_subtitle",
                                         "ltx_glossary",
                                         "ltx_nav",
                                         "ltx_date",
                                         "ltx_inline-logical-block-marker"};

std::optional<int> heading_level(std::string_view classes) {
  struct Level {
    std::string_view name;
    int level;
  };
  constexpr Level kLevels[] = {{"ltx_title_part", 0},          {"ltx_title_chapter", 0},
                               {"ltx_title_section", 1},       {"ltx_title_subsection", 2},
                               {"ltx_title_subsubsection", 3}, {"ltx_title_paragraph", 4},
                               {"ltx_title_subparagraph", 5},  {"ltx_title_appendix", 1}};
  for (const Level& level : kLevels) {
    if (has_word(classes, level.name)) return level.level;
  }
  return std::nullopt;
}

Treatment treatment(const GumboNode& node) {
  const GumboTag tag = node.v.element.tag;
  if (tag == GUMBO_TAG_MATH) return Treatment::math;
  if (tag == GUMBO_TAG_SVG || tag == GUMBO_TAG_SCRIPT || tag == GUMBO_TAG_STYLE || tag == GUMBO_TAG_NAV ||
      tag == GUMBO_TAG_BUTTON || tag == GUMBO_TAG_IMG)
    return Treatment::left_out;
  if (tag == GUMBO_TAG_BR) return Treatment::space;
  const std::string_view classes = classes_of(node);
  if (classes.find("ltx_") == std::string_view::npos)
    return tag == GUMBO_TAG_P || tag == GUMBO_TAG_LI || tag == GUMBO_TAG_TD || tag == GUMBO_TAG_TABLE
               ? Treatment::space
               : Treatment::inside;
  for (const std::string_view name : kLeftOut) {
    if (has_word(classes, name)) return Treatment::left_out;
  }
  if (has_word(classes, "ltx_appendix")) return Treatment::appendix;
  if (has_word(classes, "ltx_Math") || has_word(classes, "ltx_DisplayMath") ||
      has_word(classes, "ltx_markedasmath"))
    return Treatment::math;
  if (has_word(classes, "ltx_title_document")) return Treatment::title;
  if (heading_level(classes)) return Treatment::heading;
  if (has_word(classes, "ltx_title_theorem") || has_word(classes, "ltx_title_proof"))
    return Treatment::run_in;
  if (has_word(classes, "ltx_abstract")) return Treatment::abstract;
  if (has_word(classes, "ltx_cite")) return Treatment::omitted;
  if (has_word(classes, "ltx_note"))
    return has_word(classes, "ltx_role_footnote") || has_word(classes, "ltx_role_footnotetext")
               ? Treatment::note
               : Treatment::left_out;
  if (has_word(classes, "ltx_tag") && !has_word(classes, "ltx_tag_theorem")) return Treatment::left_out;
  if (has_word(classes, "ltx_equation") || has_word(classes, "ltx_equationgroup"))
    return tag == GUMBO_TAG_TR ? Treatment::inside : Treatment::display;
  for (const std::string_view name :
       {"ltx_para", "ltx_item", "ltx_caption", "ltx_figure", "ltx_table", "ltx_float", "ltx_theorem",
        "ltx_proof", "ltx_quote", "ltx_itemize", "ltx_enumerate", "ltx_description"}) {
    if (has_word(classes, name)) return Treatment::block;
  }
  if (has_word(classes, "ltx_p") || has_word(classes, "ltx_td") || tag == GUMBO_TAG_TD)
    return Treatment::space;
  return Treatment::inside;
}

std::string text_of(const GumboNode& element) {
  std::string text;
  for (const GumboNode* node = &element; node; node = next_node(node, &element, true)) {
    if (node->type == GUMBO_NODE_TEXT || node->type == GUMBO_NODE_WHITESPACE) text += node->v.text.text;
  }
  return text;
}

// The TeX of a formula: MathML's alternative text, its annotation, the label of a rendered one, or its words
// where it is a formula of words only.
std::string tex_of(const GumboNode& formula) {
  if (const std::string_view tex = attribute(formula, "alttext"); !tex.empty()) return std::string(tex);
  for (const GumboNode* node = &formula; node; node = next_node(node, &formula, true)) {
    if (const std::string_view tex = attribute(*node, "aria-label"); !tex.empty()) return std::string(tex);
    if (attribute(*node, "encoding") != "application/x-tex" || node->v.element.children.length == 0) continue;
    const auto* const text = static_cast<const GumboNode*>(node->v.element.children.data[0]);
    if (text->type == GUMBO_NODE_TEXT) return text->v.text.text;
  }
  return has_word(classes_of(formula), "ltx_markedasmath") ? text_of(formula) : "";
}

bool is_display(const GumboNode& formula) {
  return attribute(formula, "display") == "block" || has_word(classes_of(formula), "ltx_DisplayMath");
}

// "\displaystyle" tells of the layout only.
std::string without_style(std::string_view tex) {
  std::string out = one_line(tex);
  constexpr std::string_view kStyle = "\\displaystyle";
  if (out.starts_with(kStyle)) out = one_line(std::string_view(out).substr(kStyle.size()));
  return out;
}

class HtmlWalk {
 public:
  HtmlWalk(const GumboNode& document, const PaperOptions& options) : top_(&document), options_(options) {}

  Paper walk() {
    const GumboNode* node = next_node(top_, top_, true);
    while (node && node != top_) {
      if (enter(*node)) {
        if (const GumboNode* child = first_child(*node)) {
          node = child;
          continue;
        }
      }
      while (node != top_) {
        if (!open_.empty() && open_.back().node == node) leave();
        if (const GumboNode* sibling = next_sibling(*node)) {
          node = sibling;
          break;
        }
        node = node->parent;
      }
    }
    while (!open_.empty()) leave();
    if (builder_.sections() < kLeastSections)
      return unusable_paper(fmt::format("only {} sections: not a whole paper", builder_.sections()));
    return builder_.finish();
  }

 private:
  struct Open {
    const GumboNode* node = nullptr;
    Treatment treatment = Treatment::inside;
    int level = 0;
  };

  TextFlow& flow() { return captured_.empty() ? builder_.body() : captured_.back(); }

  // True if the walk is to go into the node.
  bool enter(const GumboNode& node) {
    switch (node.type) {
      case GUMBO_NODE_TEXT:
      case GUMBO_NODE_CDATA:
        after_run_in_ = false;
        flow().add(node.v.text.text);
        return false;
      case GUMBO_NODE_WHITESPACE:
        flow().space();
        return false;
      case GUMBO_NODE_ELEMENT:
        break;
      case GUMBO_NODE_DOCUMENT:
        return true;
      case GUMBO_NODE_COMMENT:
      case GUMBO_NODE_TEMPLATE:
        return false;
    }
    const Treatment how = treatment(node);
    if (how != Treatment::block) after_run_in_ = false;
    switch (how) {
      case Treatment::left_out:
        return false;
      case Treatment::omitted:
        // In a title a citation is read like the rest of it.
        if (!open_.empty() && open_.back().treatment == Treatment::heading) return true;
        flow().hole();
        return false;
      case Treatment::math:
        flow().math(without_style(tex_of(node)), is_display(node), options_.math);
        return false;
      case Treatment::display:
        display(node);
        return false;
      case Treatment::note:
        // A title's footnotes thank and dedicate.
        if (!open_.empty() &&
            (open_.back().treatment == Treatment::title || open_.back().treatment == Treatment::heading))
          return false;
        captured_.emplace_back();
        break;
      case Treatment::title:
      case Treatment::heading:
      case Treatment::abstract:
        captured_.emplace_back();
        break;
      case Treatment::appendix:
        return false;
      case Treatment::block:
        // "Theorem 1." stands in the same paragraph as what it says.
        if (!after_run_in_) flow().end_paragraph();
        break;
      case Treatment::run_in:
      case Treatment::space:
        flow().space();
        break;
      case Treatment::inside:
        return true;
    }
    open_.push_back({&node, how, heading_level(classes_of(node)).value_or(0)});
    return true;
  }

  void leave() {
    const Open open = open_.back();
    open_.pop_back();
    switch (open.treatment) {
      case Treatment::note: {
        std::string text = take_captured();
        flow().note(std::move(text));
        return;
      }
      case Treatment::title: {
        std::string text = take_captured();
        if (builder_.title.empty()) builder_.title = std::move(text);
        return;
      }
      case Treatment::heading:
        builder_.begin_section(open.level, take_captured());
        return;
      case Treatment::abstract:
        if (builder_.abstract.empty()) {
          builder_.abstract = std::move(captured_.back());
          captured_.pop_back();
          builder_.drop_front_matter();
        } else {
          captured_.pop_back();
        }
        return;
      case Treatment::block:
        flow().end_paragraph();
        return;
      case Treatment::run_in:
        after_run_in_ = true;
        flow().space();
        return;
      default:
        flow().space();
        return;
    }
  }

  std::string take_captured() {
    std::string text = captured_.back().take();
    captured_.pop_back();
    return text;
  }

  // All cells' formulas as one.
  void display(const GumboNode& table) {
    std::string tex;
    for (const GumboNode* node = next_node(&table, &table, true); node;) {
      const bool formula = node->type == GUMBO_NODE_ELEMENT && treatment(*node) == Treatment::math;
      if (formula) tex += without_style(tex_of(*node)) + " ";
      node = next_node(node, &table, !formula);
    }
    flow().math(tex, true, options_.math);
  }

  const GumboNode* const top_;
  const PaperOptions options_;
  PaperBuilder builder_;
  std::vector<Open> open_;
  std::vector<TextFlow> captured_;
  bool after_run_in_ = false;  // the title of a theorem or proof was all since
};

const GumboNode* find_document(const GumboNode* root) {
  for (const GumboNode* node = root; node; node = next_node(node, root, true)) {
    if (has_word(classes_of(*node), "ltx_document")) return node;
  }
  return nullptr;
}

}  // namespace

Paper paper_from_html(std::string_view html, const PaperOptions& options) {
  if (html.empty()) return unusable_paper("the page is empty");
  if (const auto reason = stub_reason(html)) return unusable_paper(*reason);
  try {
    const HtmlTree tree(html);
    const GumboNode* const document = find_document(tree.root());
    if (!document) return unusable_paper("not a paper as LaTeXML writes it (no ltx_document)");
    return HtmlWalk(*document, options).walk();
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    return unusable_paper(error.what());
  }
}

}  // namespace deciban

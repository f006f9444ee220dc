#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "datasets/html_tree.h"
#include "datasets/paper.h"
#include "tests/scratch_directory.h"

namespace deciban {
namespace {

using testing::HasSubstr;

const std::string kFiller(600, 'x');

std::string page(const std::string& body) {
  return "<!DOCTYPE html><html><head><style>x{}</style></head><body><nav>menu</nav><div "
         "class=\"ltx_page_main\">"
         "<article class=\"ltx_document ltx_authors_1line\">" +
         body + "</article></div><footer class=\"ltx_page_footer\">LaTeXML</footer></body></html>";
}

std::string section(const std::string& title, const std::string& text, const std::string& kind = "section") {
  return "<section class=\"ltx_" + kind + "\"><h2 class=\"ltx_title ltx_title_" + kind +
         "\"><span class=\"ltx_tag\">1 </span>" + title + "</h2>" + text + "</section>";
}

std::string para(const std::string& text) {
  return "<div class=\"ltx_para\"><p class=\"ltx_p\">" + text + "</p></div>";
}

std::string text_of(const std::string& inside, Math math = Math::tex) {
  const Paper paper = paper_from_html(page(section("S", inside) + section("Filler", para(kFiller))), {math});
  EXPECT_EQ(paper.reason, "");
  return paper.sections.empty() ? "" : paper.sections[0].text;
}

TEST(HtmlPaper, ReadsParts) {
  const Paper paper = paper_from_html(
      page("<h1 class=\"ltx_title ltx_title_document\">The <em>Title</em><span class=\"ltx_note "
           "ltx_role_thanks\">us</span></h1>"
           "<div class=\"ltx_authors\">Nobody</div>"
           "<div class=\"ltx_abstract\"><h6 class=\"ltx_title ltx_title_abstract\">Abstract</h6><p "
           "class=\"ltx_p\">We do.</p></div>"
           "<div class=\"ltx_keywords\">a, b</div>" +
           section("Start", para(kFiller) + section("Part", para("sub"), "subsection")) +
           section("Conclusion", para("end") + "<div class=\"ltx_acknowledgements\">thanks</div>") +
           section("Acknowledgments", para("thanks")) +
           "<section class=\"ltx_appendix\"><h2 class=\"ltx_title ltx_title_appendix\">App</h2>" + para("a") +
           "</section>" +
           "<section class=\"ltx_bibliography\"><h2 class=\"ltx_title "
           "ltx_title_bibliography\">References</h2>[1] X</section>"));
  EXPECT_EQ(paper.title, "The Title");
  EXPECT_EQ(paper.abstract, "We do.");
  ASSERT_EQ(paper.sections.size(), 3u);
  EXPECT_EQ(paper.sections[0].title, "Start");
  EXPECT_EQ(paper.sections[1].title, "Part");
  EXPECT_EQ(paper.sections[1].level, 2);
  EXPECT_EQ(paper.sections[1].text, "sub");
  EXPECT_EQ(paper.conclusion, "end");
}

TEST(HtmlPaper, TextInAllItsForms) {
  EXPECT_EQ(text_of(para("a <b>b</b>&nbsp;c<br>d") + para("e")), "a b c d\n\ne");
  EXPECT_EQ(text_of(para("as in <cite class=\"ltx_cite\">[<a class=\"ltx_ref\">1</a>]</cite>.")), "as in.");
  EXPECT_EQ(
      text_of(
          para(
              "x<span class=\"ltx_note ltx_role_footnote\"><sup class=\"ltx_note_mark\">1</sup><span "
              "class=\"ltx_note_outer\"><span class=\"ltx_note_content\"><sup class=\"ltx_note_mark\">1</sup>"
              "<span class=\"ltx_tag ltx_tag_note\">1</span>Foot.</span></span></span> y") +
          para("z")),
      "x y\n\nFoot.\n\nz");
  EXPECT_EQ(text_of("<figure class=\"ltx_figure\"><img src=\"x\"><figcaption class=\"ltx_caption\"><span "
                    "class=\"ltx_tag\">Figure 1: </span>Cap.</figcaption></figure>" +
                    para("z")),
            "Cap.\n\nz");
  EXPECT_EQ(text_of("<table class=\"ltx_tabular\"><tr><td>1</td></tr></table>" + para("z")), "z");
  EXPECT_EQ(text_of("<div class=\"ltx_theorem\"><h6 class=\"ltx_title ltx_runin ltx_title_theorem\"><span "
                    "class=\"ltx_tag "
                    "ltx_tag_theorem\">Theorem 1</span>.</h6>" +
                    para("It is.") + "</div>"),
            "Theorem 1. It is.");
  EXPECT_EQ(text_of(para("a <span class=\"ltx_ERROR undefined\">\\foo</span> b")), "a b");
}

TEST(HtmlPaper, Mathematics) {
  const std::string inline_math =
      para("Let <math alttext=\"x&lt;y\" display=\"inline\"><semantics><mi>x</mi></semantics></math>, so");
  EXPECT_EQ(text_of(inline_math), "Let $x<y$, so");
  EXPECT_EQ(text_of(inline_math, Math::drop), "Let, so");
  EXPECT_EQ(text_of(inline_math, Math::token), "Let [MATH], so");
  EXPECT_EQ(
      text_of("<div class=\"ltx_para\"><p class=\"ltx_p\">Thus</p><table class=\"ltx_equationgroup\"><tr "
              "class=\"ltx_equation\"><td><math alttext=\"\\displaystyle a\" "
              "class=\"ltx_Math\"></math></td><td><math "
              "alttext=\"\\displaystyle=b\" class=\"ltx_Math\"></math></td><td "
              "class=\"ltx_eqn_eqno\">(1)</td></tr>"
              "</table><p class=\"ltx_p\">holds.</p></div>"),
      "Thus $$a =b$$ holds.");
  EXPECT_EQ(text_of(para("no text <math><annotation encoding=\"application/x-tex\">q</annotation></math>")),
            "no text $q$");
}

TEST(HtmlPaper, PagesThatAreNoPapers) {
  const auto reason = [](const std::string& html) { return paper_from_html(html).reason; };
  EXPECT_THAT(reason(""), HasSubstr("empty"));
  EXPECT_THAT(reason("<html><body><h1>No HTML for '2401.00001'</h1></body></html>"),
              HasSubstr("no HTML version"));
  EXPECT_THAT(reason("<html><body>No content available</body></html>"), HasSubstr("no HTML version"));
  EXPECT_THAT(reason("<html><body><p>abs page</p></body></html>"), HasSubstr("no ltx_document"));
  EXPECT_THAT(reason(page(section("Only", para(kFiller)))), HasSubstr("only 1 sections"));
  EXPECT_THAT(reason(page("<p>Conversion to HTML had a Fatal error and exited abruptly. This document may be "
                          "truncated or damaged.</p>" +
                          section("A", para(kFiller)) + section("B", para("b")))),
              HasSubstr("fatal error"));
  EXPECT_THAT(reason("%PDF-1.5 \x80\x81"), HasSubstr("no ltx_document"));
}

// Depth and size of a page cost no stack and bounded memory.
TEST(HtmlPaper, HostilePages) {
  std::string deep;
  for (int i = 0; i < 200'000; ++i) deep += "<span>";
  EXPECT_EQ(paper_from_html(page(section("A", para(kFiller)) + section("B", para(deep + "b")))).reason, "");
  // Every paragraph opens all formatting elements anew: quadratic, if nobody stops it.
  std::string formatting = "<p>";
  for (int i = 0; i < 20'000; ++i) formatting += "<b id=" + std::to_string(i) + ">";
  for (int i = 0; i < 20'000; ++i) formatting += "</p><p>x";
  HtmlLimits limits;
  limits.tree_bytes = std::size_t{64} << 20;
  EXPECT_THAT(message_of([&] { HtmlTree tree(formatting, limits); }), HasSubstr("elements take more than"));
  limits.page_bytes = 1000;
  EXPECT_THAT(message_of([&] { HtmlTree tree(formatting, limits); }),
              HasSubstr("page takes more than 1000 bytes"));
}

TEST(HtmlTree, LeavesOutTheInsidesOfFormulas) {
  const HtmlTree tree(
      "<p><math alttext=\"a\"><mi>gone</mi></math><math><mi>kept</mi></math><script>gone</script></p>");
  std::string text;
  for (const GumboNode* node = tree.root(); node; node = next_node(node, tree.root(), true)) {
    if (node->type == GUMBO_NODE_TEXT) text += node->v.text.text;
  }
  EXPECT_EQ(text, "kept");
  EXPECT_TRUE(has_word("a bc d", "bc"));
  EXPECT_FALSE(has_word("a bcd", "bc"));
}

}  // namespace
}  // namespace deciban

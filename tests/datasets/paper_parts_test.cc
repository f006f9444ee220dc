#include "datasets/paper_parts.h"

#include <gtest/gtest.h>

#include <string>

namespace deciban {
namespace {

TEST(PaperParts, KnowsHeadings) {
  for (const char* title :
       {"Conclusion", "CONCLUSIONS", "V. Conclusions", "7 Conclusion", "6. Concluding remarks", "Summary",
        "Summary and Outlook", "Conclusions & Future Work", "Conclusion and open problems",
        "Discussion and Conclusions", "Outlook", "Final Remarks", "§ 5 Conclusions:", "VIII  SUMMARY",
        "Conclusion, limitations and future work", "Discussion & Summary", "8.1. Conclusions"})
    EXPECT_EQ(heading_kind(title), HeadingKind::conclusion) << title;
  for (const char* title :
       {"Introduction", "Discussion", "Introduction and summary of results", "Summary of the data",
        "Conclusive evidence", "Discussion of results", "Civil engineering", "", "2"})
    EXPECT_EQ(heading_kind(title), HeadingKind::other) << title;
  for (const char* title : {"References", "REFERENCES AND NOTES", "Bibliography"})
    EXPECT_EQ(heading_kind(title), HeadingKind::references) << title;
  EXPECT_EQ(heading_kind("Reference frames of moving observers"), HeadingKind::other);
  for (const char* title :
       {"Acknowledgements", "Acknowledgment.", "ACKNOWLEDGMENTS", "Acknowledgments and funding"})
    EXPECT_EQ(heading_kind(title), HeadingKind::acknowledgements) << title;
  for (const char* title : {"Appendix A: Proofs", "Appendices", "Supplementary Material"})
    EXPECT_EQ(heading_kind(title), HeadingKind::appendix) << title;
  EXPECT_EQ(heading_kind("Abstract."), HeadingKind::abstract);
  EXPECT_EQ(heading_kind("Contents"), HeadingKind::contents);
}

void add(PaperBuilder& builder, int level, const std::string& title, const std::string& text) {
  builder.begin_section(level, title);
  builder.body().add(text);
}

TEST(PaperParts, CutsAndFindsTheConclusion) {
  PaperBuilder builder;
  builder.title = "T";
  builder.body().add("Keywords: a, b");
  add(builder, 0, "Abstract", "abs");
  add(builder, 0, "Start", std::string(600, 's'));
  add(builder, 1, "Conclusion", "of a chapter");
  add(builder, 0, "Summary", "sum");
  add(builder, 1, "Outlook", "out");
  add(builder, 0, "Acknowledgements", "thanks");
  add(builder, 1, "More thanks", "thanks");
  add(builder, 0, "Afterword", "after");
  builder.begin_appendix();
  add(builder, 0, "Conclusion", "of the appendix");
  const Paper paper = builder.finish();
  EXPECT_EQ(paper.reason, "");
  EXPECT_EQ(paper.abstract, "abs");
  ASSERT_EQ(paper.sections.size(), 5u);
  EXPECT_EQ(paper.sections[0].level, 1);
  EXPECT_EQ(paper.sections[1].level, 2);
  EXPECT_EQ(paper.conclusion, "sum\n\nOutlook\n\nout");
  EXPECT_EQ(paper.text().substr(0, 15), "T\n\nabs\n\nStart\n\n");
}

TEST(PaperParts, TextBeforeTheFirstHeading) {
  // A letter without headings is all text.
  PaperBuilder letter;
  letter.body().add(std::string(600, 'x'));
  EXPECT_EQ(letter.finish().sections.size(), 1u);
  // An introduction without a heading counts, unless another has one.
  PaperBuilder paper;
  paper.body().add(std::string(400, 'x'));
  add(paper, 1, "Methods", std::string(600, 'y'));
  EXPECT_EQ(paper.finish().sections.at(0).title, "");
  PaperBuilder both;
  both.body().add(std::string(400, 'x'));
  add(both, 1, "1. Introduction", std::string(600, 'y'));
  EXPECT_EQ(both.finish().sections.size(), 1u);
}

TEST(PaperParts, TooLittleTextIsNoPaper) {
  PaperBuilder builder;
  builder.title = "T";
  add(builder, 1, "S", "short");
  EXPECT_EQ(builder.finish().reason, "too little text for a paper (5 bytes)");
}

}  // namespace
}  // namespace deciban

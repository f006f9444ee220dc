#include "datasets/paper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <string>

#include "tests/datasets/tar_writer.h"

namespace deciban {
namespace {

using testing::HasSubstr;

const std::string kSmallPaper =
    "\\documentclass{article}\\title{T}\\begin{document}\\maketitle\\section{One}" + std::string(600, 'x') +
    "\\end{document}";

TEST(PaperFromSource, TakesEveryShapeOfEprint) {
  for (const std::string& bytes :
       {TarWriter().file("p.tex", kSmallPaper).gzip(), TarWriter().file("p.tex", kSmallPaper).tar(),
        TarWriter::gzip(kSmallPaper), kSmallPaper}) {
    const Paper paper = paper_from_source(bytes);
    EXPECT_EQ(paper.reason, "");
    EXPECT_EQ(paper.title, "T");
  }
}

TEST(PaperFromSource, SaysWhyThereIsNoPaper) {
  const auto reason = [](const std::string& bytes) { return paper_from_source(bytes).reason; };
  EXPECT_THAT(reason(""), HasSubstr("empty"));
  EXPECT_THAT(reason("%PDF-1.4 ..."), HasSubstr("PDF only"));
  EXPECT_THAT(reason(TarWriter::gzip("%PDF-1.4 ...")), HasSubstr("PDF only"));
  EXPECT_THAT(reason(TarWriter::gzip("%auto-ignore\nThis paper has been withdrawn")), HasSubstr("withdrawn"));
  EXPECT_THAT(reason(TarWriter().file("a.pdf", "%PDF").link("b.tex", "/etc/passwd", true).gzip()),
              HasSubstr("no TeX file in the source (1 other files, 1 links)"));
  EXPECT_THAT(reason(TarWriter().file("../p.tex", kSmallPaper).gzip()), HasSubstr("refused"));
  EXPECT_THAT(reason("\x1f\x8b\x08 broken"), HasSubstr("damaged"));
  EXPECT_THAT(
      reason(TarWriter().file("p.tex", "\\documentclass{a}\\begin{document}short\\end{document}").gzip()),
      HasSubstr("too little text"));
}

TEST(PaperFromSource, IsBoundedInTime) {
  const std::clock_t begun = std::clock();  // of this process: others may keep the machine busy
  // A file of nothing but backslashes, braces, dollars, brackets, and one very long line.
  for (const char* unit : {"\\",
                           "{",
                           "}",
                           "$",
                           "$$",
                           "[",
                           "\\[",
                           "\\begin{a}",
                           "\\begin{equation}",
                           "\\footnote{",
                           "\\cite[",
                           "\\def\\a#1{",
                           "\\iffalse ",
                           "\\section{",
                           "%\\title\n",
                           "x",
                           "\\input{a}",
                           "&",
                           "#1",
                           "\\item[",
                           "\\begin{figure}",
                           "\\newcommand{\\a}[9]{",
                           "\\verb|",
                           "\\\"",
                           "\\csname "}) {
    std::string body;
    while (body.size() < 1'000'000) body += unit;
    paper_from_source("\\documentclass{a}\\begin{document}" + body);
  }
  EXPECT_LT(static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC, 100);
}

}  // namespace
}  // namespace deciban

#include "datasets/latex_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace deciban {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Long enough to count as a paper.
const std::string kPadding(600, 'x');

Paper read(std::vector<std::pair<std::string, std::string>> files, Math math = Math::tex) {
  ArchiveContents contents;
  for (auto& [path, text] : files) contents.members.push_back({path, text});
  const LatexSource source(std::move(contents));
  return paper_from_latex(source, source.main().value(), {math});
}

Paper document(const std::string& body, const std::string& preamble = "", Math math = Math::tex) {
  return read({{"main.tex", "\\documentclass{article}" + preamble + "\\begin{document}" + body +
                                "\\section{Filler}" + kPadding + "\\end{document}"}},
              math);
}

// The text of a body's first section.
std::string text(const std::string& body, const std::string& preamble = "", Math math = Math::tex) {
  const Paper paper = document("\\section{S}" + body, preamble, math);
  EXPECT_EQ(paper.reason, "");
  return paper.sections.empty() ? "" : paper.sections[0].text;
}

TEST(LatexText, ReadsParts) {
  const Paper paper = document(
      "\\title[short]{A \\emph{Title}\\thanks{us} \\\\ in two lines}\\author{Nobody}\\maketitle"
      "\\begin{abstract}We do.\n\nMore.\\end{abstract}"
      "\\section{One} a \\subsection*{One A} b \\paragraph{Run in.} c"
      "\\section{Conclusions and Outlook}\\label{x} d \\subsection{Last} e"
      "\\section*{Acknowledgements} thanks \\subsection{To all} f");
  EXPECT_EQ(paper.title, "A Title in two lines");
  EXPECT_EQ(paper.abstract, "We do.\n\nMore.");
  std::vector<std::string> sections;
  for (const PaperSection& s : paper.sections)
    sections.push_back(std::to_string(s.level) + s.title + ":" + s.text.substr(0, 9));
  EXPECT_THAT(sections, ElementsAre("1One:a", "2One A:b", "4Run in.:c", "1Conclusions and Outlook:d",
                                    "2Last:e", "1Filler:xxxxxxxxx"));
  EXPECT_EQ(paper.conclusion, "d\n\nLast\n\ne");
}

TEST(LatexText, WordsAndSigns) {
  EXPECT_EQ(text("``Q'' --- 1--2 \\& 5\\% \\ldots\\ \\S3"), "“Q” — 1–2 & 5% … §3");
  EXPECT_EQ(text("Caf\\'e na\\\"{\\i}ve G\\\"odel {\\L}\\'{o}d\\'z \\c{C}a \\v{S}"),
            "Café naïve Gödel Łódź Ça Š");
  EXPECT_EQ(text("a\\,b~c\\quad d\\\\[2pt]e"), "a b c d e");
  EXPECT_EQ(text("{\\bf bold} \\textit{it \\textbf{both}} \\textcolor{red}{col}"), "bold it both col");
  EXPECT_EQ(text("\\url{http://a.b/c_d%20e} \\href{http://x}{here}"), "http://a.b/c_d%20e here");
  EXPECT_EQ(text("see \\verb|a_{b}|."), "see a_{b}.");
  EXPECT_EQ(text("\\unknown{kept} \\unknown[opt]{kept}"), "kept kept");
  EXPECT_EQ(text("\\vspace*{2cm}\\noindent\\hskip 1em plus 2pt word"), "word");
  EXPECT_EQ(text("e\u0301"), "\u00E9");  // NFC
}

TEST(LatexText, CitationsAndReferencesLeaveNoTrace) {
  EXPECT_EQ(text("As shown~\\cite[p.~3]{a,b}, it works (see \\citep{c}; \\citep{d})."),
            "As shown, it works.");
  EXPECT_EQ(text("Section~\\ref{s} and Eq.~(\\ref{e})."), "Section and Eq.");
  EXPECT_EQ(text("Known (\\cite{a}, Theorem 2)."), "Known (Theorem 2).");
  EXPECT_EQ(text("A\\label{x} b\\footnote{Note \\cite{y}.} c.\n\nNext."), "A b c.\n\nNote.\n\nNext.");
}

TEST(LatexText, Mathematics) {
  EXPECT_EQ(text("Let $x  = \\alpha y$, $$E=mc^2$$ and \\(a\\) \\[b\\]."),
            "Let $x = \\alpha y$, $$E=mc^2$$ and $a$ $$b$$ .");
  EXPECT_EQ(text("Let $x$ and $y$, so.", "", Math::drop), "Let and, so.");
  EXPECT_EQ(text("Let $x$-rays\\begin{equation}\\label{e}y\\end{equation}be.", "", Math::token),
            "Let [MATH]-rays [MATH] be.");
  EXPECT_EQ(text("\\begin{align*}a&=b\\\\c&=d\\nonumber\\end{align*}"),
            "$$\\begin{aligned} a&=b\\\\c&=d \\end{aligned}$$");
  EXPECT_EQ(text("$\\R^d$ $\\norm{x}$ $\\Tr A$",
                 "\\newcommand{\\R}{\\mathbb R}\\def\\norm#1{\\|#1\\|}\\DeclareMathOperator{\\Tr}{Tr}"),
            "$\\mathbb R^d$ $\\|x\\|$ $\\operatorname{Tr}A$");
  EXPECT_EQ(text("$a\\text{ if $b$ holds}$ c"), "$a\\text{ if $b$ holds}$ c");
  EXPECT_EQ(text("A formula $x that never ends\n\nNew paragraph."),
            "A formula $x that never ends$\n\nNew paragraph.");
}

TEST(LatexText, EnvironmentsThatAreText) {
  EXPECT_EQ(text("Items:\\begin{itemize}[left]\\item one \\item[two] three\\end{itemize}after"),
            "Items:\n\none\n\ntwo three\n\nafter");
  EXPECT_EQ(text("\\begin{theorem}[Gauss] It is.\\end{theorem}\\begin{proof}Clear.\\end{proof}"),
            "Theorem (Gauss). It is.\n\nProof. Clear.");
  EXPECT_EQ(text("\\begin{thmx}So.\\end{thmx}", "\\newtheorem{thmx}[foo]{Main Theorem}"),
            "Main Theorem. So.");
  EXPECT_EQ(text("\\begin{quote}q\\end{quote} \\begin{center}c\\end{center}"), "q c");
}

TEST(LatexText, FloatsKeepTheirCaptions) {
  EXPECT_EQ(text("Before \\begin{figure}[t]\\includegraphics[width=1cm]{a.pdf} lost"
                 "\\caption[short]{A \\emph{caption}.}\\label{f}\\end{figure} after.\n\nNext."),
            "Before after.\n\nA caption.\n\nNext.");
  EXPECT_EQ(
      text("A \\begin{tabular}{cc} 1 & 2 \\\\ \\end{tabular} b \\begin{verbatim} \\x{ \\end{verbatim} c"),
      "A b c");
  EXPECT_EQ(text("a \\begin{comment} \\end{figure} { \\end{comment}b \\iffalse hidden \\fi c"), "a b c");
  EXPECT_EQ(text("a \\begin{tikzpicture}\\node{lost};\\end{tikzpicture}b"), "a b");
}

TEST(LatexText, MacrosOfThePaper) {
  EXPECT_EQ(text("\\us finds \\us, \\us{} is \\pair{a}{b} \\opt{z} \\opt[y]{z}",
                 "\\newcommand{\\us}{\\textsc{Sys}\\xspace}\\newcommand\\pair[2]{(#1|#2)}"
                 "\\newcommand{\\opt}[2][x]{#1-#2}"),
            "Sys finds Sys, Sys is (a|b) x-z y-z");
  EXPECT_EQ(text("\\beq x \\eeq \\bt T\\et",
                 "\\def\\beq{\\begin{equation}}\\def\\eeq{\\end{equation}}"
                 "\\newenvironment{mine}[1]{Begin #1: }{ End.}"
                 "\\def\\bt{\\begin{mine}{A}}\\def\\et{\\end{mine}}"),
            "$$x$$ Begin A: T End.");
  EXPECT_EQ(text("\\until a;b", "\\def\\until#1;{<#1>}"), "<a>b");
  EXPECT_EQ(text("\\outer{x}", "\\newcommand{\\outer}[1]{\\def\\inner##1{##1#1}\\inner{y}}"), "yx");
  EXPECT_EQ(text("\\old{x} \\new{y}", "\\let\\old\\textbf \\def\\new#1{[#1]}\\let\\textbf\\new"), "x [y]");
  EXPECT_EQ(text("\\emph{x}", "\\let\\oldemph\\emph\\renewcommand{\\emph}[1]{<\\oldemph{#1}>}"), "<x>");
  EXPECT_EQ(text("\\ifdraft D\\else F\\fi\\ifnum 3>2 big\\fi", "\\newif\\ifdraft"), "Fbig");
  EXPECT_EQ(text("\\ifdraft D\\else F\\fi", "\\newif\\ifdraft\\drafttrue"), "D");
  EXPECT_EQ(text("\\a@b", "\\makeatletter\\def\\a@b{at}\\makeatother"), "@b");
}

TEST(LatexText, AppendixAndReferencesEndIt) {
  const Paper paper =
      read({{"m.tex", "\\documentclass{a}\\begin{document}\\section{Body}" + kPadding +
                          "\\begin{thebibliography}{9}\\bibitem{x} X\\end{thebibliography}\\section{After}y"
                          "\\end{document}"}});
  ASSERT_EQ(paper.sections.size(), 1u);
  EXPECT_EQ(paper.sections[0].text, kPadding);
  const Paper appendix = read({{"m.tex", "\\documentclass{a}\\begin{document}\\section{Body}" + kPadding +
                                             "\\appendix\\section{More}y\\end{document}"}});
  EXPECT_EQ(appendix.sections.size(), 1u);
}

TEST(LatexText, FilesWithinFiles) {
  const Paper paper = read({{"main.tex",
                             "\\documentclass{a}\\usepackage{mine}\\begin{document}\\input{sec/one}"
                             "\\include{two}\\input missing \\subfile{sub.tex}\\name\\end{document}"},
                            {"sec/one.tex", "\\section{One}one \\input{sec/deep.tex} end"},
                            {"sec/deep.tex", "deep \\input{main}"},
                            {"two.tex", "\\section{Two}" + kPadding},
                            {"sub.tex",
                             "\\documentclass[main]{subfiles}\\begin{document}\\section{Sub}sub"
                             "\\end{document} not read"},
                            {"mine.sty", "\\newcommand{\\name}{styled}\\def\\hidden{\\@internal}"},
                            {"_old.tex", "\\documentclass{a}\\begin{document}old\\end{document}"}});
  ASSERT_EQ(paper.sections.size(), 3u);
  EXPECT_EQ(paper.sections[0].text, "one deep end");
  EXPECT_EQ(paper.sections[2].text, "substyled");
}

TEST(LatexText, TitleOfAPageWithoutATitleCommand) {
  const Paper paper = document(
      "\\begin{titlepage}{\\large University}{\\Huge\\bfseries The\\\\ Work}\\vfill by N.\\end{titlepage}");
  EXPECT_EQ(paper.title, "The Work");
}

TEST(LatexText, OldAndPlainTex) {
  const Paper old = read({{"p.tex", "\\documentstyle[12pt]{article}\\begin{document}\\title{T}\\section{S}" +
                                        kPadding + "\\end{document}"}});
  EXPECT_EQ(old.title, "T");
  const Paper plain = read({{"p.tex", "\\input harvmac\n\\newsec{First}" + kPadding + "\\bye"}});
  ASSERT_EQ(plain.sections.size(), 1u);
  EXPECT_EQ(plain.sections[0].title, "First");
}

TEST(LatexText, MistakesOfAuthorsCostLittle) {
  EXPECT_EQ(text("a } b { c"), "a b c");
  EXPECT_EQ(text("a \\end{nothing} b"), "a b");
  // A float never closed ends at the next heading.
  const Paper paper = document("\\section{A}a \\begin{figure} lost \\section{B} b");
  ASSERT_EQ(paper.sections.size(), 3u);
  EXPECT_EQ(paper.sections[1].text, "b");
  EXPECT_EQ(document("\\section{A}\\footnote{never closed \\section{B} b").sections.size(), 3u);
}

// Whatever macros do, it ends, and says why.
TEST(LatexText, MacroBombsAreRefused) {
  std::string doubling = "\\def\\a{xxxxxxxx}";
  for (char c = 'a'; c < 'z'; ++c)
    doubling += std::string("\\def\\") + static_cast<char>(c + 1) + "{\\" + c + "\\" + c + "}";
  EXPECT_THAT(document("\\z", doubling).reason, HasSubstr("tokens: refused"));
  EXPECT_THAT(document("\\x", "\\def\\x{\\x}").reason, HasSubstr("refused"));
  EXPECT_THAT(document("\\x", "\\def\\x{y\\x z}").reason, HasSubstr("nested more than"));
  EXPECT_THAT(document("\\x{ab}", "\\def\\x#1{\\x{#1#1}}").reason, HasSubstr("refused"));
  EXPECT_THAT(document("$\\x$", "\\def\\x{\\x\\x}").reason, HasSubstr("refused"));
  EXPECT_THAT(document("\\begin{e}", "\\newenvironment{e}{\\begin{e}}{}").reason, HasSubstr("refused"));
  EXPECT_THAT(document(std::string(100'000, '{')).reason, HasSubstr("nested more than"));
  EXPECT_EQ(document("\\a", "\\let\\a\\b\\let\\b\\a").reason, "");
}

TEST(LatexText, InputTreesAreBounded) {
  // A cycle is cut, not followed.
  EXPECT_EQ(read({{"main.tex", "\\documentclass{a}\\begin{document}\\section{S}" + kPadding +
                                   "\\input{b}\\end{document}"},
                  {"b.tex", "\\input{main}\\input{b}"}})
                .reason,
            "");
  std::vector<std::pair<std::string, std::string>> deep{
      {"main.tex", "\\documentclass{a}\\begin{document}\\input{f0}\\end{document}"}};
  for (int i = 0; i < 100; ++i)
    deep.emplace_back("f" + std::to_string(i) + ".tex", "\\input{f" + std::to_string(i + 1) + "}");
  EXPECT_THAT(read(deep).reason, HasSubstr("files are nested more than 30 deep"));
  // Each file reads the next one twice: 2^25 files.
  std::vector<std::pair<std::string, std::string>> wide{
      {"main.tex", "\\documentclass{a}\\begin{document}\\input{f0}\\end{document}"}};
  for (int i = 0; i < 25; ++i) {
    const std::string next = "\\input{f" + std::to_string(i + 1) + "}";
    wide.emplace_back("f" + std::to_string(i) + ".tex", next + next);
  }
  EXPECT_THAT(read(wide).reason, HasSubstr("more than 2000 files"));
}

}  // namespace
}  // namespace deciban

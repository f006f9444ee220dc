#include "datasets/latex_input.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace deciban {
namespace {

LatexSource source(std::vector<std::pair<std::string, std::string>> files) {
  ArchiveContents contents;
  for (auto& [path, text] : files) contents.members.push_back({path, text});
  return LatexSource(std::move(contents));
}

std::string main_of(std::vector<std::pair<std::string, std::string>> files) {
  const LatexSource all = source(std::move(files));
  const auto main = all.main();
  return main ? all.files()[*main].path : "none";
}

const std::string kPaper =
    "\\documentclass{a}\\title{T}\\begin{document}\\begin{abstract}\\end{abstract}\\section{S}\\end{"
    "document}";

TEST(LatexInput, FindsThePaper) {
  EXPECT_EQ(main_of({{"figure.tex", "\\documentclass{standalone}\\begin{document}x\\end{document}"},
                     {"p.tex", kPaper}}),
            "p.tex");
  EXPECT_EQ(main_of({{"a.tex", kPaper}, {"supplement.tex", kPaper + kPaper}}), "a.tex");
  EXPECT_EQ(
      main_of(
          {{"a.tex", "\\section{x}"}, {"b.tex", "% \\documentclass{a}\\begin{document}"}, {"c.tex", kPaper}}),
      "c.tex");
  EXPECT_EQ(main_of({{"sub.tex", kPaper + std::string(100, 'x')}, {"top.tex", kPaper + "\\subfile{sub}"}}),
            "top.tex");
  EXPECT_EQ(main_of({{"short.tex", "plain"}, {"long.tex", "plain TeX \\bye"}}), "long.tex");
  EXPECT_EQ(main_of({{"x.sty", "\\documentclass{a}\\begin{document}"}}), "none");
  EXPECT_EQ(main_of({}), "none");
}

TEST(LatexInput, BelievesTheReadme) {
  const std::string json =
      R"({"sources":[{"filename":"b.tex","usage":"ignore"},{"filename":"a.tex","usage":"toplevel"}]})";
  EXPECT_EQ(main_of({{"00README.json", json}, {"main.tex", kPaper}, {"a.tex", kPaper}}), "a.tex");
  EXPECT_EQ(main_of({{"00README.XXX", "fig.tex ignore\nb.tex toplevelfile\n"},
                     {"main.tex", kPaper},
                     {"b.tex", kPaper}}),
            "b.tex");
  EXPECT_EQ(main_of({{"00README.json", "{broken"}, {"main.tex", kPaper}}), "main.tex");
  EXPECT_EQ(main_of({{"00README.json", R"({"sources":[1,{"filename":2}]})"}, {"main.tex", kPaper}}),
            "main.tex");
}

TEST(LatexInput, LooksUpNamesAsTexDoes) {
  const LatexSource all =
      source({{"main.tex", ""}, {"sec/a.tex", ""}, {"sec/b", ""}, {"Fig.TEX", ""}, {"m.sty", ""}});
  EXPECT_EQ(all.find("sec/a", ""), 1u);
  EXPECT_EQ(all.find("./sec/a.tex", ""), 1u);
  EXPECT_EQ(all.find("a", "sec"), 1u);
  EXPECT_EQ(all.find("sec/b", ""), 2u);
  EXPECT_EQ(all.find("fig", ""), 3u);
  EXPECT_EQ(all.find("../main", "sec"), 0u);
  EXPECT_EQ(all.find("../../../etc/passwd", ""), std::nullopt);
  EXPECT_EQ(all.find("", ""), std::nullopt);
  EXPECT_EQ(all.find_style("m"), 4u);
}

TEST(LatexInput, OldEncodingsBecomeUtf8) {
  const LatexSource all = source({{"main.tex", "caf\xE9 \x93quoted\x94"}, {"bin", std::string("a\0b", 3)}});
  ASSERT_EQ(all.files().size(), 1u);
  EXPECT_EQ(all.files()[0].text, "café “quoted”");
}

TEST(LatexInput, WantsTextFilesOnly) {
  for (const char* path : {"a.tex", "A.TEX", "b.ltx", "sec/x", "my.sty", "00README.json", "00README.XXX"})
    EXPECT_TRUE(LatexSource::is_wanted(path)) << path;
  for (const char* path : {"a.pdf", "b.png", "c.eps", "data.json", "refs.bib", "x.bst"})
    EXPECT_FALSE(LatexSource::is_wanted(path)) << path;
}

}  // namespace
}  // namespace deciban

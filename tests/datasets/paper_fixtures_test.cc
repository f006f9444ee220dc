// Real papers, read as a person reads them.  The papers are third-party texts of the developers' shared
// folder; what stands here are titles, written down by hand from the papers, and hashes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "datasets/paper.h"
#include "datasets/sha256.h"
#include "tests/datasets/tar_writer.h"
#include "tests/shared_data.h"

namespace deciban {
namespace {

using testing::ElementsAreArray;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string read(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct Expected {
  std::string file;
  std::string title;
  std::string abstract_begins, abstract_ends;    // empty: there is none
  std::vector<std::string> sections;             // of the two uppermost levels
  std::optional<std::string> conclusion_begins;  // none: the paper has none
};

std::ostream& operator<<(std::ostream& out, const Expected& expected) { return out << expected.file; }

// A fixture's bytes: a file, or a folder of an unpacked source packed as arXiv serves it.
std::string fixture_bytes(const std::string& file) {
  const std::filesystem::path path = shared("fixtures/arxiv/" + file);
  if (!std::filesystem::is_directory(path)) return read(path);
  std::vector<std::pair<std::string, std::string>> members;
  for (const auto& entry : std::filesystem::directory_iterator(path))
    members.emplace_back(entry.path().filename().string(), read(entry.path()));
  std::sort(members.begin(), members.end());
  TarWriter tar;
  for (const auto& [name, bytes] : members) tar.file(name, bytes);
  return tar.gzip();
}

Paper read_paper(const std::string& file, Math math) {
  const std::string bytes = fixture_bytes(file);
  return file.starts_with("latexml/") ? paper_from_html(bytes, {math}) : paper_from_source(bytes, {math});
}

const std::vector<Expected>& expectations() {
  static const std::vector<Expected> all = {
      {"eprint/docling_1706.03762.tar.gz",
       "Attention Is All You Need",
       "The dominant sequence transduction models",
       "limited training data.",
       {"Introduction", "Background", "Model Architecture", "Encoder and Decoder Stacks", "Attention",
        "Position-wise Feed-Forward Networks", "Embeddings and Softmax", "Positional Encoding",
        "Why Self-Attention", "Training", "Training Data and Batching", "Hardware and Schedule", "Optimizer",
        "Regularization", "Results", "Machine Translation", "Model Variations",
        "English Constituency Parsing", "Conclusion"},
       "In this work, we presented the Transformer"},
      {"eprint/docling_2305.03393.tar.gz",
       "Optimized Table Tokenization for Table Structure Recognition",
       "Extracting tables from documents",
       "OTSL format to the community.",
       {"Introduction", "Related Work", "Problem Statement", "Optimised Table Structure Language",
        "Language Definition", "Language Syntax", "Error-detection and -mitigation", "Experiments",
        "Hyper Parameter Optimization", "Quantitative Results", "Qualitative Results", "Conclusion"},
       "We demonstrated that representing tables in HTML"},
      {"eprint/docling_2501.00089.tar.gz",
       "Insights on Galaxy Evolution from Interpretable Sparse Feature Networks",
       "Galaxy appearances reveal",
       "interpret machine learning results.",
       {"Introduction", "Methodology", "Results", "Emission line fluxes", "Gas metallicity", "Discussion",
        "Physical laws from galaxy images", "Performance versus interpretability", "Comparison to PCA",
        "Comparison to GalaxyZoo features", "Limitations of previous interpretability methods",
        "Conclusions"},
       "We present a novel method"},
      {"eprint/docling_9802040.tar.gz",
       "Quantum vs. Classical Communication and Computation",
       "We present a simple and general simulation technique",
       "near quadratic speed up for all such predicates.",
       {"Introduction and summary of results", "Quantum communication complexity",
        "Our results in quantum communication complexity", "Black-box quantum computations",
        "Our results about black-box quantum computations", "Reducing communication to computation problems",
        "Proofs of upper and lower bounds", "Conclusions and open problems"},
       "We have constructed a reductions"},
      {"eprint/docling_0005057.tar.gz",
       "The Concept of Particle Weights in Local Quantum Field Theory",
       "",
       "",
       {"Introduction", "Localizing Operators and Spectral Seminorms", "The Algebra of Detectors",
        "Spectral Seminorms on the Algebra of Detectors", "Characteristics of the Spectral Seminorms",
        "Particle Weights as Asymptotic Plane Waves", "General Properties", "Asymptotic Functionals",
        "Particle Weights", "Disintegration of Particle Weights",
        "Separable Reformulation of Local Quantum Physics and its Associated Algebra of Detectors",
        "Restricted -Particle Weights", "Spatial Disintegration of Particle Weights",
        "Phase Space Restrictions and Local Normality", "Disintegration Revisited: Choquet Theory",
        "Summary and Outlook"},
       "The present work is based on the general point of view"},
      {"eprint/s2orc-doc2json_2004.14974.tar.gz",
       "Fact or Fiction: Verifying Scientific Claims",
       "We introduce scientific claim verification",
       "demo will released publicly.",  // the abstract's footnote
       {"Introduction", "Background and task definition", "The SciFact dataset",
        "Data source and corpus construction", "Claim writing", "Claim verification", "The SciFact task",
        "VeriSci: Baseline model", "Experiments", "Pipeline components", "Full task",
        "Verifying claims about COVID-19", "Error analysis", "Related work", "Conclusion"},
       "Claim verification allows us to trace the sources"},
      {"eprint/engrafo_1803.07574",
       "Water Residence Time Estimation by 1D Deconvolution in the Form of a -Regularized Inverse Problem "
       "With "
       "Smoothness, Positivity and Causality Constraints",
       "The Water Residence Time distribution",
       "analyze hydrological datasets.",
       {"Introduction", "Model", "Direct Problem", "Inverse Problem",
        "Alternating Minimization for 1D Deconvolution",
        "Estimation of k est with the Projected Newton Method", "Estimation of c", "Implementation Details",
        "Discussion on Related Work", "Comparison to Previous Works",
        "Comparison to the Cross-Correlation Method", "Comparison to Cirpka Method", "Synthetic Data",
        "General Discussion and lambda Choice Strategies", "Comparison to Similar Methods", "Real Data",
        "Conclusion"},
       "We propose a new approach to estimate a smooth residence time"},
      {"latexml/engrafo_1803.07574.html",
       "Water Residence Time Estimation by 1D Deconvolution in the Form of a -Regularized Inverse Problem "
       "With "
       "Smoothness, Positivity and Causality Constraints",
       "The Water Residence Time distribution",
       "analyze hydrological datasets.",
       {"Introduction", "Model", "Direct Problem", "Inverse Problem",
        "Alternating Minimization for 1D Deconvolution", "Estimation of with the Projected Newton Method",
        "Estimation of", "Implementation Details", "Discussion on Related Work",
        "Comparison to Previous Works", "Comparison to the Cross-Correlation Method",
        "Comparison to Cirpka et al. (2007)", "Synthetic Data", "General Discussion and Choice Strategies",
        "Comparison to Similar Methods", "Real Data", "Conclusion"},
       "We propose a new approach to estimate a smooth residence time"},
      {"latexml/engrafo_1707.08043.html",
       "On Positive-Characteristic Semi-Parametric Local Reductions of Finitelly Generated -Algebras",
       "We present a non-standard proof",
       "",
       {"Introduction", "Preliminary facts", "Main Result"},
       std::nullopt},
      {"latexml/llamapun_0903.1000.html",
       "Bernstein Polynomials and -Copulas",
       "We give derivations of some basic results",
       "",
       {"Introduction", "Bernstein polynomials and approximations",
        "The Weierstrass approximation theorem via Bernstein polynomials",
        "Derivatives of Bernstein approximations", "Derivatives of Bernstein polynomials",
        "Some identities and estimates", "Convergence of first derivatives of Bernstein approximations",
        "A probabilistic interpretation of the Bernstein approximation of a copula"},
       std::nullopt},
      {"latexml/llamapun_astro-ph9710163.html",
       "The Definitive Abundance of Interstellar Oxygen",
       "Using the Goddard High Resolution Spectrograph",
       "smaller galactocentric distance.",
       {"Introduction", "Observations", "Results", "Discussion"},
       std::nullopt}};
  return all;
}

class PaperFixture : public testing::TestWithParam<Expected> {};

TEST_P(PaperFixture, HasItsPartsAsAPersonReadsThem) {
  const Expected& expected = GetParam();
  DECIBAN_NEEDS_SHARED("fixtures/arxiv/" + expected.file);
  const Paper paper = read_paper(expected.file, Math::drop);
  EXPECT_EQ(paper.reason, "");
  EXPECT_EQ(paper.title, expected.title);
  EXPECT_THAT(paper.abstract, StartsWith(expected.abstract_begins));
  EXPECT_THAT(paper.abstract, EndsWith(expected.abstract_ends));
  EXPECT_EQ(paper.abstract.empty(), expected.abstract_begins.empty());
  std::vector<std::string> titles;
  for (const PaperSection& section : paper.sections) {
    if (section.level <= 2) titles.push_back(section.title);
  }
  EXPECT_THAT(titles, ElementsAreArray(expected.sections));
  EXPECT_EQ(paper.conclusion.empty(), !expected.conclusion_begins.has_value());
  EXPECT_THAT(paper.conclusion, StartsWith(expected.conclusion_begins.value_or("")));
}

// `\`, `{` and `}` outside of mathematics are what was not understood.
TEST_P(PaperFixture, HasNoDebris) {
  DECIBAN_NEEDS_SHARED("fixtures/arxiv/" + GetParam().file);
  const std::string text = read_paper(GetParam().file, Math::drop).text();
  const auto debris = std::count_if(text.begin(), text.end(),
                                    [](char c) { return c == '\\' || c == '{' || c == '}' || c == '$'; });
  EXPECT_GT(text.size(), 5000u);
  EXPECT_LE(static_cast<double>(debris), 0.001 * static_cast<double>(text.size()));
  for (const char* word : {"ltx_", "textbf", "begin", "includegraphics", "citep", "bibitem"})
    EXPECT_EQ(text.find(std::string("\\") + word), std::string::npos) << word;
  EXPECT_EQ(text.find('\x01'), std::string::npos);
}

// What mathematics becomes changes nothing else.
TEST_P(PaperFixture, KeepsOrReplacesMathematics) {
  DECIBAN_NEEDS_SHARED("fixtures/arxiv/" + GetParam().file);
  const Paper tex = read_paper(GetParam().file, Math::tex);
  const Paper token = read_paper(GetParam().file, Math::token);
  ASSERT_EQ(tex.sections.size(), token.sections.size());
  if (GetParam().file.find("2305.03393") != std::string::npos) return;  // it has none
  EXPECT_THAT(tex.text(), HasSubstr("$"));
  EXPECT_THAT(token.text(), HasSubstr("[MATH]"));
  EXPECT_THAT(tex.text(), Not(HasSubstr("[MATH]")));
}

INSTANTIATE_TEST_SUITE_P(Papers, PaperFixture, testing::ValuesIn(expectations()),
                         [](const testing::TestParamInfo<Expected>& test) {
                           std::string name = test.param.file;
                           for (char& c : name) {
                             if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
                           }
                           return name;
                         });

// Words: runs of ASCII letters and digits and of all characters beyond ASCII but spaces and quotes; ASCII
// letters in lower case.  Each as the first 16 hex digits of its SHA-256.
std::map<std::string, std::size_t> word_hashes(const std::string& text) {
  std::map<std::string, std::size_t> counts;
  std::string word;
  const auto end_word = [&] {
    if (!word.empty()) ++counts[Sha256::of(word).substr(0, 16)];
    word.clear();
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    constexpr std::string_view kApart[] = {"‘", "’", "“", "”", "–", "—", "…"};
    bool apart = false;
    for (const std::string_view sign : kApart) apart = apart || text.compare(i, sign.size(), sign) == 0;
    if (apart) {
      end_word();
      i += 2;
    } else if (std::isalnum(byte) != 0 || byte >= 0x80) {
      word += byte < 0x80 ? static_cast<char>(std::tolower(byte)) : text[i];
    } else {
      end_word();
    }
  }
  end_word();
  return counts;
}

std::size_t total(const std::map<std::string, std::size_t>& counts) {
  std::size_t sum = 0;
  for (const auto& [word, count] : counts) sum += count;
  return sum;
}

std::size_t common(const std::map<std::string, std::size_t>& a, const std::map<std::string, std::size_t>& b) {
  std::size_t sum = 0;
  for (const auto& [word, count] : a) {
    if (const auto other = b.find(word); other != b.end()) sum += std::min(count, other->second);
  }
  return sum;
}

// The bodies were cleaned by scripts of their own, which share nothing with the reader, and looked over in
// parts: citations in brackets, cross-references in the source, mathematics and
// the insides of tables left out; headings, captions, and citations that are part of a sentence kept.  The
// texts may not be passed on; tests/golden/papers holds their words' hashes and how often each occurs.
double recall(const std::string& file, const std::string& golden_words) {
  std::ifstream in(golden("papers/" + golden_words));
  std::map<std::string, std::size_t> expected;
  std::string hash;
  std::size_t count = 0;
  while (in >> hash >> count) expected[hash] = count;
  EXPECT_GT(total(expected), 3000u);
  const auto found = word_hashes(read_paper(file, Math::drop).text());
  // More words than there are would make a recall of 1 an empty boast.
  EXPECT_LT(static_cast<double>(total(found)), 1.15 * static_cast<double>(total(expected)));
  return static_cast<double>(common(expected, found)) / static_cast<double>(total(expected));
}

TEST(PaperRecall, SourceKeepsTheBody) {
  DECIBAN_NEEDS_SHARED("fixtures/arxiv/eprint/docling_2305.03393.tar.gz");
  EXPECT_GE(recall("eprint/docling_2305.03393.tar.gz", "2305.03393.words"), 0.97);
}

TEST(PaperRecall, HtmlKeepsTheBody) {
  DECIBAN_NEEDS_SHARED("fixtures/arxiv/latexml/llamapun_astro-ph9710163.html");
  EXPECT_GE(recall("latexml/llamapun_astro-ph9710163.html", "astro-ph9710163.words"), 0.97);
}

TEST(PaperRecall, HtmlAndSourceAgree) {
  DECIBAN_NEEDS_SHARED("fixtures/arxiv/eprint/engrafo_1803.07574");
  const auto html = word_hashes(read_paper("latexml/engrafo_1803.07574.html", Math::drop).text());
  const auto source = word_hashes(read_paper("eprint/engrafo_1803.07574", Math::drop).text());
  const auto both = static_cast<double>(common(html, source));
  EXPECT_GE(both / static_cast<double>(total(html)), 0.95);
  EXPECT_GE(both / static_cast<double>(total(source)), 0.95);
}

TEST(PaperParts, LeftOutPartsOfRealPapersDoNotShow) {
  DECIBAN_NEEDS_SHARED("fixtures/arxiv/eprint/docling_1706.03762.tar.gz");
  const std::string text = read_paper("eprint/docling_1706.03762.tar.gz", Math::tex).text();
  EXPECT_THAT(text, Not(HasSubstr("We are grateful to")));        // acknowledgements at the conclusion's end
  EXPECT_THAT(text, Not(HasSubstr("hereby grants permission")));  // front matter
  EXPECT_THAT(text, Not(HasSubstr("Layer normalization. ")));     // references
  EXPECT_THAT(text, Not(HasSubstr("Scaling Factor")));  // sqrt_d_trick.tex is in the archive but not read
  EXPECT_THAT(text, HasSubstr("$d_{\\text{model}}"));   // the paper's own macro, expanded
}

}  // namespace
}  // namespace deciban

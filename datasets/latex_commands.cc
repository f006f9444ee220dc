#include "datasets/latex_commands.h"

#include <algorithm>
#include <array>
#include <unordered_map>
#include <utility>

namespace deciban {
namespace {

// Names, separated by spaces, that share a value.
template <typename Value>
struct Group {
  Value value;
  std::string_view names;
};

using C = LatexCommand;

constexpr Group<LatexCommand> kCommands[] = {
    {C::begin, "begin"},
    {C::end, "end"},
    {C::section, "part chapter section subsection subsubsection paragraph subparagraph newsec subsec"},
    {C::title, "title icmltitle Title papertitle"},
    {C::abstract, "abstract"},
    {C::caption, "caption captionof subcaption tablecaption figcaption"},
    {C::footnote, "footnote"},
    {C::footnote_text, "footnotetext"},
    {C::label, "label"},
    {C::item, "item"},
    {C::line_break, "\\ newline linebreak break"},
    {C::paragraph, "par newpage clearpage endgraf"},
    {C::inline_math, "("},
    {C::display_math, "["},
    {C::ensure_math, "ensuremath"},
    {C::input, "input include subfile subfileinclude InputIfFileExists"},
    {C::import, "import subimport"},
    {C::verbatim, "verb lstinline"},
    {C::url, "url path nolinkurl"},
    {C::href, "href"},
    {C::appendix, "appendix appendices supplementary"},
    {C::bibliography, "bibliography printbibliography"},
    {C::acknowledgements, "acknowledgments acknowledgements acknowledgment acknowledgement ack"},
    {C::make_title, "maketitle"},
    {C::style_file, "usepackage RequirePackage"},
    {C::definition,
     "newcommand renewcommand providecommand DeclareRobustCommand newrobustcmd def gdef edef xdef "
     "let newenvironment renewenvironment newtheorem spnewtheorem declaretheorem "
     "DeclareMathOperator DeclarePairedDelimiter NewDocumentCommand RenewDocumentCommand "
     "ProvideDocumentCommand newif"},
    {C::condition,
     "else fi or ifthenelse iffalse iftrue ifx ifdefined ifnum ifdim ifodd ifcase if ifcat ifmmode "
     "ifhmode ifvmode ifinner ifvoid ifhbox ifvbox ifeof ifcsname ifpdf ifpdftex ifxetex ifluatex "
     "ifPDFTeX ifXeTeX ifLuaTeX if@twocolumn if@twoside if@filesw"},
    {C::letter_at, "makeatletter"},
    {C::other_at, "makeatother"},
    {C::first_of_two, "texorpdfstring"},
    {C::one_column_text, "twocolumn"},
    {C::optional_space, "xspace"},
    {C::rule, "vrule hrule"},
    {C::dimension,
     "vskip hskip kern hsize vsize parindent parskip baselineskip textwidth textheight topmargin "
     "oddsidemargin evensidemargin leftskip rightskip tabcolsep abovedisplayskip belowdisplayskip "
     "abovecaptionskip belowcaptionskip raise lower overfullrule tolerance pretolerance hbadness "
     "hfuzz widowpenalty clubpenalty penalty interdisplaylinepenalty"},
    {C::named_command, "csname"},
    {C::citation,
     "cite Cite citep citet citealt citealp Citet Citep citeauthor Citeauthor citeyear citeyearpar "
     "citenum citeN citeA citeNP shortcite shortciteA shortciteN parencite Parencite textcite "
     "Textcite autocite Autocite footcite footcitetext smartcite supercite fullcite onlinecite "
     "citetext citeyearNP citeasnoun possessivecite citealias defcitealias citetalias citepalias "
     "newcite posscite cites textcites parencites autocites citefullauthor citenamefont nocite "
     "bibcite citetitle citeurl inlinecite refcite citeonline"},
    {C::reference,
     "ref eqref cref Cref autoref pageref vref Vref nameref labelcref subref secref figref tabref "
     "eqnref cpageref prettyref fullref crefrange Crefrange autopageref zcref footref fref Fref "
     "sref tref"},
    {C::font_size, "Huge huge LARGE Large large normalsize"},
};

constexpr std::pair<std::string_view, std::string_view> kSymbols[] = {
    {" ", " "},
    {"\n", " "},
    {"\t", " "},
    {",", " "},
    {";", " "},
    {":", " "},
    {">", " "},
    {"enspace", " "},
    {"thinspace", " "},
    {"quad", " "},
    {"qquad", " "},
    {"hfill", " "},
    {"hfil", " "},
    {"space", " "},
    {"nobreakspace", " "},
    {"tab", " "},
    {"!", ""},
    {"/", ""},
    {"-", ""},
    {"@", ""},
    {"%", "%"},
    {"&", "&"},
    {"#", "#"},
    {"_", "_"},
    {"$", "$"},
    {"{", "{"},
    {"}", "}"},
    {"lbrace", "{"},
    {"rbrace", "}"},
    {"textbackslash", "\\"},
    {"backslash", "\\"},
    {"textasciitilde", "~"},
    {"textasciicircum", "^"},
    {"textunderscore", "_"},
    {"textbar", "|"},
    {"textless", "<"},
    {"textgreater", ">"},
    {"textbraceleft", "{"},
    {"textbraceright", "}"},
    {"textdollar", "$"},
    {"textemdash", "—"},
    {"textendash", "–"},
    {"textquotedblleft", "“"},
    {"textquotedblright", "”"},
    {"textquoteleft", "‘"},
    {"textquoteright", "’"},
    {"textquotesingle", "'"},
    {"textquotedbl", "\""},
    {"lq", "‘"},
    {"rq", "’"},
    {"guillemotleft", "«"},
    {"guillemotright", "»"},
    {"ldots", "…"},
    {"dots", "…"},
    {"textellipsis", "…"},
    {"ss", "ß"},
    {"SS", "ẞ"},
    {"ae", "æ"},
    {"AE", "Æ"},
    {"oe", "œ"},
    {"OE", "Œ"},
    {"o", "ø"},
    {"O", "Ø"},
    {"l", "ł"},
    {"L", "Ł"},
    {"aa", "å"},
    {"AA", "Å"},
    {"i", "ı"},
    {"j", "ȷ"},
    {"dh", "ð"},
    {"DH", "Ð"},
    {"dj", "đ"},
    {"DJ", "Đ"},
    {"th", "þ"},
    {"TH", "Þ"},
    {"ng", "ŋ"},
    {"NG", "Ŋ"},
    {"S", "§"},
    {"P", "¶"},
    {"copyright", "©"},
    {"textcopyright", "©"},
    {"textregistered", "®"},
    {"texttrademark", "™"},
    {"pounds", "£"},
    {"textsterling", "£"},
    {"euro", "€"},
    {"texteuro", "€"},
    {"EUR", "€"},
    {"textdegree", "°"},
    {"degree", "°"},
    {"degreeCelsius", "°C"},
    {"textmu", "µ"},
    {"micro", "µ"},
    {"textpm", "±"},
    {"texttimes", "×"},
    {"textbullet", "•"},
    {"textperiodcentered", "·"},
    {"textdagger", "†"},
    {"dag", "†"},
    {"ddag", "‡"},
    {"textdaggerdbl", "‡"},
    {"textasteriskcentered", "*"},
    {"textonehalf", "½"},
    {"textalpha", "α"},
    {"textbeta", "β"},
    {"textgamma", "γ"},
    {"LaTeX", "LaTeX"},
    {"LaTeXe", "LaTeX2e"},
    {"TeX", "TeX"},
    {"BibTeX", "BibTeX"},
    {"AmS", "AMS"},
    {"eg", "e.g."},
    {"ie", "i.e."},
    {"etal", "et al."},
    {"etc", "etc."},
    {"slash", "/"},
    {"textsuperscript", ""},
    {"AND", " "},
    {"and", " "},
};

constexpr std::pair<std::string_view, std::string_view> kAccents[] = {
    {"`", "\u0300"}, {"'", "\u0301"}, {"^", "\u0302"},  {"~", "\u0303"}, {"=", "\u0304"},
    {"u", "\u0306"}, {".", "\u0307"}, {"\"", "\u0308"}, {"r", "\u030A"}, {"H", "\u030B"},
    {"v", "\u030C"}, {"d", "\u0323"}, {"c", "\u0327"},  {"k", "\u0328"}, {"b", "\u0331"}};

// Arguments, and the commands that have them.
constexpr Group<std::string_view> kDropped[] = {
    {"om",
     "documentclass documentstyle author Author authors affil affiliation affiliations "
     "altaffiliation address institute institution organization email ead homepage orcid "
     "collaboration correspondingauthor corresp cortext fntext tnotetext thanks keywords subjclass "
     "classification MSC ccsdesc received lhead rhead chead lfoot rfoot cfoot fancyhead fancyfoot "
     "fancyhf color textcolor rowcolor cellcolor includepdf epsfbox includesvg lstinputlisting "
     "captionsetup setlist rotatebox addbibresource bibitem cmidrule marginpar marginnote todo"},
    {"m",
     "altaffilmark affilnum orcidID orcidlink corref fnref tnoteref thanksref date dedication "
     "dedicated subtitle shorttitle shortauthors shortauthor titlerunning authorrunning "
     "runningtitle runningauthor runninghead icmltitlerunning icmlkeywords "
     "printAffiliationsAndNotice Keywords keyword kword pacs subject subjectclass JEL acmBooktitle "
     "acmJournal acmYear acmDOI acmISBN acmPrice acmVolume acmNumber acmArticle acmMonth "
     "copyrightyear setcopyright revised accepted published preprint journal journalname "
     "submitjournal pubyear volume issue facility facilities software pagestyle thispagestyle "
     "pagenumbering markright newlength stepcounter refstepcounter value colorbox pagecolor "
     "sethlcolor hypersetup geometry graphicspath DeclareGraphicsExtensions epsfig psfig plotone "
     "theoremstyle lstset verbatiminput tikzset usetikzlibrary pgfplotsset hyphenation addvspace "
     "vphantom hphantom phantom adjustbox hyperlink hypertarget bibliographystyle biboptions "
     "setcitestyle index glossary fontfamily fontseries fontshape selectlanguage foreignlanguage "
     "cline typeout message ExecuteOptions newsavebox usebox AtBeginDocument AtEndDocument sisetup "
     "etocdepthtag.toc tablehead tablecolumns tablewidth tabletypesize tablecomments tablerefs "
     "tablenotemark special write endnote vadjust mathversion"},
    {"mm",
     "altaffiltext icmlauthor icmlaffiliation icmlcorrespondingauthor icmlsetsymbol markboth "
     "setlength addtolength settowidth setcounter addtocounter numberwithin colorlet fcolorbox "
     "plottwo lstdefinestyle addtocontents fontsize multicolumn PackageWarning "
     "PassOptionsToPackage PassOptionsToClass DeclareUnicodeCharacter sbox AtBeginEnvironment "
     "DeclareAcronym newglossaryentry etocsettocstyle tablenotetext"},
    {"ommm", "acmConference newacronym"},
    {"mo", "newcounter scalebox"},
    {"smm", "counterwithin resizebox"},
    {"mom", "newcolumntype acrodef"},
    {"mmm", "definecolor addcontentsline crefname Crefname"},
    {"soom", "includegraphics"},
    {"mmmmmmmmm", "newtheoremstyle"},
    {"omm", "inputminted rule pdfbookmark"},
    {"smommmmo", "titleformat"},
    {"smmmm", "titlespacing"},
    {"sm", "vspace hspace enlargethispage"},
    {"moo", "raisebox"},
    {"ooom", "parbox"},
    {"oo", "makebox framebox"},
    {"o", "hyperref footnotemark allowdisplaybreaks pagebreak nopagebreak nolinebreak"},
    {"mmmm", "usefont DeclareMathSymbol"},
    {"omom", "multirow"},
    {"mmmmm", "DeclareMathAlphabet DeclareSymbolFont"},
    {"mmmmmm", "SetMathAlphabet"},
    {"moom", "savebox"},
    {"", "bmhead boldmath unboldmath pdfoutput thefootnote"},
};

using E = EnvironmentKind;

constexpr Group<EnvironmentKind> kEnvironments[] = {
    {E::document, "document"},
    {E::math, "equation displaymath math dmath dgroup empheq"},
    {E::math_rows, "gather align alignat flalign multline eqnarray IEEEeqnarray xalignat"},
    {E::raw,
     "verbatim Verbatim BVerbatim lstlisting minted alltt comment filecontents CCSXML tikzpicture "
     "pspicture"},
    {E::drawing,
     "picture tabular tabularx tabulary tabularray tblr longtblr tabbing array algorithmic "
     "algorithmicx diagram xy CD tikzcd forest axis overpic"},
    {E::floating,
     "figure table wrapfigure wraptable sidewaysfigure sidewaystable SCfigure SCtable "
     "floatingfigure teaserfigure longtable supertabular xtabular deluxetable algorithm "
     "algorithm2e listing"},
    {E::abstract, "abstract onecolabstract"},
    {E::front,
     "titlepage keyword keywords IEEEkeywords AMS MSCcodes pacs highlights graphicalabstract "
     "icmlauthorlist"},
    {E::left_out, "acknowledgments acknowledgements acknowledgment acknowledgement acks ack subappendices"},
    {E::bibliography, "thebibliography references"},
    {E::appendix, "appendix appendices"},
    {E::list,
     "itemize enumerate description compactitem compactenum inparaenum itemize* enumerate* list "
     "trivlist dinglist"},
};

constexpr std::pair<std::string_view, std::string_view> kEnvironmentArguments[] = {
    {"minipage", "ooom"},  {"multicols", "mo"},    {"spacing", "m"},         {"otherlanguage", "m"},
    {"adjustbox", "m"},    {"adjustwidth", "mm"},  {"list", "mm"},           {"dinglist", "m"},
    {"CJK", "omm"},        {"tcolorbox", "o"},     {"mdframed", "o"},        {"wrapfigure", "omom"},
    {"wraptable", "omom"}, {"alignat", "m"},       {"xalignat", "m"},        {"IEEEeqnarray", "om"},
    {"subfigure", "oom"},  {"subtable", "oom"},    {"tabular", "om"},        {"array", "om"},
    {"tabularx", "mom"},   {"tabulary", "mm"},     {"longtable", "om"},      {"thebibliography", "m"},
    {"deluxetable", "mo"}, {"supertabular", "m"},  {"xtabular", "m"},        {"empheq", "om"},
    {"addmargin", "om"},   {"changemargin", "mm"}, {"floatingfigure", "om"}, {"multicols*", "m"},
    {"overpic", "om"},     {"sloppypar", ""},      {"center", ""},           {"scope", "o"}};

constexpr std::pair<std::string_view, std::string_view> kTheorems[] = {{"theorem", "Theorem"},
                                                                       {"thm", "Theorem"},
                                                                       {"Theorem", "Theorem"},
                                                                       {"lemma", "Lemma"},
                                                                       {"lem", "Lemma"},
                                                                       {"Lemma", "Lemma"},
                                                                       {"corollary", "Corollary"},
                                                                       {"cor", "Corollary"},
                                                                       {"Corollary", "Corollary"},
                                                                       {"proposition", "Proposition"},
                                                                       {"prop", "Proposition"},
                                                                       {"Proposition", "Proposition"},
                                                                       {"definition", "Definition"},
                                                                       {"defn", "Definition"},
                                                                       {"Definition", "Definition"},
                                                                       {"remark", "Remark"},
                                                                       {"rem", "Remark"},
                                                                       {"Remark", "Remark"},
                                                                       {"example", "Example"},
                                                                       {"Example", "Example"},
                                                                       {"proof", "Proof"},
                                                                       {"Proof", "Proof"},
                                                                       {"pf", "Proof"},
                                                                       {"claim", "Claim"},
                                                                       {"conjecture", "Conjecture"},
                                                                       {"assumption", "Assumption"},
                                                                       {"problem", "Problem"},
                                                                       {"fact", "Fact"},
                                                                       {"observation", "Observation"},
                                                                       {"question", "Question"}};

template <typename Value, std::size_t N>
std::unordered_map<std::string_view, Value> index(const std::pair<std::string_view, Value> (&table)[N]) {
  return {std::begin(table), std::end(table)};
}

template <typename Value, std::size_t N>
std::unordered_map<std::string_view, Value> index(const Group<Value> (&table)[N]) {
  std::unordered_map<std::string_view, Value> map;
  for (const Group<Value>& group : table) {
    for (std::string_view rest = group.names; !rest.empty();) {
      const std::size_t end = std::min(rest.find(' '), rest.size());
      map.emplace(rest.substr(0, end), group.value);
      rest.remove_prefix(std::min(rest.size(), end + 1));
    }
  }
  return map;
}

// "align*" → "align".
std::string_view without_star(std::string_view name) {
  if (name.ends_with('*')) name.remove_suffix(1);
  return name;
}

template <typename Value>
std::optional<Value> look_up(const std::unordered_map<std::string_view, Value>& map, std::string_view name) {
  const auto found = map.find(name);
  return found == map.end() ? std::nullopt : std::optional<Value>(found->second);
}

}  // namespace

LatexCommand latex_command(std::string_view name) {
  static const auto map = index(kCommands);
  return look_up(map, name).value_or(C::none);
}

int section_level(std::string_view name) {
  if (name == "part" || name == "chapter") return 0;
  if (name == "subsection" || name == "subsec") return 2;
  if (name == "subsubsection") return 3;
  if (name == "paragraph") return 4;
  if (name == "subparagraph") return 5;
  return 1;
}

int font_size_rank(std::string_view name) {
  if (name == "Huge") return 6;
  if (name == "huge") return 5;
  if (name == "LARGE") return 4;
  if (name == "Large") return 3;
  if (name == "large") return 2;
  return 0;
}

std::optional<std::string_view> latex_symbol(std::string_view name) {
  static const auto map = index(kSymbols);
  return look_up(map, name);
}

std::optional<std::string_view> latex_accent(std::string_view name) {
  static const auto map = index(kAccents);
  return look_up(map, name);
}

std::optional<std::string_view> dropped_arguments(std::string_view name) {
  static const auto map = index(kDropped);
  return look_up(map, name);
}

EnvironmentKind environment_kind(std::string_view name) {
  static const auto map = index(kEnvironments);
  if (const auto kind = look_up(map, without_star(name))) return *kind;
  return theorem_name(name).empty() ? E::plain : E::theorem;
}

std::string_view environment_arguments(std::string_view name) {
  static const auto map = index(kEnvironmentArguments);
  return look_up(map, without_star(name)).value_or("o");
}

std::string_view theorem_name(std::string_view environment) {
  static const auto map = index(kTheorems);
  return look_up(map, without_star(environment)).value_or("");
}

std::string with_ligatures(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::string_view rest = text.substr(i);
    if (rest.starts_with("---")) {
      out += "—";
      i += 2;
    } else if (rest.starts_with("--")) {
      out += "–";
      ++i;
    } else if (rest.starts_with("``")) {
      out += "“";
      ++i;
    } else if (rest.starts_with("''")) {
      out += "”";
      ++i;
    } else if (rest.starts_with("`")) {
      out += "‘";
    } else if (rest.starts_with("'")) {
      out += "’";
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace deciban

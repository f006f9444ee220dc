#include "datasets/latex_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "datasets/latex_commands.h"
#include "datasets/latex_definitions.h"
#include "datasets/latex_frames.h"
#include "datasets/latex_math.h"
#include "datasets/paper_parts.h"
#include "datasets/paper_text.h"

namespace deciban {
namespace {

constexpr std::size_t kMostFiles = 2000;                  // read one after the other
constexpr std::size_t kDeepestFiles = 30;                 // within each other
constexpr std::size_t kMostText = std::size_t{16} << 20;  // bytes of text

class LatexWalk {
 public:
  LatexWalk(const LatexSource& source, const PaperOptions& options, const LatexLimits& limits)
      : source_(source), options_(options), stream_(limits), definitions_(stream_), frames_(builder_) {}

  Paper walk(std::size_t main) {
    main_ = main;
    const std::string& text = source_.files()[main].text;
    // Plain TeX has no preamble: everything is text.
    if (text.find("\\begin{document}") == std::string::npos) frames_.begin_document();
    stream_.push_file(text, main);
    try {
      Token token;
      while (!over_ && stream_.next(token)) {
        step(token);
        if (frames_.text_size() > kMostText)
          throw LatexLimit(fmt::format("its text takes more than {} bytes: refused", kMostText));
      }
    } catch (const LatexLimit& limit) {
      Paper paper;
      paper.reason = limit.what();
      return paper;
    }
    frames_.unwind_all();
    if (one_line(builder_.title).empty()) builder_.title = frames_.front_title();
    return builder_.finish();
  }

 private:
  void step(const Token& token) {
    TextFlow& flow = frames_.flow();
    switch (token.kind) {
      case TokenKind::text:
        if (frames_.muted()) return;
        if (token.text.find_first_of("`'-") == std::string_view::npos) {
          flow.add(token.text);
        } else {
          flow.add(with_ligatures(token.text));
        }
        return;
      case TokenKind::space:
        return flow.space();
      case TokenKind::paragraph:
        return flow.end_paragraph();
      case TokenKind::begin_group:
        return frames_.open_group();
      case TokenKind::end_group:
        return frames_.close_group();
      case TokenKind::math:
        return dollar();
      case TokenKind::align:
        return flow.space();
      case TokenKind::parameter:
        return;
      case TokenKind::command:
      case TokenKind::primitive:
        return command(token);
    }
  }

  void dollar() {
    Token second;
    if (stream_.next(second)) {
      if (second.kind == TokenKind::math) return math({MathEnd::Kind::double_dollar, ""}, true);
      stream_.unread(second);
    }
    math({MathEnd::Kind::dollar, ""}, false);
  }

  void math(const MathEnd& end, bool display) {
    const std::string tex = read_math(stream_, end);
    if (!frames_.muted()) frames_.flow().math(tex, display, options_.math);
  }

  void command(const Token& token) {
    const std::string_view name = token.text;
    const LatexCommand known = latex_command(name);
    if (known != LatexCommand::none) return known_command(known, token);
    if (stream_.expand(token)) return;
    if (definitions_.is_condition(name)) return definitions_.condition(name);
    if (definitions_.set_condition(name)) return;
    if (const auto symbol = latex_symbol(name)) {
      if (!frames_.muted()) frames_.flow().add(*symbol);
      return;
    }
    if (const auto accent = latex_accent(name)) return accented(*accent);
    if (const auto arguments = dropped_arguments(name)) return drop(*arguments);
    if (name == "bgroup") return frames_.open_group();
    if (name == "egroup") return frames_.close_group();
    // An unknown command: options that follow at once are none of the text, braces are.
    Token next;
    if (name.size() > 1 && stream_.peek(next) && next.kind == TokenKind::text && next.text == "[")
      stream_.bracket();
  }

  void known_command(LatexCommand known, const Token& token) {
    const std::string_view name = token.text;
    TextFlow& flow = frames_.flow();
    switch (known) {
      case LatexCommand::begin:
        return begin();
      case LatexCommand::end:
        return end();
      case LatexCommand::section:
        return section(name);
      case LatexCommand::title:
        stream_.star();
        stream_.bracket();
        return capture(Capture::title);
      case LatexCommand::abstract:
        return abstract();
      case LatexCommand::caption:
        stream_.star();
        if (name == "captionof") stream_.group();
        stream_.bracket();
        return capture(Capture::caption);
      case LatexCommand::footnote:
      case LatexCommand::footnote_text:
        stream_.bracket();
        return capture(Capture::note);
      case LatexCommand::citation:
      case LatexCommand::reference:
        return citation(name);
      case LatexCommand::label:
        stream_.group();
        return;
      case LatexCommand::item: {
        flow.end_paragraph();
        if (auto label = stream_.bracket()) {
          label->push_back({TokenKind::space, " "});
          stream_.push(std::move(*label));
        }
        return;
      }
      case LatexCommand::line_break:
        stream_.star();
        stream_.bracket();
        return flow.space();
      case LatexCommand::paragraph:
        return flow.end_paragraph();
      case LatexCommand::inline_math:
        return math({MathEnd::Kind::parenthesis, ""}, false);
      case LatexCommand::display_math:
        return math({MathEnd::Kind::bracket, ""}, true);
      case LatexCommand::ensure_math:
        if (auto formula = stream_.argument()) {
          formula->insert(formula->begin(), {TokenKind::math, "$"});
          formula->push_back({TokenKind::math, "$"});
          stream_.push(std::move(*formula));
        }
        return;
      case LatexCommand::input:
      case LatexCommand::import:
        return input(name);
      case LatexCommand::verbatim:
      case LatexCommand::url:
        return raw_text(name, flow);
      case LatexCommand::href:
        if (LatexLexer* lexer = stream_.lexer(); !lexer || lexer->raw_group().empty()) stream_.group();
        return;
      case LatexCommand::appendix:
        builder_.begin_appendix();
        over_ = frames_.in_document();
        return;
      case LatexCommand::bibliography:
        stream_.bracket();
        stream_.group();
        return end_of_text();
      case LatexCommand::acknowledgements:
        return acknowledgements();
      case LatexCommand::make_title:
        return builder_.drop_front_matter();
      case LatexCommand::style_file:
        return style_file();
      case LatexCommand::definition:
        return definitions_.define(name);
      case LatexCommand::condition:
        return definitions_.condition(name);
      case LatexCommand::letter_at:
        return stream_.letter_at(true);
      case LatexCommand::other_at:
        return stream_.letter_at(false);
      case LatexCommand::first_of_two:
        return first_of_two();
      case LatexCommand::one_column_text:
        if (auto text = stream_.bracket()) stream_.push(std::move(*text));
        return;
      case LatexCommand::optional_space:
        return optional_space(flow);
      case LatexCommand::rule:
      case LatexCommand::dimension:
        return dimension(known == LatexCommand::rule);
      case LatexCommand::named_command:
        return named_command();
      case LatexCommand::font_size:
        if (one_line(builder_.title).empty() && builder_.sections() == 0)
          frames_.font_size(font_size_rank(name));
        return;
      case LatexCommand::none:
        return;
    }
  }

  // Text goes to `target` until the group that follows is closed.
  void capture(Capture target) {
    stream_.skip_spaces();
    Token token;
    if (!stream_.next(token)) return;
    if (token.kind == TokenKind::begin_group) return frames_.open_capture(target, 0);
    stream_.unread(token);
  }

  void section(std::string_view name) {
    const int level = section_level(name);
    stream_.star();
    stream_.bracket();
    stream_.skip_spaces();
    Token token;
    if (!stream_.next(token)) return;
    if (token.kind != TokenKind::begin_group) {
      stream_.unread(token);
      return;
    }
    // A heading ends whatever float or list was left open.
    frames_.unwind_for_heading();
    if (!frames_.in_document()) {
      frames_.open_group();
      return;
    }
    frames_.open_capture(Capture::heading, level);
  }

  void abstract() {
    Token token;
    stream_.bracket();
    stream_.skip_spaces();
    if (!stream_.next(token)) return;
    stream_.unread(token);
    if (token.kind != TokenKind::begin_group) return;
    builder_.drop_front_matter();
    // Some classes have an abstract of several parts, each in its braces.
    Tokens all;
    while (auto part = stream_.group()) {
      all.insert(all.end(), part->begin(), part->end());
      all.push_back({TokenKind::paragraph, ""});
    }
    stream_.push(Token{TokenKind::end_group, "}"});
    stream_.push(std::move(all));
    frames_.open_capture(Capture::abstract, 0);
  }

  void citation(std::string_view name) {
    stream_.star();
    while (stream_.bracket()) continue;
    stream_.skip_spaces();
    const bool range = name == "crefrange" || name == "Crefrange" || name == "defcitealias";
    const bool silent = name == "nocite" || name == "defcitealias";
    const auto keys = stream_.group();
    if (range) stream_.group();
    if (keys && !silent && !frames_.muted()) frames_.flow().hole();
  }

  void accented(std::string_view accent) {
    const auto letter = stream_.argument();
    if (!letter || frames_.muted()) return;
    std::string text;
    for (const Token& token : *letter) {
      if (token.kind == TokenKind::command) {
        text += token.text == "i" ? "i" : token.text == "j" ? "j" : latex_symbol(token.text).value_or("");
      } else if (token.kind == TokenKind::text) {
        text += token.text;
      }
    }
    const std::size_t first = first_character(text);
    if (first == 0) return;
    frames_.flow().add(text.substr(0, first) + std::string(accent) + text.substr(first));
  }

  void drop(std::string_view arguments) {
    for (const char kind : arguments) {
      if (kind == 's') stream_.star();
      if (kind == 'o') stream_.bracket();
      if (kind == 'm') stream_.argument();
    }
  }

  void input(std::string_view name) {
    std::string path;
    if (auto group = stream_.group()) {
      path = one_line(plain_text(*group));
    } else {  // \input file
      Token token;
      while (stream_.next(token)) {
        if (token.kind != TokenKind::text && !(token.kind == TokenKind::command && path.empty())) {
          stream_.unread(token);
          break;
        }
        if (token.kind == TokenKind::command) {
          stream_.unread(token);
          break;
        }
        path += token.text;
      }
    }
    if (name == "import" || name == "subimport") {
      if (auto group = stream_.group()) path += "/" + one_line(plain_text(*group));
    }
    if (name == "InputIfFileExists") stream_.argument(), stream_.argument();
    const std::string_view here = folder_of(source_.files()[stream_.file()].path);
    const auto found =
        source_.find(path, name == "subimport" ? here : folder_of(source_.files()[main_].path));
    const auto file = found ? found : source_.find(path, here);
    if (!file || stream_.is_open(*file)) return;
    if (++files_read_ > kMostFiles)
      throw LatexLimit(fmt::format("it reads more than {} files: refused", kMostFiles));
    if (stream_.open_files() > kDeepestFiles)
      throw LatexLimit(fmt::format("its files are nested more than {} deep: refused", kDeepestFiles));
    stream_.push_file(source_.files()[*file].text, *file);
  }

  void style_file() {
    stream_.bracket();
    const auto group = stream_.group();
    if (!group) return;
    std::string names = plain_text(*group) + ",";
    for (std::size_t from = 0, comma; (comma = names.find(',', from)) != std::string::npos;
         from = comma + 1) {
      const auto file = source_.find_style(std::string_view(names).substr(from, comma - from));
      if (file && ++files_read_ <= kMostFiles) definitions_.read_style(source_.files()[*file].text);
    }
  }

  void raw_text(std::string_view name, TextFlow& flow) {
    LatexLexer* const lexer = stream_.lexer();
    std::string_view raw;
    if (lexer) raw = name == "verb" ? lexer->raw_delimited() : lexer->raw_group();
    if (raw.empty() && name == "lstinline" && lexer) raw = lexer->raw_delimited();
    std::string text(raw);
    if (raw.empty()) {
      const auto group = stream_.group();
      if (!group) return;
      text = plain_text(*group);
    }
    if (name != "verb" && name != "lstinline") std::erase(text, '\\');
    if (!frames_.muted()) flow.add(text);
  }

  void acknowledgements() {
    stream_.star();
    Token token;
    const bool braces = stream_.peek(token) && token.kind == TokenKind::begin_group;
    if (braces) {
      stream_.group();
    } else if (frames_.in_document()) {
      frames_.unwind_for_heading();
      builder_.begin_section(1, "Acknowledgements");
    }
  }

  // In a book every chapter may have its own references; elsewhere the paper is over with them.
  void end_of_text() {
    if (frames_.in_document() && builder_.sections() > 0 && !builder_.has_chapters()) over_ = true;
  }

  void first_of_two() {
    auto first = stream_.argument();
    auto second = stream_.argument();
    if (!first || !second) return;
    // The plain version serves where the first one shows nothing without its mathematics or citations.
    const bool plain = std::any_of(first->begin(), first->end(), [&](const Token& token) {
      return (token.kind == TokenKind::math && options_.math != Math::tex) ||
             (token.kind == TokenKind::command && latex_command(token.text) == LatexCommand::citation);
    });
    // "to\texorpdfstring{~\cite{x}}{X's}": the space belongs to what is replaced.
    if (plain && !first->empty() && first->front().kind == TokenKind::space) frames_.flow().space();
    stream_.push(std::move(plain ? *second : *first));
  }

  void optional_space(TextFlow& flow) {
    Token next;
    if (!stream_.peek(next)) return;
    constexpr std::string_view kNoSpaceBefore = ".,;:!?'\")]-/~";
    if (next.kind == TokenKind::text && kNoSpaceBefore.find(next.text.front()) == std::string_view::npos)
      flow.space();
    if (next.kind == TokenKind::math) flow.space();
    if (next.kind == TokenKind::command && next.text != "/" && next.text != "footnote" &&
        next.text != "footnotemark")
      flow.space();
  }

  // Skips "=1em plus 2pt", "height7pt width 4pt" and the like.
  void dimension(bool keywords) {
    const auto is_measure = [&](std::string_view text) {
      if (keywords && (text.starts_with("height") || text.starts_with("width") || text.starts_with("depth")))
        return true;
      if (text.starts_with("plus") || text.starts_with("minus") || text.starts_with("by")) return true;
      return text.find_first_of("0123456789") != std::string_view::npos &&
             text.find_first_not_of("=-+.0123456789abcdefghijklmnopqrstuvwxyz\\") == std::string_view::npos;
    };
    bool read_any = false;
    for (int words = 0; words < 12; ++words) {
      Token token;
      if (!stream_.next(token)) return;
      if (token.kind == TokenKind::space) continue;
      const bool measure =
          token.kind == TokenKind::text && (token.text == "=" || token.text == "-" || is_measure(token.text));
      const bool length =
          token.kind == TokenKind::command && !read_any &&
          (latex_command(token.text) == LatexCommand::dimension || token.text == "linewidth" ||
           token.text == "columnwidth" || token.text == "baselineskip");
      if (!measure && !length) {
        stream_.unread(token);
        if (read_any) frames_.flow().space();
        return;
      }
      read_any = read_any || measure;
      if (length) return;
    }
  }

  void named_command() {
    std::string name;
    Token token;
    constexpr std::size_t kLongest = 100;
    while (name.size() < kLongest && stream_.next(token)) {
      if (token.kind == TokenKind::command && token.text == "endcsname") break;
      if (token.kind == TokenKind::command && stream_.expand(token)) continue;
      name += token.text;
    }
    stream_.push(Tokens{{TokenKind::command, stream_.keep(std::move(name))}});
  }

  void begin() {
    const auto group = stream_.group();
    if (!group) return;
    const std::string name = one_line(plain_text(*group));
    const EnvironmentKind kind = environment_kind(name);
    switch (kind) {
      case EnvironmentKind::document:
        frames_.begin_document();
        return;
      case EnvironmentKind::math:
      case EnvironmentKind::math_rows: {
        if (name != "equation" && name != "equation*") drop(environment_arguments(name));
        std::string tex = read_math(stream_, {MathEnd::Kind::environment, name});
        if (kind == EnvironmentKind::math_rows) tex = "\\begin{aligned} " + tex + " \\end{aligned}";
        if (!frames_.muted()) frames_.flow().math(tex, name != "math", options_.math);
        return;
      }
      case EnvironmentKind::raw:
        return skip_raw(name);
      case EnvironmentKind::bibliography:
        skip_raw(name);
        return end_of_text();
      case EnvironmentKind::appendix:
        builder_.begin_appendix();
        over_ = frames_.in_document();
        return;
      case EnvironmentKind::theorem:
        if (!definitions_.environment(name)) return theorem(name);
        break;
      case EnvironmentKind::abstract:
        builder_.drop_front_matter();
        break;
      case EnvironmentKind::plain:
      case EnvironmentKind::drawing:
      case EnvironmentKind::floating:
      case EnvironmentKind::front:
      case EnvironmentKind::left_out:
      case EnvironmentKind::list:
        break;
    }
    if (const LatexEnvironment* own = definitions_.environment(name)) {
      // A macro of its own does the reading of arguments.
      const std::string_view begin = stream_.keep("begin " + name);
      stream_.define(begin, own->begin);
      frames_.open_environment(name, EnvironmentKind::plain);
      stream_.expand({TokenKind::command, begin});
      return;
    }
    if (kind == EnvironmentKind::plain && !definitions_.theorem(name).empty()) return theorem(name);
    frames_.open_environment(name, kind);
    drop(environment_arguments(name));
  }

  void theorem(const std::string& name) {
    frames_.flow().end_paragraph();
    frames_.open_environment(name, EnvironmentKind::theorem);
    auto note = stream_.bracket();
    if (frames_.muted()) return;
    TextFlow& flow = frames_.flow();
    flow.add(definitions_.theorem(name));
    if (!note) {
      flow.add(". ");
      return;
    }
    flow.add(" (");
    note->push_back({TokenKind::text, ")."});
    note->push_back({TokenKind::space, " "});
    stream_.push(std::move(*note));
  }

  void skip_raw(const std::string& name) {
    if (LatexLexer* lexer = stream_.lexer()) {
      lexer->raw_until("\\end{" + name + "}");
      return;
    }
    Token token;
    while (stream_.next(token)) {
      if (token.kind != TokenKind::command || token.text != "end") continue;
      const auto group = stream_.group();
      if (group && one_line(plain_text(*group)) == name) return;
    }
  }

  void end() {
    const auto group = stream_.group();
    if (!group) return;
    const std::string name = one_line(plain_text(*group));
    if (environment_kind(name) == EnvironmentKind::document) {
      // Of a file that is read by another, only that file ends.
      if (stream_.open_files() > 1) {
        stream_.end_file();
      } else {
        over_ = true;
      }
      return;
    }
    const LatexEnvironment* own = definitions_.environment(name);
    if (!frames_.close_environment(name)) return;
    if (own && !own->end.empty()) stream_.push(own->end);
  }

  const LatexSource& source_;
  const PaperOptions options_;
  LatexStream stream_;
  LatexDefinitions definitions_;
  PaperBuilder builder_;
  LatexFrames frames_;
  std::size_t main_ = 0, files_read_ = 0;
  bool over_ = false;
};

}  // namespace

Paper paper_from_latex(const LatexSource& source, std::size_t main, const PaperOptions& options,
                       const LatexLimits& limits) {
  return LatexWalk(source, options, limits).walk(main);
}

}  // namespace deciban

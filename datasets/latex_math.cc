#include "datasets/latex_math.h"

#include "datasets/latex_commands.h"
#include "datasets/latex_definitions.h"
#include "datasets/latex_tokens.h"
#include "datasets/paper_text.h"

namespace deciban {
namespace {

// Commands that say nothing about the formula, without and with an argument.
bool is_layout(std::string_view name) {
  return name == "nonumber" || name == "notag" || name == "xspace" || name == "protect" || name == "relax" ||
         name == "ensuremath" || name == "allowbreak" || name == "noindent" || name == "hfill" ||
         name == "hfil";
}
bool is_layout_with_argument(std::string_view name) {
  return name == "label" || name == "tag" || name == "vspace" || name == "thanks";
}

class MathReader {
 public:
  MathReader(LatexStream& stream, const MathEnd& end) : stream_(stream), end_(end) {}

  std::string read() {
    Token token;
    while (!ended_ && stream_.next(token)) {
      if (ends(token)) break;
      switch (token.kind) {
        case TokenKind::paragraph:
          if (end_.kind == MathEnd::Kind::dollar || end_.kind == MathEnd::Kind::parenthesis) {
            stream_.unread(token);
            return one_line(out_);
          }
          out_ += ' ';
          break;
        case TokenKind::space:
          out_ += ' ';
          break;
        case TokenKind::begin_group:
          ++depth_;
          out_ += '{';
          break;
        case TokenKind::end_group:
          if (depth_ == 0) break;  // closes something outside: TeX would complain
          --depth_;
          out_ += '}';
          break;
        case TokenKind::command:
        case TokenKind::primitive:
          command(token);
          break;
        case TokenKind::math:
        case TokenKind::align:
        case TokenKind::parameter:
        case TokenKind::text:
          append(token.text);
          break;
      }
    }
    return one_line(out_);
  }

 private:
  bool ends(const Token& token) {
    switch (end_.kind) {
      case MathEnd::Kind::dollar:
        return token.kind == TokenKind::math && depth_ == 0;
      case MathEnd::Kind::double_dollar: {
        if (token.kind != TokenKind::math || depth_ > 0) return false;
        Token second;
        if (stream_.next(second) && second.kind != TokenKind::math) stream_.unread(second);
        return true;
      }
      case MathEnd::Kind::parenthesis:
        return token.kind == TokenKind::command && token.text == ")";
      case MathEnd::Kind::bracket:
        return token.kind == TokenKind::command && token.text == "]";
      case MathEnd::Kind::environment:
        return false;
    }
    return false;
  }

  void append(std::string_view text) {
    if (text.empty()) return;
    if (after_name_ == out_.size() && after_name_ > 0 && is_tex_letter(text[0])) out_ += ' ';
    out_ += text;
  }

  void command(const Token& token) {
    if (stream_.expand(token)) return;
    const std::string_view name = token.text;
    // No formula holds a heading: this one was never closed.
    if (latex_command(name) == LatexCommand::section) {
      stream_.unread(token);
      ended_ = true;
      return;
    }
    if (is_layout(name)) return;
    if (is_layout_with_argument(name)) {
      stream_.star();
      stream_.argument();
      return;
    }
    if (end_.kind == MathEnd::Kind::environment && (name == "begin" || name == "end")) {
      const auto group = stream_.group();
      const std::string environment = group ? one_line(plain_text(*group)) : "";
      if (environment == end_.environment) {
        nested_ += name == "begin" ? 1 : -1;
        if (nested_ < 0) {
          ended_ = true;
          return;
        }
      }
      append("\\" + std::string(name) + "{" + environment + "}");
      return;
    }
    append("\\" + std::string(name));
    if (is_tex_letter(name[0])) after_name_ = out_.size();
  }

  LatexStream& stream_;
  const MathEnd& end_;
  std::string out_;
  std::size_t depth_ = 0;       // of braces
  std::size_t after_name_ = 0;  // where out_ ended with a command of letters
  int nested_ = 0;              // environments of the same name within
  bool ended_ = false;          // the environment's \end was read
};

}  // namespace

std::string read_math(LatexStream& stream, const MathEnd& end) { return MathReader(stream, end).read(); }

}  // namespace deciban

#include "engine/python_literal.h"

#include <fmt/format.h>

#include <stdexcept>

#include "engine/utf8.h"

namespace deciban {

namespace {

char32_t hex_value(std::string_view digits, std::size_t count, char kind) {
  if (digits.size() < count) {
    throw std::invalid_argument(fmt::format("the escape \\{}{} is cut short", kind, digits));
  }
  char32_t value = 0;
  for (const char c : digits.substr(0, count)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) {
      throw std::invalid_argument(
          fmt::format("the escape \\{}{} is not hexadecimal", kind, digits.substr(0, count)));
    }
    value = value << 4 | static_cast<char32_t>(digit);
  }
  return value;
}

}  // namespace

std::string unescape_python(std::string_view body, PythonLiteral kind, bool raw) {
  std::string bytes;
  bytes.reserve(body.size());
  for (std::size_t i = 0; i < body.size(); ++i) {
    const char c = body[i];
    if (c != '\\') {
      if (kind == PythonLiteral::bytes && !raw && static_cast<unsigned char>(c) >= 0x80) {
        throw std::invalid_argument("a bytes literal has a character beyond ASCII");
      }
      bytes += c;
      continue;
    }
    if (++i == body.size()) throw std::invalid_argument("the literal ends in a lone backslash");
    const char escape = body[i];
    switch (escape) {
      case '\\':
      case '\'':
      case '"':
        bytes += escape;
        continue;
      case 'n':
        bytes += '\n';
        continue;
      case 'r':
        bytes += '\r';
        continue;
      case 't':
        bytes += '\t';
        continue;
    }
    const std::size_t digits = escape == 'x' ? 2 : escape == 'u' ? 4 : escape == 'U' ? 8 : 0;
    if (!digits || (kind == PythonLiteral::bytes && escape != 'x')) {
      throw std::invalid_argument(fmt::format("unknown escape \\{}", escape));
    }
    const char32_t value = hex_value(body.substr(i + 1), digits, escape);
    i += digits;
    if (kind == PythonLiteral::bytes) {
      bytes += static_cast<char>(value);
    } else if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) {
      throw std::invalid_argument(fmt::format("U+{:04X} is no character", static_cast<std::uint32_t>(value)));
    } else {
      append_utf8(bytes, value);
    }
  }
  if (kind == PythonLiteral::text && first_invalid_utf8(bytes) != bytes.size()) {
    throw std::invalid_argument("the literal is not valid UTF-8");
  }
  return bytes;
}

std::string parse_python_literal(std::string_view literal) {
  PythonLiteral kind = PythonLiteral::text;
  if (literal.starts_with('b')) {
    kind = PythonLiteral::bytes;
    literal.remove_prefix(1);
  }
  if (literal.empty() || (literal[0] != '\'' && literal[0] != '"')) {
    throw std::invalid_argument("the token is not a Python literal ('...', \"...\" or b'...')");
  }
  if (literal.size() < 2 || literal.back() != literal[0]) {
    throw std::invalid_argument("the literal's closing quote is missing");
  }
  const char quote = literal[0];
  const std::string_view body = literal.substr(1, literal.size() - 2);
  for (std::size_t i = 0; i < body.size(); ++i) {
    if (body[i] == '\\') {
      if (++i == body.size()) throw std::invalid_argument("the literal's closing quote is missing");
    } else if (body[i] == quote) {
      throw std::invalid_argument("the literal ends before its last quote");
    }
  }
  return unescape_python(body, kind);
}

}  // namespace deciban

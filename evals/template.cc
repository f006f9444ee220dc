#include "evals/template.h"

#include <fmt/format.h>

#include <cctype>
#include <charconv>
#include <stdexcept>
#include <utility>

#include "evals/template_filters.h"

namespace deciban {

using nlohmann::json;

struct Template::Expression {
  struct Step {
    enum class Kind { field, index, each } kind = Kind::field;
    std::string field;
    std::size_t index = 0;
  };
  struct Filter {
    const TemplateFilter* filter = nullptr;
    std::vector<Expression> arguments;
  };
  json literal;             // null: a path
  std::vector<Step> steps;  // of the path
  std::vector<Filter> filters;

  json evaluate(const json& row) const;
};

namespace {

std::string fields_of(const json& row) {
  if (!row.is_object()) return "it is no object";
  std::string names;
  for (const auto& [name, value] : row.items()) names += (names.empty() ? "it has " : ", ") + name;
  return names.empty() ? "it has no fields" : names;
}

using Steps = std::vector<Template::Expression::Step>;

std::string path_name(const Steps& steps, std::size_t count) {
  std::string name;
  for (std::size_t i = 0; i < count; ++i) {
    using Kind = Template::Expression::Step::Kind;
    if (steps[i].kind == Kind::each) {
      name += "[]";
    } else {
      if (i > 0) name += '.';
      name += steps[i].kind == Kind::field ? steps[i].field : fmt::format("{}", steps[i].index);
    }
  }
  return name;
}

json walk(const json& value, const Steps& steps, std::size_t from) {
  using Kind = Template::Expression::Step::Kind;
  if (from == steps.size()) return value;
  const auto& step = steps[from];
  if (step.kind == Kind::each) {
    if (!value.is_array())
      throw std::runtime_error(fmt::format("the field {} is no list", path_name(steps, from)));
    json list = json::array();
    for (const json& item : value) list.push_back(walk(item, steps, from + 1));
    return list;
  }
  if (step.kind == Kind::index) {
    if (!value.is_array() || step.index >= value.size()) {
      throw std::runtime_error(fmt::format(
          "the field {} is missing{}", path_name(steps, from + 1),
          value.is_array() ? fmt::format(": there are {} items", value.size()) : ": that is no list"));
    }
    return walk(value[step.index], steps, from + 1);
  }
  const auto found = value.is_object() ? value.find(step.field) : value.end();
  if (!value.is_object() || found == value.end()) {
    throw std::runtime_error(
        fmt::format("the field {} is missing; {}", path_name(steps, from + 1), fields_of(value)));
  }
  return walk(*found, steps, from + 1);
}

bool is_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

class Parser {
 public:
  Parser(std::string_view source, std::size_t at) : source_(source), at_(at) {}

  Template::Expression expression() {
    Template::Expression result = operand();
    for (skip(); take('|'); skip()) result.filters.push_back(filter());
    return result;
  }
  std::size_t at() const { return at_; }
  void skip() {
    while (at_ < source_.size() && source_[at_] == ' ') ++at_;
  }
  bool take(char c) {
    if (at_ == source_.size() || source_[at_] != c) return false;
    ++at_;
    return true;
  }
  [[noreturn]] void fail(const std::string& what) const {
    throw std::invalid_argument(fmt::format("template '{}', character {}: {}", source_, at_ + 1, what));
  }

 private:
  std::string name(const char* what) {
    const std::size_t from = at_;
    while (at_ < source_.size() && is_name(source_[at_])) ++at_;
    if (at_ == from) fail(fmt::format("{} is expected", what));
    return std::string(source_.substr(from, at_ - from));
  }

  std::string quoted() {
    const char quote = source_[at_++];
    std::string text;
    while (at_ < source_.size() && source_[at_] != quote) {
      char c = source_[at_++];
      if (c == '\\') {
        if (at_ == source_.size()) break;
        const char escaped = source_[at_++];
        c = escaped == 'n' ? '\n' : escaped == 't' ? '\t' : escaped;
      }
      text += c;
    }
    if (!take(quote)) fail("the string does not end");
    return text;
  }

  Template::Expression operand() {
    Template::Expression result;
    skip();
    const char c = at_ < source_.size() ? source_[at_] : '\0';
    if (c == '\'' || c == '"') {
      result.literal = quoted();
    } else if (c == '-' || std::isdigit(static_cast<unsigned char>(c))) {
      std::int64_t number = 0;
      const char* const from = source_.data() + at_;
      const auto [end, error] = std::from_chars(from, source_.data() + source_.size(), number);
      if (error != std::errc{}) fail("this is no number");
      at_ += static_cast<std::size_t>(end - from);
      result.literal = number;
    } else {
      result.steps.push_back({Template::Expression::Step::Kind::field, name("a field's name"), 0});
      path(result.steps);
    }
    return result;
  }

  void path(Steps& steps) {
    using Kind = Template::Expression::Step::Kind;
    for (;;) {
      if (take('[')) {
        if (!take(']')) fail("']' is expected: answers[].text takes the text of all answers");
        steps.push_back({Kind::each, "", 0});
      } else if (take('.')) {
        const std::string word = name("a field's name or a number");
        std::size_t index = 0;
        const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), index);
        const bool number = error == std::errc{} && end == word.data() + word.size();
        steps.push_back({number ? Kind::index : Kind::field, number ? "" : word, index});
      } else {
        return;
      }
    }
  }

  Template::Expression::Filter filter() {
    skip();
    const std::string word = name("a filter's name");
    Template::Expression::Filter result;
    result.filter = find_template_filter(word);
    if (!result.filter) {
      std::string known;
      for (const std::string& other : template_filter_names()) known += (known.empty() ? "" : ", ") + other;
      fail(fmt::format("there is no filter '{}'; there are {}", word, known));
    }
    if (take('(')) {
      for (skip(); !take(')'); skip()) {
        if (!result.arguments.empty() && !take(',')) fail("',' or ')' is expected");
        result.arguments.push_back(expression());
      }
    }
    const std::size_t count = result.arguments.size();
    if (count < result.filter->least || count > result.filter->most)
      fail(fmt::format("the filter {} does not take {} arguments", word, count));
    return result;
  }

  std::string_view source_;
  std::size_t at_;
};

}  // namespace

json Template::Expression::evaluate(const json& row) const {
  json value = literal.is_null() ? walk(row, steps, 0) : literal;
  for (const Filter& step : filters) {
    std::vector<json> given;
    for (const Expression& argument : step.arguments) given.push_back(argument.evaluate(row));
    try {
      if (step.filter->of_text && value.is_array()) {
        for (json& item : value) item = step.filter->apply(item, given);
      } else {
        value = step.filter->apply(value, given);
      }
    } catch (const std::runtime_error& error) {
      throw std::runtime_error(fmt::format("{}{}{}: {}", path_name(steps, steps.size()),
                                           steps.empty() ? "" : "|", step.filter->name, error.what()));
    }
  }
  return value;
}

std::string template_text(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_integer()) return value.dump();
  throw std::runtime_error(fmt::format("a value of type {} is no text", value.type_name()));
}

Template::Template(std::string_view source) : source_(source) {
  std::string text;
  for (std::size_t at = 0; at < source_.size();) {
    const char c = source_[at];
    if ((c == '{' || c == '}') && at + 1 < source_.size() && source_[at + 1] == c) {
      text += c;
      at += 2;
    } else if (c == '{') {
      if (!text.empty()) parts_.push_back({std::exchange(text, {}), nullptr});
      Parser parser(source_, at + 1);
      auto expression = std::make_shared<Expression>(parser.expression());
      if (!parser.take('}')) parser.fail("'}' is expected");
      parts_.push_back({"", std::move(expression)});
      at = parser.at();
    } else if (c == '}') {
      Parser(source_, at).fail("a '}' without its '{' (write }} for the character)");
    } else {
      text += c;
      ++at;
    }
  }
  if (!text.empty()) parts_.push_back({std::move(text), nullptr});
}

std::string Template::text(const json& row) const {
  std::string result;
  for (const Part& part : parts_)
    result += part.expression ? template_text(part.expression->evaluate(row)) : part.text;
  return result;
}

json Template::value(const json& row) const {
  if (parts_.size() == 1 && parts_[0].expression) return parts_[0].expression->evaluate(row);
  return text(row);
}

}  // namespace deciban

#include "evals/start_token.h"

#include <fmt/format.h>

#include <charconv>
#include <stdexcept>

namespace deciban {

StartPolicy StartPolicy::parse(std::string_view word) {
  if (word == "bos") return {};
  if (word == "none") return {Kind::none, 0};
  Token token = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), token);
  if (word.empty() || error != std::errc{} || end != word.data() + word.size() || token < 0) {
    throw std::invalid_argument(fmt::format("start '{}': must be bos, none or a token's id", word));
  }
  return {Kind::token, token};
}

std::string StartPolicy::name() const {
  return kind == Kind::bos ? "bos" : kind == Kind::none ? "none" : fmt::format("{}", token);
}

std::optional<Token> StartPolicy::resolve(const ModelInfo& model) const {
  if (kind == Kind::none) return std::nullopt;
  if (kind == Kind::bos) return model.start_token;
  if (model.vocabulary > 0 && static_cast<std::size_t>(token) >= model.vocabulary) {
    throw std::invalid_argument(
        fmt::format("start token {}: {} has only tokens 0 to {}", token, model.name, model.vocabulary - 1));
  }
  return token;
}

std::string start_name(std::optional<Token> start) { return start ? fmt::format("{}", *start) : "none"; }

}  // namespace deciban

#include "cli/serve/completions.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/utf8.h"

namespace deciban {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::size_t kMostLogprobs = 20, kMostStops = 16;
constexpr std::size_t kMostTokens = 1 << 20;  // of one continuation

std::string shown(const json& value) {
  constexpr std::size_t kShown = 60;
  std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  return text.size() <= kShown ? text : text.substr(0, kShown) + "…";
}

[[noreturn]] void wrong(const char* field, const json& value, std::string_view wanted) {
  throw BadRequest(fmt::format("\"{}\": {} is not {}", field, shown(value), wanted));
}

const json* find(const json& request, const char* field) {
  const auto found = request.find(field);
  return found == request.end() || found->is_null() ? nullptr : &*found;
}

std::size_t whole(const char* field, const json& value, std::size_t most) {
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > most) {
    wrong(field, value, fmt::format("a whole number from 0 to {}", most));
  }
  return value.get<std::size_t>();
}

// What we do one way only may be asked for that way.
void only(const json& request, const char* field, const std::vector<json>& offered, const char* why) {
  const json* value = find(request, field);
  if (value && std::find(offered.begin(), offered.end(), *value) == offered.end()) {
    throw BadRequest(fmt::format("\"{}\": {}: {}", field, shown(*value), why));
  }
}

std::vector<Token> token_list(const json& list, const ModelInfo& info) {
  std::vector<Token> tokens;
  tokens.reserve(list.size());
  for (const json& value : list) {
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() >= info.vocabulary) {
      wrong("prompt", value, fmt::format("a token from 0 to {}", info.vocabulary - 1));
    }
    tokens.push_back(value.get<Token>());
  }
  return tokens;
}

// A text, a list of texts, a list of tokens, or a list of lists of tokens.
std::vector<std::vector<Token>> prompt_tokens(const json& prompt, const ServedText& text) {
  const ModelInfo& info = text.model().info();
  std::vector<std::vector<Token>> prompts;
  const auto one = [&](const json& value) {
    if (value.is_string()) return prompts.push_back(text.encode(value.get<std::string>()));
    if (value.is_array()) return prompts.push_back(token_list(value, info));
    wrong("prompt", value, "a text or a list of tokens");
  };
  if (prompt.is_array() && !prompt.empty() && !prompt[0].is_number()) {
    for (const json& value : prompt) one(value);
  } else {
    one(prompt);
  }
  for (std::vector<Token>& tokens : prompts) {
    if (!tokens.empty()) continue;
    if (!info.start_token) throw BadRequest("\"prompt\": is empty, and this model has no start token");
    tokens.push_back(*info.start_token);  // what texts follow
  }
  return prompts;
}

// Characters, which are what starts in UTF-8 and not what goes on.
std::size_t characters_in(std::string_view bytes) {
  return static_cast<std::size_t>(
      std::count_if(bytes.begin(), bytes.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

// The text up to the first stop, or all of it.
std::string until_stop(const std::string& text, std::span<const std::string> stops) {
  std::size_t end = text.size();
  for (const std::string& stop : stops) end = std::min(end, text.find(stop));
  return text.substr(0, end);
}

bool holds_stop(const std::string& text, std::span<const std::string> stops) {
  return std::any_of(stops.begin(), stops.end(),
                     [&](const std::string& stop) { return text.find(stop) != std::string::npos; });
}

ordered_json logprobs_json(const CompletionRequest& request, std::span<const Token> prompt,
                           const Completion& completion, const ServedText& text) {
  std::vector<Token> tokens;
  if (request.echo) tokens.assign(prompt.begin(), prompt.end());
  tokens.insert(tokens.end(), completion.added.begin(), completion.added.end());
  ordered_json names = json::array(), logprobs = json::array(), tops = json::array(), offsets = json::array();
  std::size_t offset = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    names.push_back(text.name(tokens[i]));
    offsets.push_back(offset);
    offset += characters_in(text.model().decode({&tokens[i], 1}));
    if (request.echo && i == 0) {  // nothing stands before it
      logprobs.push_back(nullptr);
      tops.push_back(nullptr);
      continue;
    }
    const PlaceScore& place = completion.scores.at(request.echo ? i - 1 : i);
    logprobs.push_back(place.score.logprob);
    ordered_json top = json::object();
    for (const Alternative& entry : place.top) {
      const std::string name = text.name(entry.token);
      if (!top.contains(name)) top[name] = entry.logprob;  // the first of a name is the more probable one
    }
    tops.push_back(std::move(top));
  }
  return {{"tokens", std::move(names)},
          {"token_logprobs", std::move(logprobs)},
          {"top_logprobs", std::move(tops)},
          {"text_offset", std::move(offsets)}};
}

}  // namespace

ServedText::ServedText(const LanguageModel& model) : model_(model) {
  if (!model.info().start_token) return;
  const std::string own = model.decode(std::vector<Token>{*model.info().start_token});
  const bool printable =
      !own.empty() && std::all_of(own.begin(), own.end(), [](char c) { return c > ' ' && c < 127; });
  end_of_text_ = printable && own.size() > 1 ? own : std::string(kEndOfText);
}

std::vector<Token> ServedText::encode(const std::string& text) const {
  if (end_of_text_ && text == *end_of_text_) return {*model_.info().start_token};
  return model_.encode(text);
}

std::string ServedText::decode(std::span<const Token> tokens) const {
  return repair_utf8(model_.decode(tokens));
}

std::string ServedText::name(Token token) const {
  if (token == model_.info().start_token) return *end_of_text_;
  const std::string bytes = model_.decode({&token, 1});
  if (first_invalid_utf8(bytes) == bytes.size()) return bytes;
  std::string name = "bytes:";
  for (const char c : bytes) name += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return name;
}

CompletionRequest parse_completion_request(const std::string& body, const ServedText& text) {
  const json request = json::parse(body, nullptr, false);
  if (!request.is_object()) throw BadRequest("the body is not a JSON object");
  CompletionRequest result;
  const json* prompt = find(request, "prompt");
  if (!prompt) throw BadRequest("\"prompt\" is missing");
  only(request, "stream", {json(false)}, "replies come in one piece");
  only(request, "n", {json(1)}, "one choice for each prompt is made");
  only(request, "best_of", {json(1)}, "one choice for each prompt is made");
  only(request, "temperature", {json(0), json(0.0)}, "the most probable token is taken; use 0");
  if (const json* suffix = find(request, "suffix"); suffix && *suffix != "") {
    throw BadRequest("\"suffix\": texts are only continued at their end");
  }
  if (const json* value = find(request, "max_tokens"))
    result.max_tokens = whole("max_tokens", *value, kMostTokens);
  if (const json* value = find(request, "logprobs")) {
    if (value->is_boolean()) {
      if (value->get<bool>()) result.logprobs = 1;
    } else {
      result.logprobs = whole("logprobs", *value, kMostLogprobs);
    }
  }
  if (const json* value = find(request, "echo")) {
    if (!value->is_boolean()) wrong("echo", *value, "true or false");
    result.echo = value->get<bool>();
  }
  if (const json* value = find(request, "stop")) {
    const json list = value->is_array() ? *value : json::array({*value});
    if (list.size() > kMostStops) wrong("stop", *value, fmt::format("at most {} texts", kMostStops));
    for (const json& stop : list) {
      if (!stop.is_string()) wrong("stop", stop, "a text");
      if (!stop.get_ref<const std::string&>().empty()) result.stop.push_back(stop.get<std::string>());
    }
  }
  result.prompts = prompt_tokens(*prompt, text);
  return result;
}

std::vector<Prompt> prompts_of(const CompletionRequest& request, const ServedText& text) {
  std::vector<Prompt> prompts;
  for (const std::vector<Token>& tokens : request.prompts) {
    Prompt prompt;
    prompt.tokens = tokens;
    prompt.continuation = request.max_tokens;
    prompt.score = request.echo && request.logprobs.has_value();
    prompt.top = request.logprobs.value_or(0);
    if (!request.stop.empty()) {
      prompt.enough = [&text, stops = request.stop](std::span<const Token> added) {
        return holds_stop(text.model().decode(added), stops);
      };
    }
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

ordered_json completion_reply(const CompletionRequest& request, std::span<const Completion> completions,
                              const ServedText& text) {
  ordered_json choices = json::array();
  std::size_t read = 0, added = 0;
  for (std::size_t i = 0; i < completions.size(); ++i) {
    const Completion& completion = completions[i];
    if (!completion.error.empty()) {
      throw std::runtime_error(completions.size() == 1 ? completion.error
                                                       : fmt::format("prompt {}: {}", i, completion.error));
    }
    const std::vector<Token>& prompt = request.prompts[i];
    read += prompt.size();
    added += completion.added.size();
    std::vector<Token> shown = completion.added;
    const auto start = text.model().info().start_token;
    if (completion.stopped && start && !shown.empty() && shown.back() == *start) shown.pop_back();
    std::string words = repair_utf8(until_stop(text.model().decode(shown), request.stop));
    if (request.echo) words = text.decode(prompt) + words;
    ordered_json choice{{"index", i}, {"text", std::move(words)}};
    choice["logprobs"] =
        request.logprobs ? logprobs_json(request, prompt, completion, text) : ordered_json(nullptr);
    choice["finish_reason"] = completion.stopped ? "stop" : "length";
    choices.push_back(std::move(choice));
  }
  return {{"choices", std::move(choices)},
          {"usage", {{"prompt_tokens", read}, {"completion_tokens", added}, {"total_tokens", read + added}}}};
}

}  // namespace deciban

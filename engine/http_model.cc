#include "engine/http_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <thread>

#include "engine/checked_delivery.h"
#include "engine/checkpoint.h"
#include "engine/http_request.h"
#include "engine/model_spec.h"
#include "engine/tokenizer.h"
#include "engine/utf8.h"

namespace deciban {
namespace {

using nlohmann::json;

constexpr std::string_view kRoute = "/v1/completions";
constexpr std::size_t kUnknownVocabulary = std::size_t{1} << 20;  // a server need not tell

// How a server gives the log-probabilities of a prompt's tokens.
enum class Way { prompt_logprobs, echo };

struct HttpOptions {
  std::string url, base;  // …/v1/completions, and what stands before it
  std::string model, tokenizer, way = "auto";
  std::size_t concurrency = 4, batch = 8, context = 0;
  HttpSettings request;
};

template <typename Number>
Number number(const ModelSpec& spec, const char* key, Number usual, Number least, Number most) {
  const std::string* word = spec.find(key);
  if (word == nullptr) return usual;
  Number value{};
  const auto [end, error] = std::from_chars(word->data(), word->data() + word->size(), value);
  if (error != std::errc{} || end != word->data() + word->size() || !(value >= least && value <= most)) {
    throw std::invalid_argument(fmt::format("{} '{}': must be from {} to {}", key, *word, least, most));
  }
  return value;
}

HttpOptions http_options(const std::string& words, const std::string& spec, const ModelOptions& model) {
  const ModelSpec parsed = parse_model_spec(
      words.starts_with("//") || spec.starts_with("https:") ? spec : words,
      {"model", "tokenizer", "concurrency", "batch", "timeout", "retries", "context", "way"});
  HttpOptions options;
  std::string url = parsed.target;
  if (!url.starts_with("http://") && !url.starts_with("https://")) {
    throw std::invalid_argument(
        fmt::format("model '{}': an address begins with http:// or https://, such as "
                    "http://127.0.0.1:8000/v1/completions",
                    spec));
  }
  if (url.find('@') < url.find('/', url.find("//") + 2)) {
    throw std::invalid_argument(
        "a server's key is taken from the environment (DECIBAN_HTTP_KEY or OPENAI_API_KEY), never from its "
        "address");
  }
  while (url.ends_with('/')) url.pop_back();
  if (!url.ends_with("/completions")) url += url.ends_with("/v1") ? "/completions" : kRoute;
  options.url = url;
  options.base = url.ends_with(kRoute) ? url.substr(0, url.size() - kRoute.size())
                                       : url.substr(0, url.size() - std::string_view("/completions").size());
  const auto word = [&](const char* key, std::string& value) {
    if (const std::string* set = parsed.find(key)) value = *set;
  };
  options.tokenizer = model.tokenizer == "auto" ? "" : model.tokenizer;
  word("model", options.model);
  word("tokenizer", options.tokenizer);
  word("way", options.way);
  if (options.way != "auto" && options.way != "echo" && options.way != "prompt_logprobs") {
    throw std::invalid_argument(fmt::format("way '{}': must be auto, echo or prompt_logprobs", options.way));
  }
  options.concurrency = number<std::size_t>(parsed, "concurrency", options.concurrency, 1, 256);
  options.batch = number<std::size_t>(parsed, "batch", options.batch, 1, 4096);
  options.context = number<std::size_t>(parsed, "context", 0, 2, std::size_t{1} << 40);
  options.request.retries = number<int>(parsed, "retries", options.request.retries, 0, 100);
  options.request.timeout = std::chrono::duration<double>(
      number<double>(parsed, "timeout", options.request.timeout.count(), 0.001, 1e6));
  for (const char* name : {"DECIBAN_HTTP_KEY", "OPENAI_API_KEY"}) {
    const char* set = std::getenv(name);
    if (set == nullptr || *set == '\0') continue;
    options.request.key = set;
    break;
  }
  return options;
}

// A reply that is not what was asked for.
struct BadReply : std::runtime_error {
  using std::runtime_error::runtime_error;
};

std::string beginning(const std::string& text) {
  constexpr std::size_t kShown = 300;
  return repair_utf8(text.size() <= kShown ? text : text.substr(0, kShown) + "…");
}

class HttpModel final : public LanguageModel {
 public:
  HttpModel(HttpOptions options, const std::string& spec)
      : options_(std::move(options)), who_(fmt::format("server {}", options_.url)) {
    info_.spec = spec;
    ask_for_model();
    open_tokenizer_of();
    choose_way();
    info_.family = "server";
    info_.format = info_.weight_format = info_.activation_format = "unknown";
    info_.device = "server";
    info_.kernels = way_ == Way::echo ? "http echo" : "http prompt_logprobs";
    info_.constant_state = false;
    info_.batch_bound = 0.1;  // a server's batches are its own affair
    if (options_.context > 0) info_.context_limit = options_.context;
    const std::string recipe = fmt::format("http {} {} {}", options_.url, options_.model, server_digest_);
    info_.digest = sha256_hex(std::as_bytes(std::span(recipe)));
  }

  const ModelInfo& info() const override { return info_; }

  std::vector<Token> encode(std::string_view text) const override {
    if (tokenizer_) return tokenizer_->encode(text);
    if (text.empty()) return {};
    if (first_invalid_utf8(text) != text.size()) {
      throw std::runtime_error(
          fmt::format("{}: a text that is no UTF-8 cannot be sent to its tokenizer", who_));
    }
    const json reply =
        post(options_.base + "/tokenize",
             {{"model", options_.model}, {"prompt", std::string(text)}, {"add_special_tokens", false}});
    return token_list(reply);
  }
  std::string decode(std::span<const Token> tokens) const override {
    if (tokenizer_) return tokenizer_->decode(tokens);
    if (tokens.empty()) return {};
    const json reply =
        post(options_.base + "/detokenize",
             {{"model", options_.model}, {"tokens", std::vector<Token>(tokens.begin(), tokens.end())}});
    if (!reply.contains("prompt") || !reply["prompt"].is_string()) {
      throw BadReply(fmt::format("{}: its /detokenize gives no \"prompt\"", who_));
    }
    return reply["prompt"].get<std::string>();
  }
  std::string normalise(std::string_view text) const override {
    return tokenizer_ ? tokenizer_->normalise(text) : std::string(text);
  }

  void score(SequenceSource& next, ScoreSink& done) override {
    if (done.wants_rows()) throw std::runtime_error(fmt::format("{} gives no rows of logits", who_));
    CheckedDelivery delivery(who_, info_, next, done, true);
    std::mutex mutex;
    std::exception_ptr failure;
    {
      std::vector<std::jthread> workers;
      for (std::size_t i = 0; i < options_.concurrency; ++i) {
        workers.emplace_back([&] {
          try {
            while (work(delivery)) {
              const std::lock_guard lock(mutex);
              if (failure) return;
            }
          } catch (...) {
            const std::lock_guard lock(mutex);
            if (!failure) failure = std::current_exception();
          }
        });
      }
    }
    if (failure) std::rethrow_exception(failure);
    delivery.finish();
  }

 private:
  struct Item {
    Sequence sequence;
    std::size_t index = 0;
  };

  // A JSON object from a reply of status 200.  Throws BadReply for anything else that came.
  json object_of(const std::string& url, const HttpReply& reply) const {
    const json body = json::parse(reply.body, nullptr, false);
    if (reply.status != 200) {
      throw BadReply(fmt::format(
          "{}: HTTP status {}: {}{}", url, reply.status,
          beginning(without_key(reply.body, options_.request.key)),
          reply.status == 401 || reply.status == 403
              ? (options_.request.key.empty() ? " (no key is set: DECIBAN_HTTP_KEY or OPENAI_API_KEY)"
                                              : " (the key in the environment is not accepted)")
              : ""));
    }
    if (!body.is_object())
      throw BadReply(fmt::format("{}: the reply is not a JSON object: {}", url,
                                 beginning(without_key(reply.body, options_.request.key))));
    return body;
  }
  json post(const std::string& url, const json& body) const {
    const std::string text = body.dump();
    return object_of(url, http_request(url, &text, options_.request));
  }
  json get(const std::string& url) const {
    return object_of(url, http_request(url, nullptr, options_.request));
  }

  std::vector<Token> token_list(const json& reply) const {
    const auto tokens = reply.find("tokens");
    if (tokens == reply.end() || !tokens->is_array()) {
      throw BadReply(fmt::format("{}: its /tokenize gives no list \"tokens\"", who_));
    }
    std::vector<Token> result;
    for (const json& token : *tokens) {
      if (!token.is_number_unsigned() || token.get<std::uint64_t>() >= kUnknownVocabulary) {
        throw BadReply(fmt::format("{}: its /tokenize gives the token {}", who_, token.dump()));
      }
      result.push_back(token.get<Token>());
    }
    return result;
  }

  // The model's name, what it holds, and its digest, if the server tells.
  void ask_for_model() {
    json entry = json::object();
    try {
      const json models = get(options_.base + "/v1/models");
      for (const json& one : models.at("data")) {
        if (options_.model.empty() || one.value("id", "") == options_.model) {
          entry = one;
          break;
        }
      }
    } catch (const BadReply&) {  // not every server has the route
    } catch (const json::exception&) {
    }
    if (options_.model.empty()) options_.model = entry.value("id", "");
    if (options_.model.empty()) {
      throw std::runtime_error(fmt::format("{}: it does not say which models it has: add ,model=NAME", who_));
    }
    info_.name = options_.model;
    const auto limit = entry.find("max_model_len");
    if (options_.context == 0 && limit != entry.end() && limit->is_number_unsigned() &&
        limit->get<std::size_t>() > 2) {
      options_.context = limit->get<std::size_t>() - 1;  // the token that is generated has to fit
    }
    const auto digest = entry.find("digest");
    if (digest != entry.end() && digest->is_string()) server_digest_ = digest->get<std::string>();
  }

  void open_tokenizer_of() {
    info_.vocabulary = kUnknownVocabulary;
    if (!options_.tokenizer.empty()) {
      tokenizer_ = open_tokenizer(options_.tokenizer);
      info_.tokenizer = tokenizer_->name();
      info_.tokenizer_digest = tokenizer_->digest();
      info_.start_token = tokenizer_->start_token();
      info_.vocabulary = std::max<std::size_t>(tokenizer_->size(), 1);
      return;
    }
    try {
      encode("a");
    } catch (const BadReply& error) {
      throw std::runtime_error(fmt::format(
          "{} has no tokenizer to ask ({}): name its vocabulary: ,tokenizer=PATH", who_, error.what()));
    }
    info_.tokenizer = "server";
    const std::string recipe =
        fmt::format("tokenizer of {} {} {}", options_.base, options_.model, server_digest_);
    info_.tokenizer_digest = sha256_hex(std::as_bytes(std::span(recipe)));
    try {
      const json told = get(options_.base + "/tokenizer_info");
      for (const char* name : {"bos_token", "eos_token"}) {
        const auto text = told.find(name);
        if (text == told.end() || !text->is_string()) continue;
        const std::vector<Token> tokens = encode(text->get<std::string>());
        if (tokens.size() == 1) info_.start_token = tokens.front();
        break;
      }
      const auto size = told.find("vocab_size");
      if (size != told.end() && size->is_number_unsigned() && size->get<std::size_t>() > 0 &&
          size->get<std::size_t>() < kUnknownVocabulary) {
        info_.vocabulary = size->get<std::size_t>();
      }
    } catch (const BadReply&) {  // no route, no start token
    }
  }

  // Servers that know nothing of prompts' log-probabilities mostly answer with none, or with those of other
  // tokens, and no error: a sample shows what this one does.
  void choose_way() {
    std::vector<Token> sample = encode("The quick brown fox jumps over the lazy dog");
    if (info_.start_token) sample.insert(sample.begin(), *info_.start_token);
    std::string reasons;
    for (const Way way : {Way::prompt_logprobs, Way::echo}) {
      const char* word = way == Way::echo ? "echo" : "prompt_logprobs";
      if (options_.way != "auto" && options_.way != word) continue;
      way_ = way;
      try {
        const Item item{{sample, 1, 0}, 0};
        const json reply = post(options_.url, request({&item, 1}));
        const std::vector<TokenScore> scores = scores_of(choices_of(reply, {&item, 1}).at(0), item.sequence);
        if (std::all_of(scores.begin(), scores.end(), [](const TokenScore& s) { return s.logprob == 0; })) {
          throw BadReply("all log-probabilities are 0");
        }
        return;
      } catch (const BadReply& error) {
        reasons += fmt::format("; with {}: {}", word, error.what());
      }
    }
    throw std::runtime_error(fmt::format(
        "{} does not return the log-probabilities of a prompt's tokens, so texts cannot be scored by it{}",
        who_, reasons));
  }

  json request(std::span<const Item> items) const {
    json prompts = json::array();
    for (const Item& item : items) {
      prompts.push_back(std::vector<Token>(item.sequence.tokens.begin(), item.sequence.tokens.end()));
    }
    json body{
        {"model", options_.model}, {"prompt", std::move(prompts)}, {"max_tokens", 1}, {"temperature", 0}};
    if (way_ == Way::echo) {
      body["echo"] = true;
      body["logprobs"] = 1;
    } else {
      body["prompt_logprobs"] = 1;
    }
    return body;
  }

  // The choices by their index.
  std::vector<json> choices_of(const json& reply, std::span<const Item> items) const {
    const auto choices = reply.find("choices");
    if (choices == reply.end() || !choices->is_array() || choices->size() != items.size()) {
      throw BadReply(fmt::format("{}: {} prompts were sent, {} choices came", who_, items.size(),
                                 choices == reply.end() ? 0 : choices->size()));
    }
    std::size_t sent = 0;
    for (const Item& item : items) sent += item.sequence.tokens.size();
    const json usage = reply.value("usage", json::object());
    const auto read = usage.is_object() ? usage.find("prompt_tokens") : usage.end();
    if (usage.is_object() && read != usage.end() && read->is_number_unsigned() &&
        read->get<std::size_t>() != sent) {
      throw BadReply(fmt::format("{}: {} tokens were sent, but it says it read {}: it changes prompts", who_,
                                 sent, read->get<std::size_t>()));
    }
    std::vector<json> ordered(items.size());
    for (std::size_t i = 0; i < items.size(); ++i) {
      const json& choice = (*choices)[i];
      const std::size_t index = choice.is_object() ? choice.value("index", i) : items.size();
      if (index >= items.size() || !ordered[index].is_null()) {
        throw BadReply(fmt::format("{}: the choices' indices are not 0 to {}", who_, items.size() - 1));
      }
      ordered[index] = choice;
    }
    return ordered;
  }

  std::vector<TokenScore> scores_of(const json& choice, const Sequence& sequence) const {
    return way_ == Way::echo ? echoed(choice, sequence) : prompt_logprobs(choice, sequence);
  }

  std::vector<TokenScore> echoed(const json& choice, const Sequence& sequence) const {
    const std::size_t n = sequence.tokens.size();
    const auto logprobs = choice.find("logprobs");
    if (logprobs == choice.end() || !logprobs->is_object()) throw BadReply("the choice has no \"logprobs\"");
    const json own = logprobs->value("token_logprobs", json::array()),
               top = logprobs->value("top_logprobs", json::array());
    // The prompt's tokens and the one that was generated, unless the text ended there.
    if (!own.is_array() || (own.size() != n + 1 && own.size() != n)) {
      throw BadReply(
          fmt::format("{} log-probabilities came for a prompt of {} tokens and one more", own.size(), n));
    }
    if (!top.is_array() || top.size() != own.size()) {
      throw BadReply(fmt::format("\"top_logprobs\" has {} places for {} tokens", top.size(), own.size()));
    }
    std::vector<TokenScore> scores;
    for (std::size_t i = sequence.first; i < n; ++i) {
      if (!own[i].is_number() || !top[i].is_object() || top[i].empty()) {
        throw BadReply(fmt::format("no log-probability came for token {} of {}", i, n));
      }
      const double logprob = own[i].get<double>();
      double best = -INFINITY;
      for (const json& value : top[i]) {
        if (value.is_number()) best = std::max(best, value.get<double>());
      }
      // The texts of the best tokens say nothing certain of their ids.
      scores.push_back({static_cast<float>(logprob), static_cast<float>(std::max(best, logprob)),
                        logprob >= best ? sequence.tokens[i] : -1});
    }
    return scores;
  }

  std::vector<TokenScore> prompt_logprobs(const json& choice, const Sequence& sequence) const {
    const std::size_t n = sequence.tokens.size();
    const auto places = choice.find("prompt_logprobs");
    if (places == choice.end() || !places->is_array())
      throw BadReply("the choice has no \"prompt_logprobs\"");
    if (places->size() != n)
      throw BadReply(fmt::format("{} places came for a prompt of {} tokens", places->size(), n));
    std::vector<TokenScore> scores;
    for (std::size_t i = sequence.first; i < n; ++i) {
      const json& place = (*places)[i];
      const auto own = place.is_object() ? place.find(std::to_string(sequence.tokens[i])) : place.end();
      if (!place.is_object() || own == place.end() || !own->is_object() || !own->contains("logprob") ||
          !(*own)["logprob"].is_number()) {
        throw BadReply(fmt::format("no log-probability came for token {} of {}", i, n));
      }
      TokenScore score{(*own)["logprob"].get<float>(), -INFINITY, -1};
      for (const auto& [id, entry] : place.items()) {
        if (!entry.is_object() || !entry.contains("logprob") || !entry["logprob"].is_number()) continue;
        const float logprob = entry["logprob"].get<float>();
        const bool first = entry.contains("rank") ? entry["rank"] == 1 : logprob > score.best_logprob;
        if (!first && logprob <= score.best_logprob) continue;
        Token token = -1;
        std::from_chars(id.data(), id.data() + id.size(), token);
        score.best_logprob = logprob;
        score.best = token;
        if (entry.contains("rank") && first) break;
      }
      scores.push_back(score);
    }
    return scores;
  }

  // Scores some sequences; false at the end.
  bool work(CheckedDelivery& delivery) {
    std::vector<Item> items;
    Item item;
    while (items.size() < options_.batch && delivery.next(item.sequence, item.index)) items.push_back(item);
    if (items.empty()) return false;
    try {
      send(items, delivery);
    } catch (const BadReply& error) {
      // One prompt that is refused is no reason to lose those beside it.
      for (const Item& one : items) {
        try {
          if (items.size() == 1) throw BadReply(error);
          send({&one, 1}, delivery);
        } catch (const BadReply& alone) {
          delivery.failed(one.index, alone.what());
        }
      }
    }
    return true;
  }

  void send(std::span<const Item> items, CheckedDelivery& delivery) {
    const std::vector<json> choices = choices_of(post(options_.url, request(items)), items);
    std::vector<std::vector<TokenScore>> scores;
    for (std::size_t i = 0; i < items.size(); ++i) scores.push_back(scores_of(choices[i], items[i].sequence));
    for (std::size_t i = 0; i < items.size(); ++i) delivery.scored(items[i].index, scores[i]);
  }

  HttpOptions options_;
  const std::string who_;
  ModelInfo info_;
  std::unique_ptr<Tokenizer> tokenizer_;  // null: the server's
  std::string server_digest_;
  Way way_ = Way::echo;
};

}  // namespace

std::unique_ptr<LanguageModel> open_http(const std::string& words, const std::string& spec,
                                         const ModelOptions& options) {
  return std::make_unique<HttpModel>(http_options(words, spec, options), spec);
}

void check_http(const std::string& words, const std::string& spec, const ModelOptions& options) {
  http_options(words, spec, options);
}

}  // namespace deciban

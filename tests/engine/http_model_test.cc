// Models behind servers: the two ways of getting a prompt's log-probabilities, and the many ways of not
// getting them.
#include "engine/http_model.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "tests/engine/scoring.h"
#include "tests/scratch_directory.h"

namespace deciban {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// What our server gives for a token after another: no model, but of every place its own.
double logprob_of(int before, int token) { return -1.0 - (before * 7 + token * 3) % 16 / 8.0; }

// A completions server over bytes that does one thing wrong if told so.
class Server {
 public:
  explicit Server(std::string fault = "", bool vllm = false) : fault_(std::move(fault)), vllm_(vllm) {
    server_.set_tcp_nodelay(true);
    server_.set_keep_alive_max_count(1);  // else its end waits for connections that are kept open
    server_.Get("/v1/models", [](const auto&, auto& r) {
      r.set_content(R"({"data": [{"id": "model", "max_model_len": 64}]})", "application/json");
    });
    server_.Get("/tokenizer_info", [](const auto&, auto& r) {
      r.set_content(R"({"eos_token": "<end>", "vocab_size": 256})", "application/json");
    });
    server_.Post("/tokenize", [this](const auto& q, auto& r) {
      if (fault_ == "no_tokenizer") return void(r.status = 404);
      const std::string text = json::parse(q.body)["prompt"];
      json tokens = json::array();
      if (text == "<end>")
        tokens.push_back(0);
      else
        for (const char c : text) tokens.push_back(static_cast<unsigned char>(c));
      r.set_content(json{{"tokens", tokens}}.dump(), "application/json");
    });
    server_.Post("/detokenize", [](const auto& q, auto& r) {
      std::string text;
      const json body = json::parse(q.body);
      for (const int t : body["tokens"]) text.push_back(static_cast<char>(t));
      r.set_content(json{{"prompt", text}}.dump(), "application/json");
    });
    server_.Post("/v1/completions", [this](const auto& q, auto& r) { complete(q, r); });
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    while (!server_.is_running()) std::this_thread::yield();
  }
  ~Server() {
    server_.stop();
    thread_.join();
  }
  std::string url() const { return fmt::format("http://127.0.0.1:{}", port_); }

  std::atomic<int> requests = 0, refuse_next = 0;
  std::string authorization() {
    const std::lock_guard lock(mutex_);
    return authorization_;
  }

 private:
  void complete(const httplib::Request& q, httplib::Response& r) {
    ++requests;
    {
      const std::lock_guard lock(mutex_);
      authorization_ = q.get_header_value("Authorization");
    }
    if (refuse_next > 0) {
      --refuse_next;
      r.status = 429;
      r.set_header("Retry-After", "0.01");
      return;
    }
    if (fault_ == "status") {
      r.status = 401;
      return r.set_content("wrong key: " + q.get_header_value("Authorization"), "text/plain");
    }
    if (fault_ == "html") return r.set_content("<html>welcome</html>", "text/html");
    const json asked = json::parse(q.body);
    json choices = json::array();
    std::size_t read = 0;
    for (const json& prompt : asked["prompt"]) {
      for (const int t : prompt) {
        if (t == 250) {
          r.status = 400;
          return r.set_content("250 is not allowed", "text/plain");
        }
      }
      read += prompt.size();
      choices.insert(choices.begin(), choice(asked, prompt, choices.size()));  // in another order
    }
    if (fault_ == "reads_more") ++read;
    r.set_content(json{{"choices", choices}, {"usage", {{"prompt_tokens", read}}}}.dump(),
                  "application/json");
  }

  json choice(const json& asked, const json& prompt, std::size_t index) const {
    json choice{{"index", index}, {"text", ""}};
    if (vllm_ && asked.contains("prompt_logprobs")) {
      json places = json::array({nullptr});
      for (std::size_t i = 1; i < prompt.size(); ++i) {
        const int token = prompt[i];
        json place{{std::to_string(token), {{"logprob", logprob_of(prompt[i - 1], token)}, {"rank", 9}}}};
        place[std::to_string((token + 1) % 256)] = {{"logprob", -0.5}, {"rank", 1}};
        places.push_back(place);
      }
      if (fault_ == "short") places.erase(1);
      choice["prompt_logprobs"] = places;
    }
    if (!asked.value("echo", false) || fault_ == "no_logprobs") return choice;
    json own = json::array({nullptr}), top = json::array({nullptr});
    for (std::size_t i = 1; i < prompt.size(); ++i) {
      const double logprob = fault_ == "zeros" ? 0 : logprob_of(prompt[i - 1], prompt[i]);
      own.push_back(logprob);
      top.push_back({{"x", std::max(logprob, -1.5)}});
    }
    own.push_back(-0.25);
    top.push_back({{"y", -0.25}});
    if (fault_ == "only_generated") own = {-0.25}, top = {{{"y", -0.25}}};
    if (fault_ == "one_less") own.erase(1), own.erase(1), top.erase(1), top.erase(1);
    if (fault_ == "nulls") own[3] = nullptr;
    if (fault_ == "no_top") top = json::array();
    choice["logprobs"] = {{"token_logprobs", own}, {"top_logprobs", top}};
    return choice;
  }

  const std::string fault_;
  const bool vllm_;
  httplib::Server server_;
  int port_ = 0;
  std::thread thread_;
  std::mutex mutex_;
  std::string authorization_;
};

std::vector<std::vector<Token>> texts(std::size_t n) {
  std::vector<std::vector<Token>> all;
  for (std::size_t i = 0; i < n; ++i) {
    all.emplace_back();
    for (std::size_t k = 0; k < 4 + i % 9; ++k)
      all.back().push_back(static_cast<Token>((i * 37 + k * 11) % 250));
  }
  return all;
}

TEST(HttpModel, BothWaysGiveEveryTokenItsOwn) {
  for (const bool vllm : {false, true}) {
    Server server("", vllm);
    const auto model = open_model(server.url() + ",batch=3,concurrency=3", {});
    EXPECT_EQ(model->info().kernels, vllm ? "http prompt_logprobs" : "http echo");
    EXPECT_EQ(model->info().name, "model");
    EXPECT_EQ(model->info().start_token, 0);
    EXPECT_EQ(model->info().vocabulary, 256u);
    EXPECT_EQ(model->info().context_limit, 63u);
    EXPECT_EQ(model->decode(model->encode("round trip")), "round trip");
    const auto all = texts(25);
    std::vector<Sequence> list;
    for (const auto& text : all) list.push_back({text, 1 + list.size() % 3, 0});
    const Collected got = score(*model, list);
    ASSERT_EQ(got.scores.size(), list.size()) << (got.failures.empty() ? "" : got.failures.begin()->second);
    for (std::size_t s = 0; s < list.size(); ++s) {
      for (std::size_t i = list[s].first; i < all[s].size(); ++i) {
        const TokenScore& score = got.scores.at(s)[i - list[s].first];
        const auto expected = static_cast<float>(logprob_of(all[s][i - 1], all[s][i]));
        EXPECT_EQ(score.logprob, expected);
        if (vllm) {
          EXPECT_EQ(score.best, (all[s][i] + 1) % 256);
          EXPECT_EQ(score.best_logprob, -0.5f);
        } else {
          EXPECT_EQ(score.best, expected >= -1.5f ? all[s][i] : -1)
              << "the id of another best token is not known";
        }
      }
    }
  }
}

TEST(HttpModel, RefusesServersThatDoNotGiveThePromptsLogProbabilities) {
  const std::pair<const char*, const char*> faults[] = {
      {"no_logprobs", "no \"logprobs\""},
      {"only_generated", "1 log-probabilities came for a prompt of 44 tokens"},
      {"one_less", "43 log-probabilities came for a prompt of 44"},
      {"zeros", "all log-probabilities are 0"},
      {"nulls", "no log-probability came for token 3"},
      {"no_top", "\"top_logprobs\" has 0 places"},
      {"reads_more", "44 tokens were sent, but it says it read 45"},
      {"html", "not a JSON object"},
  };
  for (const auto& [fault, words] : faults) {
    Server server(fault);
    EXPECT_THAT(
        message_of([&] { open_model(server.url(), {}); }),
        AllOf(HasSubstr("does not return the log-probabilities of a prompt's tokens"), HasSubstr(words)))
        << fault;
  }
  Server server("short", true);
  EXPECT_EQ(open_model(server.url(), {})->info().kernels, "http echo") << "the other way is right";
  EXPECT_THAT(message_of([&] { open_model(server.url() + ",way=prompt_logprobs", {}); }),
              HasSubstr("43 places came"));
}

TEST(HttpModel, TriesAgainWhatMayPassAndFailsWhatDoesNot) {
  Server server;
  server.refuse_next = 2;
  const auto model = open_model(server.url() + ",batch=4,concurrency=1", {});
  auto all = texts(6);
  all[2][1] = 250;
  std::vector<Sequence> list;
  for (const auto& text : all) list.push_back({text, 1, 0});
  server.refuse_next = 2;
  const Collected got = score(*model, list);
  EXPECT_EQ(got.scores.size(), 5u);
  EXPECT_THAT(got.failures.at(2), HasSubstr("250 is not allowed"));
  server.refuse_next = 100;
  EXPECT_THAT(message_of([&] { score(*open_model(server.url() + ",retries=1", {}), list); }),
              AllOf(HasSubstr("HTTP status 429"), HasSubstr("tried 2 times")));
  EXPECT_THAT(message_of([] { open_model("http://127.0.0.1:1/v1,retries=0,model=x", {}); }),
              HasSubstr("127.0.0.1:1"));
}

TEST(HttpModel, TheKeyComesFromTheEnvironmentAndIsNotShown) {
  Server good, bad("status");
  ::setenv("OPENAI_API_KEY", "sk-secret", 1);
  open_model(good.url(), {});
  EXPECT_EQ(good.authorization(), "Bearer sk-secret");
  const std::string text = message_of([&] { open_model(bad.url(), {}); });
  EXPECT_THAT(text,
              AllOf(HasSubstr("the key in the environment is not accepted"), Not(HasSubstr("sk-secret"))));
  ::setenv("DECIBAN_HTTP_KEY", "ours", 1);
  open_model(good.url(), {});
  EXPECT_EQ(good.authorization(), "Bearer ours");
  ::unsetenv("DECIBAN_HTTP_KEY");
  ::unsetenv("OPENAI_API_KEY");
  EXPECT_THAT(message_of([&] { open_model(bad.url(), {}); }), HasSubstr("no key is set"));
  EXPECT_THAT(message_of([] { check_model("http://user:pass@host/v1", {}); }),
              HasSubstr("never from its address"));
}

TEST(HttpModel, TokenizersMayBeOurs) {
  Server server("no_tokenizer");
  EXPECT_THAT(message_of([&] { open_model(server.url(), {}); }), HasSubstr("tokenizer=PATH"));
  const auto model = open_model(server.url() + "/v1/completions,tokenizer=bytes", {});
  EXPECT_EQ(model->info().tokenizer, "bytes");
  EXPECT_EQ(model->encode("ab").size(), 2u);
}

TEST(HttpModel, ChecksItsWords) {
  EXPECT_NO_THROW(check_model("http:http://host:1/v1", {}));
  EXPECT_NO_THROW(check_model("https://host/v1/completions,model=a,b", {}));
  EXPECT_THAT(message_of([] { check_model("http:host", {}); }), HasSubstr("begins with http:// or https://"));
  EXPECT_THAT(message_of([] { check_model("http://host,batch=0", {}); }),
              HasSubstr("batch '0': must be from 1"));
  EXPECT_THAT(message_of([] { check_model("http://host,way=other", {}); }), HasSubstr("way 'other'"));
}

}  // namespace
}  // namespace deciban

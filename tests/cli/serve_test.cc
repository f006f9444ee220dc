// deciban serve as a client sees it: every route, wrong requests, limits, its token, its end.
#include "cli/serve/serve.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <future>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/lm.h"
#include "tests/cli/program.h"

namespace deciban {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

// The model's own scores of one sequence, from its second token on.
std::vector<TokenScore> scores_of(LanguageModel& model, std::span<const Token> tokens) {
  struct One final : SequenceSource, ScoreSink {
    std::span<const Token> tokens;
    bool given = false;
    std::vector<TokenScore> scores;
    bool next(Sequence& out) override {
      if (given) return false;
      out = {tokens, 1, 0};
      return given = true;
    }
    void scored(std::size_t, std::span<const TokenScore> s) override { scores.assign(s.begin(), s.end()); }
    void failed(std::size_t, const std::string& reason) override { ADD_FAILURE() << reason; }
  } one;
  one.tokens = tokens;
  model.score(one, one);
  return one.scores;
}

int free_port() {
  const int s = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ::bind(s, reinterpret_cast<sockaddr*>(&address), sizeof address);
  ::getsockname(s, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(s);
  return ::ntohs(address.sin_port);
}

class Serve : public ProgramTest {
 protected:
  void start(std::vector<std::string> more = {}, const std::map<std::string, std::string>& environment = {},
             const std::string& model = demo_model()) {
    port_ = free_port();
    std::vector<std::string> words{DECIBAN_PROGRAM, "serve",     "-m", model,    "--mode",
                                   "f32",           "--threads", "2",  "--port", std::to_string(port_)};
    words.insert(words.end(), more.begin(), more.end());
    program_ = std::make_unique<Program>(words, environment);
    for (int i = 0; i < 600 && !client().Get("/health"); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
  httplib::Client client() const {
    httplib::Client client("127.0.0.1", port_);
    client.set_read_timeout(60);
    return client;
  }
  json post(const std::string& path, const json& body, int status = 200) const {
    const auto reply = client().Post(path, body.dump(), "application/json");
    if (!reply) {
      ADD_FAILURE() << path << ": no reply";
      return {};
    }
    EXPECT_EQ(reply->status, status) << reply->body;
    return json::parse(reply->body);
  }
  json get(const std::string& path) const { return json::parse(client().Get(path)->body); }

  int port_ = 0;
  std::unique_ptr<Program> program_;
};

TEST_F(Serve, EchoesTheScoresThatTheModelGives) {
  start();
  ModelOptions options;
  options.format = "f32";
  const auto model = open_model(demo_model(), options);
  const std::string text = "A prompt with caf\xc3\xa9 in it.";
  std::vector<Token> tokens{0};
  const auto words = model->encode(text);
  tokens.insert(tokens.end(), words.begin(), words.end());
  const std::vector<Token> half(tokens.begin(), tokens.begin() + 9);
  const json reply = post("/v1/completions", {{"prompt", {tokens, half}},
                                              {"echo", true},
                                              {"logprobs", 1},
                                              {"max_tokens", 1},
                                              {"temperature", 0},
                                              {"seed", 1234}});
  ASSERT_EQ(reply["choices"].size(), 2u);
  for (std::size_t c = 0; c < 2; ++c) {
    const std::vector<Token>& prompt = c == 0 ? tokens : half;
    const json& logprobs = reply["choices"][c]["logprobs"];
    const std::vector<TokenScore> expected = scores_of(*model, prompt);
    ASSERT_EQ(logprobs["token_logprobs"].size(), prompt.size() + 1);
    EXPECT_TRUE(logprobs["token_logprobs"][0].is_null());
    for (std::size_t i = 1; i < prompt.size(); ++i) {
      const TokenScore& score = expected[i - 1];
      EXPECT_EQ(logprobs["token_logprobs"][i].get<double>(), static_cast<double>(score.logprob)) << "exactly";
      ASSERT_EQ(logprobs["top_logprobs"][i].size(), 1u);
      const double best = logprobs["top_logprobs"][i].begin()->get<double>();
      EXPECT_EQ(best, static_cast<double>(score.best_logprob));
      EXPECT_EQ(best == logprobs["token_logprobs"][i].get<double>(), score.best == prompt[i])
          << "clients tell greedy ones by equal numbers";
    }
  }
  // The one token that was added is what greedy decoding gives.
  const auto batch = model->start_batch(1);
  LogitRows rows;
  for (const Token token : half) rows = batch->step({&token, 1});
  const TokenScore best = best_of(rows.row(0));
  const json& added = reply["choices"][1]["logprobs"];
  EXPECT_EQ(added["tokens"].back(), std::string(1, static_cast<char>(best.best)));
  EXPECT_NEAR(added["token_logprobs"].back().get<double>(), best.best_logprob, 1e-5);
  EXPECT_EQ(added["tokens"][0], "<|endoftext|>");
  const auto& names = reply["choices"][0]["logprobs"];
  EXPECT_EQ(names["tokens"][18], "bytes:\\xc3");
  EXPECT_EQ(names["text_offset"][18].get<int>() + 1, names["text_offset"][19].get<int>());
  EXPECT_EQ(names["text_offset"][19].get<int>(), names["text_offset"][20].get<int>())
      << "one character, two tokens";
  EXPECT_EQ(reply["usage"]["prompt_tokens"], tokens.size() + half.size());
}

TEST_F(Serve, ContinuesTextsGreedilyAndStops) {
  start({"--lanes", "2"});
  const auto text = [&](const json& request) { return post("/v1/completions", request)["choices"]; };
  const json prompts = {"The President of the ", "In 2024, ", "def main():\n"};
  const json together = text({{"prompt", prompts}, {"max_tokens", 24}});
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const json alone = text({{"prompt", prompts[i]}, {"max_tokens", 24}, {"logprobs", 2}});
    EXPECT_EQ(alone[0]["text"], together[i]["text"]) << "in whatever company";
    EXPECT_EQ(alone[0]["logprobs"]["top_logprobs"][3].size(), 2u);
    EXPECT_EQ(alone[0]["finish_reason"], "length");
    const std::string whole = alone[0]["text"], stop = whole.substr(10, 3);
    const json stopped = text({{"prompt", prompts[i]}, {"max_tokens", 24}, {"stop", {stop, "\x01"}}});
    EXPECT_EQ(stopped[0]["text"], whole.substr(0, whole.find(stop)));
    EXPECT_EQ(stopped[0]["finish_reason"], "stop");
    // The same through one token at a time, which takes the other way.
    const json one = text({{"prompt", prompts[i]}, {"max_tokens", 1}});
    EXPECT_EQ(one[0]["text"], whole.substr(0, 1));
  }
  EXPECT_EQ(text({{"prompt", "abc"}, {"max_tokens", 0}, {"echo", true}})[0]["text"], "abc");
}

TEST_F(Serve, HasTheRoutesOfATokenizer) {
  start();
  EXPECT_THAT(post("/tokenize", {{"prompt", "h\xc3\xa9"}})["tokens"], ElementsAre(104, 195, 169));
  EXPECT_THAT(post("/tokenize", {{"prompt", "<|endoftext|>"}, {"add_special_tokens", false}})["tokens"],
              ElementsAre(0));
  EXPECT_THAT(post("/tokenize", {{"prompt", "h"}, {"add_special_tokens", true}})["tokens"],
              ElementsAre(0, 104));
  EXPECT_EQ(post("/detokenize", {{"tokens", {0, 104, 195, 169}}})["prompt"], "<|endoftext|>h\xc3\xa9");
  EXPECT_EQ(get("/tokenizer_info")["eos_token"], "<|endoftext|>");
  EXPECT_TRUE(get("/tokenizer_info").contains("chat_template"));
  EXPECT_EQ(get("/v1/models")["data"][0]["id"], "rwkv7");
  EXPECT_EQ(get("/health")["status"], "ok");
}

TEST_F(Serve, SaysWhatIsWrongWithARequest) {
  start();
  const std::pair<json, const char*> requests[] = {
      {{{"max_tokens", 1}}, "\"prompt\" is missing"},
      {{{"prompt", {1, 256}}}, "256 is not a token from 0 to 255"},
      {{{"prompt", {{1, 2}, {"x"}}}}, "is not a token"},
      {{{"prompt", 7}}, "is not a text or a list of tokens"},
      {{{"prompt", "x"}, {"temperature", 0.7}}, "\"temperature\": 0.7"},
      {{{"prompt", "x"}, {"n", 2}}, "\"n\": 2"},
      {{{"prompt", "x"}, {"stream", true}}, "\"stream\": true"},
      {{{"prompt", "x"}, {"max_tokens", -1}}, "\"max_tokens\": -1"},
      {{{"prompt", "x"}, {"logprobs", 21}}, "from 0 to 20"},
      {{{"prompt", "x"}, {"echo", 1}}, "\"echo\": 1 is not true or false"},
      {{{"prompt", "x"}, {"stop", {1}}}, "\"stop\": 1 is not a text"},
      {json::array({1}), "not a JSON object"},
  };
  for (const auto& [request, words] : requests) {
    EXPECT_THAT(post("/v1/completions", request, 400)["error"]["message"].get<std::string>(),
                HasSubstr(words));
  }
  EXPECT_EQ(client().Post("/v1/completions", "{\"prompt\": ", "application/json")->status, 400);
  EXPECT_EQ(post("/detokenize", {{"tokens", {-1}}}, 400)["error"]["code"], 400);
  EXPECT_THAT(post("/v1/chat/completions", json::object(), 404)["error"]["message"].get<std::string>(),
              HasSubstr("there is no POST /v1/chat/completions"));
  EXPECT_EQ(post("/v1/completions", {{"prompt", "still there"}})["choices"].size(), 1u);
}

TEST_F(Serve, RefusesBodiesBeyondItsLimit) {
  start({"--max-body", "1"});
  const json body{{"prompt", std::string(2 << 20, 'x')}};
  const auto reply = client().Post("/tokenize", body.dump(), "application/json");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 413);
  EXPECT_THAT(reply->body, HasSubstr("--max-body"));
}

TEST_F(Serve, AsksForItsToken) {
  start({"--token"}, {{"DECIBAN_SERVE_TOKEN", "open sesame"}});
  EXPECT_EQ(client().Get("/health")->status, 200);
  for (const char* given : {"", "Bearer ", "Bearer open", "Bearer open sesame!", "Basic open sesame"}) {
    httplib::Headers headers;
    if (*given) headers.emplace("Authorization", given);
    EXPECT_EQ(client().Get("/v1/models", headers)->status, 401) << given;
  }
  EXPECT_EQ(client().Get("/v1/models", {{"Authorization", "Bearer open sesame"}})->status, 200);
  const Ended none = deciban_program({"serve", "-m", demo_model(), "--token"});
  EXPECT_EQ(none.code, 2);
  EXPECT_THAT(none.err, HasSubstr("DECIBAN_SERVE_TOKEN"));
}

TEST_F(Serve, ManyClientsGetTheirOwnAnswers) {
  start();
  const auto ask = [&](int i) {
    const std::vector<Token> prompt(static_cast<std::size_t>(5 + i % 7), static_cast<Token>(65 + i % 26));
    return post("/v1/completions",
                {{"prompt", {prompt}}, {"echo", true}, {"logprobs", 1 + i % 2}, {"max_tokens", i % 3}});
  };
  std::vector<json> alone;
  for (int i = 0; i < 24; ++i) alone.push_back(ask(i)["choices"]);
  std::vector<std::future<json>> asked;
  for (int i = 0; i < 24; ++i) asked.push_back(std::async(std::launch::async, ask, i));
  for (std::size_t i = 0; i < 24; ++i) EXPECT_EQ(asked[i].get()["choices"], alone[i]) << i;
}

TEST_F(Serve, EndsWhenAskedTo) {
  start();
  auto busy = std::async(std::launch::async, [&] {
    return client().Post("/v1/completions", json{{"prompt", "x"}, {"max_tokens", 400}}.dump(),
                         "application/json");
  });
  while (get("/health")["waiting"] == 0 &&
         busy.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
  }
  program_->signal(SIGINT);
  const Ended ended = program_->wait();
  EXPECT_EQ(ended.code, 0);
  EXPECT_THAT(ended.err, HasSubstr("stopped"));
  const auto reply = busy.get();
  ASSERT_TRUE(reply) << "what had begun is answered";
  EXPECT_EQ(reply->status, 200);
}

TEST_F(Serve, ServesPluginsAndToldWhatTheyLack) {
  start({}, {}, "plugin:" DECIBAN_PLUGIN_DOUBLE ",fault=no_batch");
  EXPECT_EQ(post("/v1/completions", {{"prompt", "abc"}, {"max_tokens", 1}})["choices"].size(), 1u);
  EXPECT_THAT(post("/v1/completions", {{"prompt", "abc"}, {"max_tokens", 2}}, 500)["error"]["message"]
                  .get<std::string>(),
              HasSubstr("can only score"));
}

TEST_F(Serve, MistakesOnTheCommandLine) {
  EXPECT_EQ(deciban_program({"serve"}).code, 2);
  EXPECT_THAT(deciban_program({"serve", "-m", at("nothing.pth")}).err, HasSubstr("nothing.pth"));
  EXPECT_EQ(deciban_program({"serve", "-m", demo_model(), "--port", "70000"}).code, 2);
  EXPECT_EQ(deciban_program({"serve", "-m", demo_model(), "--queue", "0"}).code, 2);
  start();
  const Ended taken = deciban_program({"serve", "-m", demo_model(), "--port", std::to_string(port_)});
  EXPECT_EQ(taken.code, 1);
  EXPECT_THAT(taken.err, HasSubstr("cannot be listened on"));
}

}  // namespace
}  // namespace deciban

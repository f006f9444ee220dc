// A program that speaks the protocol of exec: models, and does one thing wrong if its argument says so.  Some
// tokens are its end: 200 crashes it, 201 makes it hang, 202 is refused.
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "engine/base64.h"
#include "tests/plugin_double/hash_model.h"

namespace {

using nlohmann::json;
using namespace deciban::doubles;

std::string fault;

std::string bytes_of(const std::vector<float>& values) {
  return deciban::base64({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
}

std::string text_of(const json& text) {
  return text.is_string() ? text.get<std::string>()
                          : deciban::from_base64(text.at("bytes").get<std::string>());
}

json score(const json& sequence, bool wants_rows) {
  const auto tokens = sequence.at("tokens").get<std::vector<int>>();
  const auto first = sequence.at("first").get<std::size_t>();
  std::uint64_t state = kEmpty;
  json result{{"logprob", json::array()}, {"best_logprob", json::array()}, {"best", json::array()}};
  std::vector<float> rows;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] == 200) {
      std::cerr << "token 200 is my end" << std::endl;
      std::abort();
    }
    if (tokens[i] == 201) std::this_thread::sleep_for(std::chrono::hours(1));
    if (tokens[i] == 202) return {{"error", "token 202 tastes bad"}};
  }
  for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
    state = after(state, tokens[i]);
    if (i + 1 < first) continue;
    Logits logits;
    fill_logits(state, logits.data());
    const deciban_score score = score_of(logits, tokens[i + 1]);
    result["logprob"].push_back(score.logprob);
    result["best_logprob"].push_back(score.best_logprob);
    result["best"].push_back(score.best);
    rows.insert(rows.end(), logits.begin(), logits.end());
  }
  if (wants_rows) result["rows"] = bytes_of(rows);
  if (fault == "null") result["logprob"][0] = nullptr;
  if (fault == "columns") result["best"].erase(0);
  if (fault == "type") result["logprob"] = "many";
  return result;
}

std::map<int, std::vector<std::uint64_t>> batches;

json answer(const json& call) {
  const std::string name = call.at("call");
  if (name == "open") {
    if (fault == "open_error") return {{"error", "there is no such model"}};
    if (fault == "no_info") return json::object();
    return {{"info",
             {{"n_vocab", 256},
              {"name", "exec double"},
              {"start_token", 0},
              {"batch_size", 3},
              {"parameters", 1000},
              {"state_bytes", 8},
              {"rows", true},
              {"batch", true},
              {"memory", true}}}};
  }
  if (name == "encode") {
    json tokens = json::array();
    for (const char c : text_of(call.at("text"))) tokens.push_back(static_cast<unsigned char>(c));
    if (fault == "token_outside") tokens.push_back(256);
    return {{"tokens", tokens}};
  }
  if (name == "decode") {
    std::string text;
    for (const int token : call.at("tokens").get<std::vector<int>>())
      text.push_back(static_cast<char>(token));
    return {{"text", {{"bytes", deciban::base64(text)}}}};
  }
  if (name == "score") {
    json results = json::array();
    for (const json& sequence : call.at("sequences"))
      results.push_back(score(sequence, call.value("rows", false)));
    if (fault == "results") results.erase(0);
    return {{"results", results}};
  }
  if (name == "memory") return {{"weights", 4000}};
  std::vector<std::uint64_t>* states = nullptr;
  if (name != "batch_open") states = &batches.at(call.at("batch").get<int>());
  if (name == "batch_open") {
    const int id = static_cast<int>(batches.size());
    batches[id].assign(call.at("n").get<std::size_t>(), kEmpty);
    return {{"batch", id}, {"state_bytes", batches[id].size() * 8}};
  }
  if (name == "batch_step") {
    std::vector<float> logits(states->size() * kVocabulary);
    for (std::size_t i = 0; i < states->size(); ++i) {
      (*states)[i] = after((*states)[i], call.at("tokens").at(i).get<int>());
      fill_logits((*states)[i], logits.data() + i * kVocabulary);
    }
    return {{"logits", bytes_of(logits)}};
  }
  if (name == "batch_reset") states->at(call.at("i").get<std::size_t>()) = kEmpty;
  if (name == "batch_copy") {
    states->at(call.at("to").get<std::size_t>()) = states->at(call.at("from").get<std::size_t>());
  }
  if (name == "batch_close") states->clear();
  return json::object();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) fault = argv[1];
  if (fault == "garbage") std::cout << "Loading model…" << std::endl;
  if (fault == "ends") {
    std::cerr << "no module named torch" << std::endl;
    return 3;
  }
  if (fault == "hangs") std::this_thread::sleep_for(std::chrono::hours(1));
  if (fault == "deaf") ::close(STDIN_FILENO), std::this_thread::sleep_for(std::chrono::hours(1));
  if (fault == "huge") {
    const std::string piece(1 << 20, 'x');
    for (int i = 0; i < 300; ++i) std::cout << piece;
    std::cout << std::endl;
  }
  for (std::string line; std::getline(std::cin, line);) {
    const json call = json::parse(line);
    if (fault == "crashes_always" && call.at("call") == "score") std::abort();
    json reply = answer(call);
    reply["id"] = call.at("id");
    if (fault == "wrong_id") reply["id"] = 999;
    if (fault == "twice") std::cout << reply.dump() << "\n";
    std::cout << reply.dump() << std::endl;
  }
}

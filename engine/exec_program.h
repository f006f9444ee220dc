// A program that answers calls in JSON Lines, restarted when it ended: the transport under exec_model.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/child_process.h"

namespace deciban {

struct ExecOptions {
  std::string command, name;
  ChildProcess::Seconds timeout{600}, start_timeout{1800};
};

// One run of the program.  Any thread may call; replies may come in any order.
class ExecProgram {
 public:
  // Starts it and makes the call "open".  Throws ProgramFailure, or std::runtime_error with what it complains
  // of.
  ExecProgram(const ExecOptions& options, const nlohmann::json& open_arguments);

  // What it said to "open".
  const nlohmann::json& greeting() const { return greeting_; }

  bool ended() const { return process_.ended(); }

  // Sends a call and returns its id.
  std::uint64_t send(const std::string& call, nlohmann::json arguments);
  // Waits for the reply to `id`, reading those to others on the way.  Returns the whole reply: an object with
  // "error" (a text) or with what the call promises.  Throws ProgramFailure; for lines that are not replies
  // too.
  nlohmann::json receive(std::uint64_t id);
  // send() and receive(); throws std::runtime_error for a reply with "error".
  nlohmann::json call(const std::string& call, nlohmann::json arguments);

 private:
  const ExecOptions& options_;
  ChildProcess process_;
  std::mutex sending_, reading_;
  std::atomic<std::uint64_t> next_id_ = 0;
  std::map<std::uint64_t, nlohmann::json> replies_;  // that came before they were waited for
  nlohmann::json greeting_;
  ChildProcess::Seconds patience_;
};

}  // namespace deciban

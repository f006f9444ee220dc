#include "engine/exec_program.h"

#include <fmt/format.h>

#include <stdexcept>

namespace deciban {
namespace {

using nlohmann::json;

constexpr int kProtocol = 1;
constexpr std::size_t kLongestLine = std::size_t{256} << 20;
constexpr std::size_t kShown = 80;  // bytes of a line in a message

std::string beginning(const std::string& line) {
  return line.size() <= kShown ? line : line.substr(0, kShown) + "…";
}

}  // namespace

ExecProgram::ExecProgram(const ExecOptions& options, const json& open_arguments)
    : options_(options),
      process_(options.command, options.name, kLongestLine),
      patience_(options.start_timeout) {
  json arguments = open_arguments;
  arguments["protocol"] = kProtocol;
  greeting_ = call("open", std::move(arguments));
  patience_ = options.timeout;
}

std::uint64_t ExecProgram::send(const std::string& call, json arguments) {
  const std::lock_guard lock(sending_);
  const std::uint64_t id = next_id_++;
  arguments["id"] = id;
  arguments["call"] = call;
  process_.write_line(arguments.dump(), patience_);
  return id;
}

json ExecProgram::receive(std::uint64_t id) {
  // The lock is also held while waiting: whoever reads keeps the others' replies for them.
  const std::lock_guard lock(reading_);
  while (true) {
    if (const auto found = replies_.find(id); found != replies_.end()) {
      json reply = std::move(found->second);
      replies_.erase(found);
      return reply;
    }
    const std::string line = process_.read_line(patience_);
    json reply = json::parse(line, nullptr, false);
    if (!reply.is_object()) {
      process_.give_up(fmt::format(
          "printed '{}' on its standard output, which is for replies in JSON alone (all else belongs on "
          "standard error; JSON knows no NaN or Infinity)",
          beginning(line)));
    }
    const auto number = reply.find("id");
    if (number == reply.end() || !number->is_number_unsigned() || number->get<std::uint64_t>() >= next_id_) {
      process_.give_up(fmt::format("replied '{}', which has no \"id\" of a call", beginning(line)));
    }
    if (const auto error = reply.find("error"); error != reply.end() && !error->is_string()) {
      process_.give_up(fmt::format("replied '{}', whose \"error\" is no text", beginning(line)));
    }
    if (!replies_.emplace(number->get<std::uint64_t>(), std::move(reply)).second) {
      process_.give_up(fmt::format("replied twice to one call: '{}'", beginning(line)));
    }
  }
}

json ExecProgram::call(const std::string& call, json arguments) {
  json reply = receive(send(call, std::move(arguments)));
  if (const auto error = reply.find("error"); error != reply.end()) {
    throw std::runtime_error(fmt::format("{}: {}", options_.name, error->get<std::string>()));
  }
  return reply;
}

}  // namespace deciban

#include "datasets/ledger.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string_view>

namespace deciban {

using nlohmann::json;

namespace {

constexpr const char* kMark = "deciban_ledger";

std::string read_all(int descriptor) {
  std::string text;
  char buffer[1 << 16];
  for (ssize_t n; (n = ::read(descriptor, buffer, sizeof buffer)) != 0;) {
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw std::runtime_error(std::strerror(errno));
    text.append(buffer, static_cast<std::size_t>(n));
  }
  return text;
}

}  // namespace

std::string first_difference(const json& there, const json& here) {
  json names = there;
  names.update(here);
  for (const auto& [name, ignored] : names.items()) {
    const json a = there.value(name, json()), b = here.value(name, json());
    if (a != b) return fmt::format("{} is {} there and {} here", name, a.dump(), b.dump());
  }
  return "";
}

void Ledger::fail(const char* what) const {
  throw std::runtime_error(fmt::format("{}: {}: {}", file_.string(), what, std::strerror(errno)));
}

Ledger::Ledger(const std::filesystem::path& file, const json& settings) : file_(file) {
  std::error_code ignored;  // open() will say it
  if (!file.parent_path().empty()) std::filesystem::create_directories(file.parent_path(), ignored);
  descriptor_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail("can't be written");
  try {
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
      throw std::runtime_error(fmt::format("{}: another process fetches into it just now", file_.string()));
    }
    const std::string text = read_all(descriptor_);
    std::size_t begin = 0, number = 0;
    bool headed = false;
    while (begin < text.size()) {
      const std::size_t end = text.find('\n', begin);
      ++number;
      if (end == std::string::npos) break;  // torn
      const json line = json::parse(std::string_view(text).substr(begin, end - begin), nullptr, false);
      const bool good =
          line.is_object() &&
          (number == 1 ? line.contains(kMark) && line.contains("settings")
                       : line.contains("name") && line["name"].is_string() && line.contains("value"));
      if (!good && end + 1 == text.size()) break;  // a lost block of a file system that was cut off
      if (!good) {
        throw std::runtime_error(fmt::format(
            "{}:{}: this is no line of a ledger; remove the file to begin anew", file_.string(), number));
      }
      if (number == 1) {
        headed = true;
        const std::string difference = first_difference(line["settings"], settings);
        if (!difference.empty()) {
          throw std::runtime_error(
              fmt::format("{} is of a fetch that did not end and was another: {}; finish that one, or choose "
                          "another output, or remove the file",
                          file_.string(), difference));
        }
      } else {
        entries_.emplace(line["name"].get<std::string>(), line["value"]);
      }
      begin = end + 1;
    }
    if (begin < text.size() && ::ftruncate(descriptor_, static_cast<off_t>(begin)) != 0) fail("can't be cut");
    resumed_ = entries_.size();
    if (!headed) append(json{{kMark, 1}, {"settings", settings}}.dump());
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

Ledger::~Ledger() {
  if (descriptor_ < 0) return;
  if (entries_.empty()) ::unlink(file_.c_str());
  ::close(descriptor_);
}

const json* Ledger::find(const std::string& name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second;
}

const json& Ledger::record(const std::string& name, json value) {
  // Servers may send bytes that are not UTF-8.  What is used now is what a resumed fetch would read.
  const std::string text =
      json{{"name", name}, {"value", std::move(value)}}.dump(-1, ' ', false, json::error_handler_t::replace);
  append(text);
  return entries_.emplace(name, json::parse(text)["value"]).first->second;
}

void Ledger::append(std::string line) {
  line += '\n';
  std::string_view left = line;
  while (!left.empty()) {
    const ssize_t written = ::write(descriptor_, left.data(), left.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("can't be written");
    left.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::fdatasync(descriptor_) != 0 && errno != EINVAL) fail("can't be written");
}

void Ledger::remove() {
  ::unlink(file_.c_str());
  ::close(descriptor_);
  descriptor_ = -1;
  entries_.clear();
}

}  // namespace deciban

#include "reports/gate_history.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <thread>

#include "reports/line_file.h"
#include "reports/order_statistics.h"

namespace deciban {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr const char* kGateFile = "gates.jsonl";
constexpr std::string_view kGateRemedy = "delete the line";
constexpr std::size_t kMostFailed = 50;  // of a gate that fails everywhere

template <typename T>
T field(const ordered_json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) throw std::runtime_error(fmt::format("a gate without \"{}\"", name));
  try {
    return found->get<T>();
  } catch (const ordered_json::exception&) {
    throw std::runtime_error(
        fmt::format("a gate whose \"{}\" is {}", name,
                    found->dump(-1, ' ', false, ordered_json::error_handler_t::replace).substr(0, 60)));
  }
}

template <typename T>
T field(const ordered_json& object, const char* name, T otherwise) {
  return object.contains(name) ? field<T>(object, name) : otherwise;
}

ordered_json side(const GateSide& s) {
  ordered_json object = ordered_json::object();
  const std::pair<const char*, const std::string*> members[] = {{"name", &s.name},
                                                                {"commit", &s.commit},
                                                                {"digest", &s.digest},
                                                                {"mode", &s.mode},
                                                                {"device", &s.device}};
  for (const auto& [name, text] : members) {
    if (!text->empty()) object[name] = *text;
  }
  return object;
}

GateSide side_of(const ordered_json& run, const char* name) {
  const ordered_json object = field<ordered_json>(run, name, ordered_json::object());
  if (!object.is_object()) throw std::runtime_error(fmt::format("a gate whose \"{}\" is no object", name));
  return {field<std::string>(object, "name", ""), field<std::string>(object, "commit", ""),
          field<std::string>(object, "digest", ""), field<std::string>(object, "mode", ""),
          field<std::string>(object, "device", "")};
}

ordered_json list_of(const ordered_json& run, const char* name) {
  ordered_json list = field<ordered_json>(run, name, ordered_json::array());
  if (!list.is_array()) throw std::runtime_error(fmt::format("a gate whose \"{}\" is no list", name));
  return list;
}

}  // namespace

std::string to_json_line(const GateRun& run) {
  ordered_json texts = ordered_json::array(), failed = ordered_json::array(),
               figures = ordered_json::object();
  for (const GateText& text : run.texts)
    texts.push_back({{"name", text.name}, {"digest", text.digest}, {"documents", text.documents}});
  for (std::size_t i = 0; i < std::min(run.failed.size(), kMostFailed); ++i) {
    const GateCheck& check = run.failed[i];
    failed.push_back({{"group", check.group}, {"name", check.name}, {"message", check.message}});
  }
  for (const auto& [name, value] : run.figures) {
    figures[name] = {
        {"value", value.value}, {"low", value.low}, {"high", value.high}, {"samples", value.samples}};
  }
  ordered_json object{{"kind", run.kind},
                      {"when", run.when},
                      {"version", run.version},
                      {"commit", run.commit},
                      {"machine", run.machine},
                      {"base", side(run.base)},
                      {"other", side(run.other)},
                      {"texts", texts},
                      {"windowing", run.windowing},
                      {"start", run.start},
                      {"passed", run.counts.passed},
                      {"unclear", run.counts.unclear},
                      {"failed", run.counts.failed},
                      {"failures", failed},
                      {"figures", figures}};
  return object.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

GateRun gate_run_from_json(const std::string& line) {
  const ordered_json object = ordered_json::parse(line, nullptr, false);
  if (object.is_discarded()) throw std::runtime_error("not JSON");
  if (!object.is_object()) throw std::runtime_error("not a JSON object");
  GateRun run;
  run.kind = field<std::string>(object, "kind");
  run.when = field<std::string>(object, "when");
  run.version = field<std::string>(object, "version", "");
  run.commit = field<std::string>(object, "commit", "");
  run.machine = field<std::string>(object, "machine", "");
  run.base = side_of(object, "base");
  run.other = side_of(object, "other");
  for (const ordered_json& text : list_of(object, "texts")) {
    run.texts.push_back({field<std::string>(text, "name"), field<std::string>(text, "digest", ""),
                         field(text, "documents", std::uint64_t{0})});
  }
  run.windowing = field<std::string>(object, "windowing", "");
  run.start = field<std::string>(object, "start", "");
  run.counts = {field(object, "passed", std::size_t{0}), field(object, "unclear", std::size_t{0}),
                field(object, "failed", std::size_t{0})};
  for (const ordered_json& check : list_of(object, "failures")) {
    run.failed.push_back({field<std::string>(check, "group", ""), field<std::string>(check, "name"),
                          GateCheck::Outcome::failed, field<std::string>(check, "message", "")});
  }
  const ordered_json figures = field<ordered_json>(object, "figures", ordered_json::object());
  if (!figures.is_object()) throw std::runtime_error("a gate whose \"figures\" is no object");
  for (const auto& [name, value] : figures.items()) {
    run.figures[name] = {field<double>(value, "value"), field<double>(value, "low"),
                         field<double>(value, "high"), field<std::uint64_t>(value, "samples")};
  }
  return run;
}

void append_gate(const fs::path& directory, const GateRun& run) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (fs::exists(directory) && !fs::is_directory(directory))
    throw std::runtime_error(fmt::format("{} is a file; a history needs a directory", directory.string()));
  if (error) throw_file_error("make the directory", directory, error.value());
  const OpenFile lock(directory / ".lock.gates", O_RDWR | O_CREAT);
  for (int tries = 0; !lock.try_lock(LOCK_EX); ++tries) {
    if (tries == 100) throw std::runtime_error(fmt::format("another gate writes to {}", directory.string()));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  const fs::path file = directory / kGateFile;
  std::uint64_t whole = 0;
  if (fs::exists(file)) {
    whole = read_json_lines(
        file, [](const std::string& line) { (void)gate_run_from_json(line); }, kGateRemedy);
  }
  LineFile(file, whole).append(to_json_line(run));
}

std::vector<GateRun> read_gates(std::span<const fs::path> paths) {
  std::vector<GateRun> runs;
  for (const fs::path& path : paths) {
    const fs::path file = path / kGateFile;
    if (!fs::is_directory(path) || !fs::exists(file)) continue;
    read_json_lines(
        file, [&](const std::string& line) { runs.push_back(gate_run_from_json(line)); }, kGateRemedy);
  }
  std::stable_sort(runs.begin(), runs.end(),
                   [](const GateRun& a, const GateRun& b) { return a.when < b.when; });
  return runs;
}

std::map<std::string, CostValue> speed_figures(const std::vector<SpeedResult>& results) {
  if (results.empty()) return {};
  std::vector<double> changes;
  for (const SpeedResult& result : results) changes.push_back(100 * (result.ratio - 1));
  const auto [low, high] = std::minmax_element(changes.begin(), changes.end());
  return {{"change_percent", {quantile_of(changes, 0.5), *low, *high, changes.size()}}};
}

const GateRun* divergence_between(std::span<const GateRun> gates, const GateSide& base,
                                  const GateSide& other) {
  const auto same = [](const GateSide& a, const GateSide& b) {
    return !a.digest.empty() && a.digest == b.digest && a.mode == b.mode;
  };
  const GateRun* found = nullptr;
  for (const GateRun& run : gates) {
    if (run.kind == "divergence" && same(run.base, base) && same(run.other, other) &&
        run.figures.contains("kl_nats"))
      found = &run;
  }
  return found;
}

}  // namespace deciban

#include "reports/cost.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <unordered_map>
#include <utility>

namespace deciban {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kFileName = "costs.jsonl";
constexpr std::string_view kRemedy = "delete the line to have its point measured again";

template <typename T>
T field(const json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) throw std::runtime_error(fmt::format("a cost without \"{}\"", name));
  try {
    return found->get<T>();
  } catch (const json::exception&) {
    throw std::runtime_error(fmt::format("a cost whose \"{}\" is {}", name, found->dump().substr(0, 60)));
  }
}

template <typename T>
T field(const json& object, const char* name, T otherwise) {
  return object.contains(name) ? field<T>(object, name) : std::move(otherwise);
}

// Of points with one key the last ok one counts, else the last, in the place of the first.
class Latest {
 public:
  void take(CostPoint point, std::vector<CostPoint>& points) {
    const auto [found, is_new] = places_.try_emplace(point.key, points.size());
    if (is_new) {
      points.push_back(std::move(point));
    } else if (CostPoint& old = points[found->second]; point.status == "ok" || old.status != "ok") {
      old = std::move(point);
    }
  }

 private:
  std::unordered_map<std::string, std::size_t> places_;
};

}  // namespace

std::string to_json_line(const CostPoint& p) {
  json metrics = json::object();
  for (const auto& [name, value] : p.metrics) {
    if (value.samples == 1 && value.low == value.value && value.high == value.value) {
      metrics[name] = value.value;
    } else {
      metrics[name] = {
          {"value", value.value}, {"low", value.low}, {"high", value.high}, {"samples", value.samples}};
    }
  }
  json object{{"key", p.key},
              {"kind", p.kind},
              {"model", p.model},
              {"spec", p.spec},
              {"family", p.family},
              {"device", p.device},
              {"format", p.format},
              {"kernels", p.kernels},
              {"machine", p.machine},
              {"threads", p.threads},
              {"parameters", p.parameters},
              {"width", p.width},
              {"length", p.length},
              {"batch", p.batch},
              {"status", p.status},
              {"metrics", std::move(metrics)},
              {"measured", p.measured}};
  if (!p.reason.empty()) object["reason"] = p.reason;
  if (!p.unmet.empty()) object["unmet"] = p.unmet;
  return object.dump(-1, ' ', false, json::error_handler_t::replace);
}

CostPoint cost_from_json(const std::string& line) {
  json object;
  try {
    object = json::parse(line);
  } catch (const json::exception&) {
    throw std::runtime_error("not JSON");
  }
  if (!object.is_object()) throw std::runtime_error("not a JSON object");
  CostPoint p;
  p.key = field<std::string>(object, "key");
  p.kind = field<std::string>(object, "kind", "model");
  p.model = field<std::string>(object, "model");
  p.spec = field<std::string>(object, "spec");
  p.family = field<std::string>(object, "family", {});
  p.device = field<std::string>(object, "device");
  p.format = field<std::string>(object, "format", {});
  p.kernels = field<std::string>(object, "kernels", {});
  p.machine = field<std::string>(object, "machine", {});
  p.threads = field(object, "threads", 1);
  p.parameters = field(object, "parameters", std::uint64_t{0});
  p.width = field(object, "width", std::size_t{0});
  p.length = field<std::size_t>(object, "length");
  p.batch = field(object, "batch", std::size_t{1});
  p.status = field<std::string>(object, "status");
  p.reason = field<std::string>(object, "reason", {});
  p.unmet = field(object, "unmet", std::vector<std::string>{});
  p.measured = field<std::string>(object, "measured", {});
  const json metrics = field<json>(object, "metrics");
  for (const auto& [name, value] : metrics.items()) {
    if (value.is_number()) {
      const double number = value.get<double>();
      p.metrics[name] = {number, number, number, 1};
    } else {
      p.metrics[name] = {field<double>(value, "value"), field<double>(value, "low"),
                         field<double>(value, "high"), field<std::uint64_t>(value, "samples")};
    }
  }
  return p;
}

std::vector<CostPoint> read_costs(const std::vector<fs::path>& paths) {
  std::vector<CostPoint> points;
  Latest latest;
  for (const fs::path& path : paths) {
    const bool directory = fs::is_directory(path);
    const fs::path file = directory ? path / kFileName : path;
    if (directory && !fs::exists(file)) continue;
    read_json_lines(
        file, [&](const std::string& line) { latest.take(cost_from_json(line), points); }, kRemedy);
  }
  return points;
}

CostFile::CostFile(const fs::path& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (fs::exists(directory) && !fs::is_directory(directory)) {
    throw std::runtime_error(fmt::format("{} is a file; a sweep needs a directory", directory.string()));
  }
  if (error) throw_file_error("make the directory", directory, error.value());
  lock_ = OpenFile(directory / ".lock.costs", O_RDWR | O_CREAT);
  if (!lock_.try_lock(LOCK_EX)) {
    throw std::runtime_error(
        fmt::format("another sweep is writing to {} (process {}); wait for it to end, or choose another "
                    "directory",
                    directory.string(), lock_.read_start()));
  }
  lock_.cut(0);
  (void)lock_.write(std::to_string(::getpid()));
  const fs::path file = directory / kFileName;
  std::uint64_t whole = 0;
  Latest latest;
  if (fs::exists(file)) {
    whole = read_json_lines(
        file, [&](const std::string& line) { latest.take(cost_from_json(line), points_); }, kRemedy);
  }
  lines_ = LineFile(file, whole);
}

const CostPoint* CostFile::find(const std::string& key) const {
  for (const CostPoint& point : points_) {
    if (point.key == key && point.status != "failed") return &point;
  }
  return nullptr;
}

void CostFile::append(const CostPoint& point) {
  lines_.append(to_json_line(point));
  for (CostPoint& old : points_) {
    if (old.key != point.key) continue;
    old = point;
    return;
  }
  points_.push_back(point);
}

}  // namespace deciban

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <stdexcept>

#include "bench/child.h"
#include "bench/gate_models.h"
#include "bench/gate_operations.h"
#include "cli/gate_models.h"
#include "cli/interrupt.h"
#include "cli/suggest.h"
#include "datasets/corpus.h"
#include "engine/device.h"
#include "engine/rwkv_model.h"
#include "engine/rwkv_names.h"

namespace deciban {
namespace {

using Outcome = GateCheck::Outcome;
constexpr std::size_t kTextBytes = 512;  // of each demo text: enough for a value, quick on every table
constexpr const char* kValuesFile = "gate.json";

Cell number(double value, const std::string& text) { return {text, fmt::format("{}", value)}; }

std::vector<std::string> places_of(const GateCorrectnessOptions& options) {
  GateSpeedOptions speed;
  speed.device = options.device;
  speed.isa = options.isa.empty() && options.device == "cpu" ? std::vector<std::string>{"all"} : options.isa;
  return gate_places(speed);
}

std::unique_ptr<Backend> open_place(const std::string& place, const GateCorrectnessOptions& options) {
  if (options.device == "cpu") return cpu_backend(place);
  return std::move(open_backends(place, "auto", options.deterministic).front());
}

std::vector<OpCase> wanted_cases(const GateCorrectnessOptions& options) {
  const std::vector<OpCase>& all = options.device == "cpu" ? op_cases() : accelerator_op_cases();
  if (options.cases.empty()) return all;
  std::vector<OpCase> cases;
  try {
    const std::regex wanted(options.cases);
    std::copy_if(all.begin(), all.end(), std::back_inserter(cases),
                 [&](const OpCase& c) { return std::regex_search(name(c), wanted); });
  } catch (const std::regex_error& error) {
    throw std::invalid_argument(
        fmt::format("'{}' is no regular expression: {}", options.cases, error.what()));
  }
  if (cases.empty())
    throw std::invalid_argument(
        fmt::format("no case matches '{}'; they are called like '{}'", options.cases, name(all.front())));
  return cases;
}

Table operations_table(const std::vector<OperationErrors>& groups) {
  Table table;
  table.columns = {{"operation", "operation", false, false},
                   {"cases", "cases"},
                   {"failed", "failed"},
                   {"mean", "mean_share"},
                   {"p99", "p99_share"},
                   {"max", "max_share"},
                   {"ulp mean", "mean_ulps"},
                   {"ulp p99", "p99_ulps"},
                   {"ulp max", "max_ulps"},
                   {"regret", "regret_nats"}};
  table.notes = {
      "mean, p99, max: error as a share of what is allowed against float64; ulp: in units in the last place "
      "of f32; regret: nats by which a best token of the head is below the best"};
  for (const OperationErrors& g : groups) {
    const auto share = [](double v) { return number(v, fmt::format("{:.3f}", v)); };
    const auto ulps = [](double v) { return number(v, fmt::format("{:.3g}", v)); };
    table.rows.push_back({{g.name, ""},
                          number(static_cast<double>(g.cases), fmt::format("{}", g.cases)),
                          number(static_cast<double>(g.failed), fmt::format("{}", g.failed)),
                          share(g.share.mean()),
                          share(g.share.quantile(0.99)),
                          share(g.share.max()),
                          ulps(g.ulps.mean()),
                          ulps(g.ulps.quantile(0.99)),
                          ulps(g.ulps.max()),
                          g.name.starts_with("score_head") ? number(g.regret, fmt::format("{:.2g}", g.regret))
                                                           : Cell{"", "null"}});
  }
  return table;
}

void check_all_operations(const GateCorrectnessOptions& options, const Console& console,
                          std::vector<GateCheck>& checks, std::vector<Table>& tables) {
  std::vector<std::unique_ptr<Backend>> backends;
  std::vector<OperationPlace> places;
  for (const std::string& place : places_of(options)) {
    backends.push_back(open_place(place, options));
    Backend* backend = backends.back().get();
    places.push_back({place, backend, [backend] { return backend->open(1); }});
  }
  const std::vector<OpCase> cases = wanted_cases(options);
  console.note(fmt::format("{} cases of operations in {} places", cases.size(), places.size()));
  const auto groups = check_operations(cases, places, &interrupted(), [&](std::size_t done, std::size_t all) {
    if (done % 500 == 0) console.detail(fmt::format("{} of {} cases", done, all));
  });
  for (const OperationErrors& g : groups) {
    const std::string sizes =
        fmt::format("{} cases, at worst {:.3f} of what is allowed", g.cases, g.share.max());
    checks.push_back(
        {"operations", g.name, g.failed ? Outcome::failed : Outcome::passed,
         g.failed ? fmt::format("{} of {} cases; worst: {}", g.failed, g.cases, g.complaint) : sizes});
  }
  tables.push_back(operations_table(groups));
}

// datasets/demo below the working directory, or beside a build's program.
std::filesystem::path find_demo(const std::string& given) {
  if (!given.empty()) {
    if (!std::filesystem::is_directory(std::filesystem::path(given) / "texts"))
      throw std::invalid_argument(fmt::format("{}: has no folder 'texts', as datasets/demo has", given));
    return given;
  }
  std::vector<std::filesystem::path> roots{std::filesystem::current_path()};
  for (std::filesystem::path p = std::filesystem::path(this_program()).parent_path(); p.has_relative_path();
       p = p.parent_path())
    roots.push_back(p);
  for (const std::filesystem::path& root : roots) {
    if (std::filesystem::is_directory(root / "datasets/demo/texts")) return root / "datasets/demo";
  }
  throw std::runtime_error(
      "datasets/demo is not below this folder, nor above the program: name it with --models DIR");
}

std::vector<std::vector<Token>> demo_texts(const std::filesystem::path& demo) {
  std::vector<std::vector<Token>> texts;
  for (const Document& document : read_corpus(demo / "texts").documents) {
    std::vector<Token> tokens{0};  // the models' start token
    for (const unsigned char c : document.text.substr(0, kTextBytes)) tokens.push_back(c);
    texts.push_back(std::move(tokens));
  }
  return texts;
}

std::vector<std::string> modes_for(const GateCorrectnessOptions& options, const Backend& backend) {
  std::vector<std::string> modes;
  for (const char* mode : {"f32", "bf16", "bf16a", "f16", "f16a", "int8", "w8a16", "int8a", "int4", "int4g64", "fp8"}) {
    const bool wanted = options.modes.empty() ||
                        std::find(options.modes.begin(), options.modes.end(), mode) != options.modes.end();
    if (wanted && backend.refusal(numeric_mode(mode)).empty()) modes.emplace_back(mode);
  }
  if (modes.empty())
    throw std::invalid_argument(fmt::format("{} computes in none of the modes asked for", backend.kernels()));
  return modes;
}

Table models_table() {
  Table table;
  table.columns = {{"model", "model", false, false},
                   {"mode", "mode", false, false},
                   {"kernels", "kernels", false, false},
                   {"check", "check", false, false},
                   {"found", "found"},
                   {"allowed", "allowed"},
                   {"verdict", "verdict", false, false}};
  return table;
}

void check_all_models(const GateCorrectnessOptions& options, const Console& console,
                      std::vector<GateCheck>& checks, std::vector<Table>& tables) {
  const std::filesystem::path demo = find_demo(options.models);
  const std::filesystem::path values_file = demo / kValuesFile;
  const std::vector<std::vector<Token>> texts = demo_texts(demo);
  StoredBitsFile stored{kNumericsVersion, kTextBytes, {}}, found{kNumericsVersion, kTextBytes, {}};
  if (!options.store) {
    stored = read_stored_bits(values_file);
    if (stored.numerics_version != kNumericsVersion || stored.text_bytes != kTextBytes)
      throw std::runtime_error(
          fmt::format("{}: holds values of numerics version {}, this engine is version {}: check that the "
                      "change was meant, then "
                      "run gate correctness --store",
                      values_file.string(), stored.numerics_version, kNumericsVersion));
  }
  Table table = models_table();
  for (const char* model : {"rwkv4", "rwkv7"}) {
    const Checkpoint official = official_rwkv(Checkpoint::open(demo / model / "model.pth"));
    for (const std::string& place : places_of(options)) {
      const std::unique_ptr<Backend> backend = open_place(place, options);
      std::optional<double> exact;
      for (const std::string& mode : modes_for(options, *backend)) {
        if (interrupted()) return;
        console.detail(fmt::format("{} {} on {}", model, mode, backend->kernels()));
        const ModelUnderTest under{model, mode, &official, [&] { return open_place(place, options); },
                                   options.device == "cpu" || options.deterministic};
        std::vector<ModelFinding> findings = check_model(under, texts);
        const double bits = bits_per_byte(*load(under, usable_threads()), texts);
        if (mode == "f32") exact = bits;
        found.values.push_back({model, mode, backend->kernels(), bits});
        for (ModelFinding& finding : check_bits(bits, exact, model, mode, backend->kernels(), stored))
          findings.push_back(std::move(finding));
        for (const ModelFinding& f : findings) {
          checks.push_back({"models", fmt::format("{} {} @{}: {}", model, mode, backend->kernels(), f.what),
                            f.passed ? Outcome::passed : Outcome::failed, f.message});
          table.rows.push_back({{model, ""},
                                {mode, ""},
                                {backend->kernels(), ""},
                                {f.what, ""},
                                number(f.value, fmt::format("{:.2g}", f.value)),
                                number(f.allowed, fmt::format("{:.2g}", f.allowed)),
                                {f.passed ? "passed" : "failed", ""}});
        }
      }
    }
  }
  tables.push_back(std::move(table));
  if (!options.store) return;
  std::ofstream out(values_file, std::ios::binary);
  out << to_json(found);
  out.close();
  if (!out) throw std::runtime_error(fmt::format("{}: cannot be written", values_file.string()));
  console.note(fmt::format("{} values in {}", found.values.size(), values_file.string()));
}

}  // namespace

int gate_correctness(const GateCorrectnessOptions& options, const Console& console) {
  check_output_options(options.output);
  for (const std::string& mode : options.modes) numeric_mode(mode);
  if (options.no_operations && options.no_models)
    throw std::invalid_argument("--no-operations and --no-models leave nothing to check");
  catch_interrupts();
  std::vector<GateCheck> checks;
  std::vector<Table> tables;
  if (!options.no_operations) check_all_operations(options, console, checks, tables);
  if (!options.no_models && !interrupted()) check_all_models(options, console, checks, tables);
  if (interrupted()) {
    console.note("interrupted: no verdict");
    return kInterrupted;
  }
  GateRun run;
  run.kind = "correctness";
  run.other.device = options.device;
  return finish_gate(checks, tables, "correctness", std::move(run), options.output, console);
}

}  // namespace deciban

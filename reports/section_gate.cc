#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "reports/chart.h"
#include "reports/figures.h"
#include "reports/sections.h"

namespace deciban {
namespace {

constexpr std::size_t kMostRuns = 100, kMostCharted = 30, kMostExplained = 10, kMostMessages = 8;

std::string day(const GateRun& run) {
  return run.when.size() >= 16 ? run.when.substr(0, 10) + " " + run.when.substr(11, 5) : run.when;
}

// A build by its commit, which is shorter than its path and says more; a model with its mode.
std::string name_of(const GateSide& side) {
  if (!side.commit.empty()) return side.commit.substr(0, 20);
  if (side.name.empty()) return kNoFigure;
  return side.mode.empty() ? side.name : side.name + " " + side.mode;
}

std::string verdict(const GateRun& run) {
  if (run.counts.failed > 0) return "failed";
  if (run.counts.passed + run.counts.unclear == 0) return "no bar set";
  return run.counts.passed > 0 ? "passed" : "unclear";
}

const CostValue* figure_of(const GateRun& run, const char* name) {
  const auto found = run.figures.find(name);
  return found == run.figures.end() || !std::isfinite(found->second.value) ? nullptr : &found->second;
}

void runs_table(Node section, const std::vector<const GateRun*>& runs) {
  Node body = table(section, "Gates, the latest first",
                    {{"when, UTC", false},
                     {"gate", false},
                     {"result", false},
                     {"checks"},
                     {"failed"},
                     {"unclear"},
                     {"from", false},
                     {"to", false},
                     {"machine", false}});
  for (std::size_t i = 0; i < std::min(runs.size(), kMostRuns); ++i) {
    const GateRun& run = *runs[i];
    Node row = add(body, "tr");
    add_text(row, "td", day(run).substr(0, 40));
    add_name(add(row, "td"), run.kind, 16);
    add_text(row, "td", verdict(run), run.counts.failed > 0 ? "failed" : "");
    number_cell(row, grouped_digits(run.counts.passed + run.counts.failed + run.counts.unclear));
    number_cell(row, grouped_digits(run.counts.failed));
    number_cell(row, grouped_digits(run.counts.unclear));
    add_name(add(row, "td"), name_of(run.base), 24);
    // A gate of correctness has one side only: the build that ran it.
    add_name(add(row, "td"), run.kind == "correctness" ? run.commit.substr(0, 20) : name_of(run.other), 24);
    add_name(add(row, "td"), run.machine, 16);
  }
  if (runs.size() > kMostRuns)
    paragraph(section, fmt::format("{} older ones are not listed.", runs.size() - kMostRuns), "soft");
}

void failures(Node section, const std::vector<const GateRun*>& runs) {
  std::size_t explained = 0;
  Node list;
  for (const GateRun* run : runs) {
    if (run->failed.empty() || explained == kMostExplained) continue;
    if (explained++ == 0) {
      add_text(section, "h3", "What failed");
      list = add(section, "dl", "notes");
    }
    Node term = add(list, "dt");
    put_text(term, fmt::format("{}, {} ", day(*run).substr(0, 40), run->kind.substr(0, 40)));
    add_name(term, run->kind == "correctness" ? run->commit.substr(0, 20) : name_of(run->other), 24);
    for (std::size_t i = 0; i < std::min(run->failed.size(), kMostMessages); ++i) {
      const GateCheck& check = run->failed[i];
      add_text(list, "dd", fmt::format("{}: {}", check.name.substr(0, 200), check.message.substr(0, 600)));
    }
    if (run->failed.size() > kMostMessages) {
      add_text(list, "dd",
               fmt::format("and {} more", std::max(run->counts.failed, run->failed.size()) - kMostMessages),
               "soft");
    }
  }
}

void speed_chart(Node section, const std::vector<const GateRun*>& runs) {
  DotsChart chart;
  for (const GateRun* run : runs) {
    const CostValue* change = figure_of(*run, "change_percent");
    if (!change || run->kind != "speed" || chart.rows.size() == kMostCharted) continue;
    chart.rows.push_back({fmt::format("{} {}", day(*run).substr(0, 16), name_of(run->other)), "",
                          change->value, Interval{change->low, change->high}, run->counts.failed > 0, false});
  }
  if (chart.rows.empty()) return;
  add_text(section, "h3", "Speed, gate by gate");
  chart.text = {"Changes of time in each gate of speed",
                fmt::format("The median change over the cases of each of {} gates, and the range of all "
                            "cases.",
                            chart.rows.size())};
  chart.x.title = "change of time, %: right of 0 is slower";
  figure(
      section,
      "Each dot is the median over a gate’s cases of the time after against before, the line reaches from "
      "the smallest change to the largest. Gates that failed are coloured. A range holds the cases’ noise, "
      "too: whether one of them is slower is the verdict’s to say.",
      [&](Node parent, double width) { draw_dots(parent, chart, width); });
}

void divergences(Node section, const std::vector<const GateRun*>& runs) {
  Node body;
  for (const GateRun* run : runs) {
    const CostValue* mean = figure_of(*run, "kl_nats");
    if (run->kind != "divergence" || !mean) continue;
    if (!body) {
      add_text(section, "h3", "How far models are apart");
      paragraph(section,
                "The divergence of the second from the first, in nats a token, over the whole vocabulary at "
                "every scored token; and how often both name the same most probable token.");
      body = table(section, "KL divergence, the latest first",
                   {{"when, UTC", false},
                    {"from", false},
                    {"to", false},
                    {"mean KL"},
                    {"99th percentile"},
                    {"largest"},
                    {"same best"},
                    {"tokens"},
                    {"texts", false},
                    {"window", false}});
    }
    Node row = add(body, "tr");
    add_text(row, "td", day(*run).substr(0, 40));
    add_name(add(row, "td"), name_of(run->base), 24);
    add_name(add(row, "td"), name_of(run->other), 24);
    Node cell = number_cell(row, fmt::format("{:.3g}", mean->value));
    if (mean->low < mean->high)
      add_text(cell, "span", fmt::format("{:.3g} … {:.3g}", mean->low, mean->high), "ci");
    for (const char* name : {"kl_p99_nats", "kl_max_nats"}) {
      const CostValue* value = figure_of(*run, name);
      number_cell(row, value ? fmt::format("{:.3g}", value->value) : kNoFigure);
    }
    const CostValue* same = figure_of(*run, "same_best_percent");
    number_cell(row, same ? fmt::format("{:.2f} %", same->value) : kNoFigure);
    number_cell(row, grouped_digits(mean->samples));
    std::vector<std::string> texts;
    for (const GateText& text : run->texts) texts.push_back(text.name.substr(0, 1000));
    add_name(add(row, "td"), listed(texts, 3), 40);
    add_name(add(row, "td"), run->windowing, 24);
  }
}

}  // namespace

void gate_section(Page& page, const ReportInput& input) {
  if (input.collection.gates.empty()) return;
  std::vector<const GateRun*> runs;
  for (const GateRun& run : input.collection.gates) runs.push_back(&run);
  std::reverse(runs.begin(), runs.end());
  Node section = page.section("gates", "Gates");
  paragraph(
      section,
      "Checks of kernels that were run when code or models changed. A gate fails only on evidence; what "
      "noise hides is called unclear.");
  runs_table(section, runs);
  failures(section, runs);
  speed_chart(section, runs);
  divergences(section, runs);
}

}  // namespace deciban

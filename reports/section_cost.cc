#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "reports/chart.h"
#include "reports/figures.h"
#include "reports/sections.h"

namespace deciban {
namespace {

struct Costs {
  double parameters = 0, flops = 0, memory = 0, speed = 0;  // 0: not known
};

// Operations for one byte: two for each weight of a matrix and token; the embedding is looked up, not
// multiplied.
Costs costs_of(const Board& board, std::size_t lineup) {
  const LineUp& line = *board.lineups[lineup];
  double tokens = 0, bytes = 0, seconds = 0;
  for (const DocumentScore* score : scores_on(board, lineup)) {
    tokens += static_cast<double>(score->tokens);
    bytes += static_cast<double>(score->bytes);
    seconds += score->seconds;
  }
  const auto parameters = static_cast<double>(line.model.parameters);
  const double embedding = static_cast<double>(line.model.vocabulary) * static_cast<double>(line.model.width);
  Costs costs;
  costs.parameters = parameters;
  if (parameters > 0 && embedding > 0 && parameters > embedding && tokens > 0)
    costs.flops = 2 * (parameters - embedding) * tokens / bytes;
  costs.memory = static_cast<double>(line.model.peak_memory);
  costs.speed = seconds > 0 ? bytes / seconds : 0;
  return costs;
}

struct Kind {
  double Costs::*value;
  const char *heading, *axis, *caption;
  TickUnit unit;
  bool larger_is_better;
};

const Kind kKinds[] = {
    {&Costs::parameters, "Against parameters", "parameters",
     "Down and left is better. The dotted steps join the models that no other one beats in both.",
     TickUnit::count, false},
    {&Costs::flops, "Against operations", "floating-point operations for one byte of text",
     "Two operations for each weight and token, embeddings apart, times tokens per byte: a tokenizer that "
     "makes fewer "
     "tokens makes a model cheaper. Attention over earlier tokens is not counted.",
     TickUnit::count, false},
    {&Costs::memory, "Against memory", "most memory while scoring",
     "The process’s peak as it was run, with its batches; smaller batches need less.", TickUnit::bytes,
     false},
    {&Costs::speed, "Against speed", "bytes of text scored in a second",
     "As these runs took, on their machines; runs on different machines or beside other work do not compare.",
     TickUnit::bytes_per_second, true}};

}  // namespace

void cost_section(Page& page, const ReportInput& input) {
  if (input.boards.empty()) return;
  const Board& board = input.boards[0];
  std::vector<std::pair<std::size_t, Costs>> models;
  for (const std::size_t i : models_of(board)) models.emplace_back(i, costs_of(board, i));
  Node section;
  for (const Kind& kind : kKinds) {
    ScatterChart chart;
    std::set<double> places;
    for (const auto& [i, costs] : models) {
      if (!(costs.*kind.value > 0)) continue;
      places.insert(costs.*kind.value);
      const Estimate& bits = board.figures.models[i].pooled;
      chart.points.push_back({board.lineups[i]->name, costs.*kind.value, bits.value, bits.interval});
    }
    // Models of one size make no picture of what size buys.
    if (places.size() < 2 || *places.rbegin() < 1.1 * *places.begin()) continue;
    if (!section) {
      section = page.section("cost", "Quality and cost");
      paragraph(section,
                "What a model’s bits cost: the first leaderboard’s models once more, each against one cost.");
    }
    chart.text = {fmt::format("Bits per byte {}", std::string(1, 'a') + (kind.heading + 1)),
                  fmt::format("{} models; the horizontal axis shows {}, the vertical one bits per byte.",
                              chart.points.size(), kind.axis)};
    chart.x = {kind.axis, *places.rbegin() / *places.begin() > 3 ? Spacing::logarithmic : Spacing::linear,
               kind.unit};
    chart.y.title = "bits per byte";
    chart.larger_x_is_better = kind.larger_is_better;
    add_text(section, "h3", kind.heading);
    figure(section, kind.caption, [&](Node parent, double width) { draw_scatter(parent, chart, width); });
  }
}

}  // namespace deciban

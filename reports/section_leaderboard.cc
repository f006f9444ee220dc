#include <fmt/format.h>

#include <algorithm>

#include "reports/chart.h"
#include "reports/figures.h"
#include "reports/sections.h"

namespace deciban {
namespace {

constexpr double kWidthPerBit = 12.5;
constexpr std::size_t kMostBars = 60;  // rows of a chart; the table has them all

std::string ranks(const ModelFigures& figures) {
  if (figures.group.empty()) return kNoFigure;
  return figures.best_rank == figures.worst_rank
             ? fmt::format("{}", figures.best_rank)
             : fmt::format("{}–{}", figures.best_rank, figures.worst_rank);
}

void chart_of(Node section, const Board& board, const std::string& setting) {
  DotsChart chart;
  chart.text = {"Bits per byte of each model",
                fmt::format("A dot and its 95 % interval for each of {} rows, in order; {}.",
                            board.lineups.size(), setting)};
  chart.x.title = "bits per byte, smaller is better";
  const std::string first = board.figures.models[0].group;
  bool compressors = false;
  // Compressors lie far from models: they would press these together, so they stand in the table only.
  const bool only_compressors = models_of(board).empty();
  for (std::size_t i = 0; i < board.lineups.size() && chart.rows.size() < kMostBars; ++i) {
    const ModelFigures& figures = board.figures.models[i];
    if (board.lineups[i]->compressor && !only_compressors) {
      compressors = true;
      continue;
    }
    const bool tied = !first.empty() && figures.group.find(first[0]) != std::string::npos;
    chart.rows.push_back({board.lineups[i]->name, figures.group, figures.pooled.value,
                          figures.pooled.interval, chart.rows.empty() || tied, board.lineups[i]->compressor});
  }
  std::string caption =
      "Each dot is a model’s bits per byte over all documents, the line its 95 % interval. Intervals of "
      "single models "
      "overlap more than their differences allow: whether two models differ is told by the letters on the "
      "right, which "
      "come from paired differences. Models that share a letter are not told apart; those that share the "
      "first one’s "
      "are coloured.";
  if (compressors) caption += " Compressors are in the table.";
  figure(section, caption, [&](Node parent, double width) { draw_dots(parent, chart, width); });
}

void table_of(Node section, const Board& board) {
  const bool several = board.sources.size() > 1;
  std::vector<TableColumn> columns{{"rank"}, {"model", false}, {"ties", false}, {"bits/byte"}, {"rate %"}};
  if (several) columns.push_back({"source mean"});
  columns.push_back({"vs first"});
  Node body = table(section, "Leaderboard: " + board.setting(), columns);
  for (std::size_t i = 0; i < board.lineups.size(); ++i) {
    const LineUp& lineup = *board.lineups[i];
    const ModelFigures& figures = board.figures.models[i];
    Node row = add(body, "tr", lineup.compressor ? "grey" : i == 0 ? "first" : "");
    number_cell(row, ranks(figures));
    std::string about = lineup.mode;
    if (lineup.model.parameters > 0) {
      about = short_number(static_cast<double>(lineup.model.parameters)) +
              (about.empty() ? " parameters" : " parameters, " + about);
    }
    Node name = name_cell(row, lineup.name);
    if (!about.empty()) add_text(name, "span", about, "ci");
    add_text(row, "td", figures.group);
    add_text(number_cell(row, fixed(figures.pooled.value, 4)), "span",
             interval_text(figures.pooled.interval, 4), "ci");
    number_cell(row, fixed(kWidthPerBit * figures.pooled.value, 2));
    if (several)
      add_text(number_cell(row, fixed(figures.macro.value, 4)), "span",
               interval_text(figures.macro.interval, 4), "ci");
    if (i == 0) {
      number_cell(row, kNoFigure);
      continue;
    }
    const double base = board.figures.models[0].pooled.value;
    const auto interval = board.figures.difference(0, i);
    Node cell = number_cell(row, fmt::format("{:+.2f} %", 100 * (figures.pooled.value / base - 1)));
    if (interval) {
      add_text(cell, "span",
               fmt::format("{:+.2f} … {:+.2f}", 100 * interval->low / base, 100 * interval->high / base),
               "ci");
    }
  }
}

}  // namespace

void leaderboard_sections(Page& page, const ReportInput& input) {
  for (std::size_t b = 0; b < input.boards.size(); ++b) {
    const Board& board = input.boards[b];
    Node section =
        page.section(b == 0 ? "leaderboard" : fmt::format("leaderboard-{}", b + 1),
                     b == 0 ? "Leaderboard" : fmt::format("Leaderboard {}: {}", b + 1, board.windowing));
    std::string setting = fmt::format("{} documents of {}: {}", grouped_digits(board.documents.size()),
                                      listed(board.sources), board.setting());
    paragraph(section, setting + ".");
    if (board.left_out > 0) {
      paragraph(section,
                fmt::format("{} documents that not every one of these models scored are left out.",
                            grouped_digits(board.left_out)),
                "soft");
    }
    if (b > 0)
      paragraph(section,
                "Scored otherwise or on other documents than the models above: not to be compared with them.",
                "soft");
    chart_of(section, board, setting);
    table_of(section, board);
    paragraph(
        section,
        "Rank: the places that a model may have with simultaneous 95 % confidence in all differences. Small "
        "figures are 95 % intervals; those of the last column hold for all pairs of models at once. Rate is "
        "the "
        "compressed size in per cent of the text’s.",
        "soft");
  }
}

}  // namespace deciban

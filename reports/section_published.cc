#include <fmt/format.h>

#include <algorithm>

#include "reports/chart.h"
#include "reports/figures.h"
#include "reports/sections.h"

namespace deciban {

void published_section(Page& page, const ReportInput& input) {
  if (input.options.published.empty()) return;
  Node section = page.section("published", "Published elsewhere");
  paragraph(section,
            "Figures that others published, in grey, beside the mean over sources of this report’s first "
            "leaderboard. "
            "Other texts, windows and start tokens move such figures more than most models differ: they give "
            "a scale, "
            "not a comparison.");
  for (const PublishedTable& published : input.options.published) {
    add_text(section, "h3", published.title);
    DotsChart chart;
    for (const PublishedRow& row : published.rows) {
      if (const auto bits = published.bits_per_byte(row))
        chart.rows.push_back({row.model, "", *bits, std::nullopt, false, true});
    }
    if (!chart.rows.empty() && !input.boards.empty()) {
      const Board& board = input.boards[0];
      for (const std::size_t i : models_of(board)) {
        const Estimate& macro = board.figures.models[i].macro;
        chart.rows.push_back({board.lineups[i]->name, "", macro.value, macro.interval, true, false});
      }
    }
    if (!chart.rows.empty()) {
      std::stable_sort(chart.rows.begin(), chart.rows.end(),
                       [](const auto& a, const auto& b) { return a.value < b.value; });
      chart.text = {published.title,
                    fmt::format("{} published rows beside this report's.", published.rows.size())};
      chart.x.title = "bits per byte, mean over sources";
      figure(section, "Hollow dots are published figures, filled ones this report’s, with their intervals.",
             [&](Node parent, double width) { draw_dots(parent, chart, width); });
    }
    std::vector<TableColumn> columns{{"model", false},
                                     {published.unit == "compression_rate_percent" ? "rate %"
                                      : published.unit == "bits_per_byte"          ? "bits/byte"
                                                                                   : published.unit}};
    if (!published.rows.empty()) {
      for (const auto& [source, value] : published.rows.front().sources) columns.push_back({source});
    }
    Node body = table(section, published.title, columns);
    for (const PublishedRow& row : published.rows) {
      Node line = add(body, "tr");
      name_cell(line, row.model);
      number_cell(line, fmt::format("{:g}", row.value));
      for (std::size_t s = 2; s < columns.size(); ++s) {
        const auto found = std::find_if(row.sources.begin(), row.sources.end(),
                                        [&](const auto& source) { return source.first == columns[s].title; });
        number_cell(line, found == row.sources.end() ? kNoFigure : fmt::format("{:g}", found->second));
      }
    }
    paragraph(section, fmt::format("{} Source: {}. {}", published.setting, published.source, published.note),
              "soft");
  }
}

}  // namespace deciban

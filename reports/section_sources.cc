#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "reports/chart.h"
#include "reports/figures.h"
#include "reports/sections.h"

namespace deciban {
namespace {

constexpr std::size_t kMostSources = 6;

// The documents of one month under one model.
using Terms = std::vector<RatioTerm>;

}  // namespace

void source_section(Page& page, const ReportInput& input) {
  if (input.boards.empty() || input.boards[0].sources.size() < 2) return;
  const Board& board = input.boards[0];
  Node section = page.section("sources", "By source");
  paragraph(section,
            "Bits per byte on each source of texts. What is good on code need not be good on prose; an "
            "average hides it.");

  const std::vector<std::size_t> models = models_of(board);
  if (models.size() > 1) {
    // Sources differ far more than models do: only differences on the same documents make a picture.
    LinesChart chart;
    chart.text = {
        "How many more bits models need than the first one, by source",
        "For each source a point for each model, per cent more than the first model, with 95 % intervals."};
    chart.y.title = fmt::format("% more bits than {}", board.lineups[models[0]]->name.substr(0, 60));
    chart.x.title = "source";
    chart.categories = board.sources;
    chart.zero = true;
    const std::size_t shown = std::min(models.size(), kMostSources + 1);
    for (std::size_t m = 1; m < shown; ++m) {
      LinesChart::Series series{board.lineups[models[m]]->name, {}, false, true};
      for (std::size_t s = 0; s < board.sources.size(); ++s) {
        Terms terms;
        for (std::size_t d = board.panel.source_begin[s]; d < board.panel.source_begin[s + 1]; ++d) {
          const double base = board.panel.bits[models[0]][d];
          terms.push_back({100 * (board.panel.bits[models[m]][d] - base), base});
        }
        const Estimate more = ratio_estimate(terms, 0.95, input.options.seed, 1000);
        // Side by side, so that intervals do not hide each other.
        const double aside = (static_cast<double>(m) - static_cast<double>(shown) / 2) * 0.09;
        series.points.push_back({static_cast<double>(s) + aside, more.value, more.interval});
      }
      chart.series.push_back(std::move(series));
    }
    figure(
        section,
        "Each point is the difference on the documents of one source, paired, with its 95 % interval; the "
        "line at 0 "
        "is the first model of the leaderboard. A model that changes places from source to source has other "
        "strengths than the first.",
        [&](Node parent, double width) { draw_lines(parent, chart, width); });
  }

  std::vector<TableColumn> columns{{"model", false}};
  for (std::size_t s = 0; s < board.sources.size(); ++s) columns.push_back({board.sources[s]});
  Node body = table(section, "Bits per byte by source", columns);
  std::vector<double> best(board.sources.size(), 1e300);
  for (const ModelFigures& figures : board.figures.models) {
    for (std::size_t s = 0; s < best.size(); ++s) best[s] = std::min(best[s], figures.by_source[s].value);
  }
  Node counts = add(body, "tr", "grey");
  name_cell(counts, "documents");
  for (std::size_t s = 0; s < board.sources.size(); ++s)
    number_cell(counts, grouped_digits(board.panel.source_begin[s + 1] - board.panel.source_begin[s]));
  for (std::size_t i = 0; i < board.lineups.size(); ++i) {
    Node row = add(body, "tr", board.lineups[i]->compressor ? "grey" : "");
    name_cell(row, board.lineups[i]->name);
    for (std::size_t s = 0; s < board.sources.size(); ++s) {
      const Estimate& bits = board.figures.models[i].by_source[s];
      Node cell = number_cell(row, fixed(bits.value, 4), bits.value == best[s] ? "best" : "");
      add_text(cell, "span", interval_text(bits.interval, 3), "ci");
    }
  }
  paragraph(section,
            "The lowest of each column is in bold; whether it is lower than its neighbours is for the "
            "intervals, and better for deciban compare, to say.",
            "soft");
}

void month_section(Page& page, const ReportInput& input) {
  if (input.boards.empty()) return;
  const Board& board = input.boards[0];
  std::set<std::string> months;
  std::size_t undated = 0;
  for (const std::uint32_t document : board.documents) {
    const std::string month = input.collection.documents[document].month();
    month.empty() ? ++undated : (months.insert(month), std::size_t{0});
  }
  if (months.size() < 2) return;
  Node section = page.section("months", "By month");
  paragraph(section,
            "Texts by the month in which they were published. Texts older than a model’s training data may "
            "have been "
            "read by it: a step where training ended is what that looks like.");
  const std::vector<std::string> names(months.begin(), months.end());
  const std::vector<std::size_t> models = models_of(board);
  LinesChart chart;
  chart.text = {"Bits per byte by month of publication",
                "One line a model, one point a month, with 95 % bands."};
  chart.y.title = "bits per byte";
  chart.x.title = "month of publication";
  chart.categories = names;
  std::vector<TableColumn> columns{{"model", false}, {"trained until", false}};
  for (const std::string& month : names) columns.push_back({month});
  Node charts = add(section, "div");
  Node body = table(section, "Bits per byte by month", columns);
  for (std::size_t m = 0; m < models.size(); ++m) {
    std::map<std::string, Terms> terms;
    for (std::size_t d = 0; d < board.documents.size(); ++d) {
      const std::string month = input.collection.documents[board.documents[d]].month();
      if (!month.empty()) terms[month].push_back({board.panel.bits[models[m]][d], board.panel.bytes[d]});
    }
    const LineUp& lineup = *board.lineups[models[m]];
    LinesChart::Series series{lineup.name, {}};
    Node row = add(body, "tr");
    name_cell(row, lineup.name);
    add_text(row, "td", lineup.model.training_cutoff.empty() ? kNoFigure : lineup.model.training_cutoff);
    for (std::size_t i = 0; i < names.size(); ++i) {
      const Estimate bits = ratio_estimate(terms[names[i]], 0.95, input.options.seed);
      series.points.push_back({static_cast<double>(i), bits.value, bits.interval});
      add_text(number_cell(row, fixed(bits.value, 4)), "span", interval_text(bits.interval, 3), "ci");
    }
    if (m < kMostSources) chart.series.push_back(std::move(series));
  }
  figure(charts,
         "Bands are 95 % intervals over the documents of a month; months with fewer than ten have none.",
         [&](Node parent, double width) { draw_lines(parent, chart, width); });
  if (undated > 0)
    paragraph(section, fmt::format("{} documents have no date and are left out.", grouped_digits(undated)),
              "soft");
}

}  // namespace deciban

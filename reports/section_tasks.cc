#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "reports/chart.h"
#include "reports/compare.h"
#include "reports/correlation.h"
#include "reports/figures.h"
#include "reports/sections.h"

namespace deciban {
namespace {

constexpr std::size_t kMostColumns = 6;  // of one table: as many as a page is wide

// How documents' sums become the figure, told from the words in run.json.
double transformed(double ratio, const std::string& aggregation) {
  if (aggregation.find("exp(-") != std::string::npos || aggregation.find("exp(−") != std::string::npos)
    return std::exp(-ratio);
  if (aggregation.find("exp(") != std::string::npos) return std::exp(ratio);
  return ratio;
}

struct Score {
  Estimate ratio;
  std::string aggregation;
  bool share = false;  // an accuracy: shown in per cent
};

using ScoreTable = std::map<std::string, std::map<std::string, Score>>;  // model → "task\nmeasure" → score

// Of a figure after its transformation.
std::string text_of(const Score& score, double value) {
  return score.share ? fmt::format("{:.1f}", 100 * value) : fixed(value, 4);
}

double value_of(const Score& score) { return transformed(score.ratio.value, score.aggregation); }

std::optional<Interval> interval_of(const Score& score) {
  if (!score.ratio.interval) return std::nullopt;
  // A perplexity falls as the logarithm of the probability rises: its ends change places.
  const auto [low, high] = std::minmax({transformed(score.ratio.interval->low, score.aggregation),
                                        transformed(score.ratio.interval->high, score.aggregation)});
  if (score.share) return Interval{std::clamp(low, 0.0, 1.0), std::clamp(high, 0.0, 1.0)};
  return Interval{low, high};
}

ScoreTable scores_of(const Collection& collection, std::uint64_t seed, std::vector<std::string>& columns) {
  ScoreTable table;
  std::set<std::string> names;
  for (const LineUp& lineup : collection.lineups) {
    if (lineup.text || about_length(lineup.task)) continue;
    for (const auto& [measure, values] : lineup.measures) {
      const auto lower = lower_is_better(measure);
      if (!lower) continue;
      std::vector<RatioTerm> terms;
      bool share = !*lower;
      for (const auto& [document, value] : values) {
        terms.push_back({value.sum, value.weight});
        share = share && value.sum >= 0 && value.sum <= value.weight;
      }
      Score score{ratio_estimate(terms, 0.95, seed), "", share};
      const auto task = collection.tasks.find(lineup.task);
      if (task != collection.tasks.end()) {
        const auto words = task->second.find(measure);
        if (words != task->second.end()) score.aggregation = words->second;
      }
      const std::string column = lineup.task + "\n" + measure;
      names.insert(column);
      table[lineup.name][column] = score;
    }
  }
  columns.assign(names.begin(), names.end());
  return table;
}

// One measure a task counts for the mean: acc_norm where there is one, else acc.
std::optional<double> mean_score(const std::map<std::string, Score>& scores,
                                 const std::set<std::string>& tasks) {
  double sum = 0;
  for (const std::string& task : tasks) {
    const Score* found = nullptr;
    for (const char* measure : {"acc_norm", "acc", "em", "exact_match"}) {
      const auto at = scores.find(task + "\n" + measure);
      if (!found && at != scores.end() && at->second.share) found = &at->second;
    }
    if (!found) return std::nullopt;
    sum += found->ratio.value;
  }
  return tasks.empty() ? std::nullopt : std::optional<double>(sum / static_cast<double>(tasks.size()));
}

std::string words_of(const char* name, const Correlation& correlation) {
  return fmt::format("{} {:.2f} (95 % interval {})", name, correlation.value,
                     interval_text(correlation.interval, 2));
}

// Is a likelier model a better one?
void against_bits(Node section, const ReportInput& input, const ScoreTable& table,
                  const std::set<std::string>& tasks) {
  if (input.boards.empty()) return;
  const Board& board = input.boards[0];
  ScatterChart chart;
  std::vector<double> bits, means;
  for (const std::size_t i : models_of(board)) {
    const auto scores = table.find(board.lineups[i]->name);
    if (scores == table.end()) continue;
    const auto mean = mean_score(scores->second, tasks);
    if (!mean) continue;
    const Estimate& estimate = board.figures.models[i].pooled;
    chart.points.push_back({board.lineups[i]->name, 100 * *mean, estimate.value, estimate.interval});
    bits.push_back(estimate.value);
    means.push_back(*mean);
  }
  if (chart.points.size() < 3) return;
  chart.text = {"Bits per byte against mean task score", "One point a model."};
  chart.x.title = fmt::format("mean score of {} tasks, %", tasks.size());
  chart.y.title = "bits per byte";
  chart.front = false;
  add_text(section, "h3", "Is a likelier model a better one?");
  paragraph(section,
            fmt::format("{}; {}. With {} models an interval is wide; models of one family and size class say "
                        "more than all together.",
                        words_of("Pearson", pearson(bits, means)),
                        words_of("Spearman", spearman(bits, means)), chart.points.size()));
  figure(section, "If fewer bits mean better answers, points fall from the upper left to the lower right.",
         [&](Node parent, double width) { draw_scatter(parent, chart, width); });
}

}  // namespace

void task_section(Page& page, const ReportInput& input) {
  std::vector<std::string> columns;
  const ScoreTable scores = scores_of(input.collection, input.options.seed, columns);
  if (columns.empty()) return;
  Node section = page.section("tasks", "Tasks");
  paragraph(section, "Scores on tasks, with 95 % intervals over their documents; accuracies in per cent.");
  for (std::size_t from = 0; from < columns.size(); from += kMostColumns) {
    const std::size_t to = std::min(columns.size(), from + kMostColumns);
    std::vector<TableColumn> heads{{"model", false}};
    for (std::size_t c = from; c < to; ++c) {
      std::string head = columns[c];
      std::replace(head.begin(), head.end(), '\n', ' ');
      heads.push_back({head});
    }
    Node body = table(section, "Task scores", heads);
    for (const auto& [model, own] : scores) {
      Node row = add(body, "tr");
      name_cell(row, model);
      for (std::size_t c = from; c < to; ++c) {
        const auto found = own.find(columns[c]);
        if (found == own.end()) {
          number_cell(row, kNoFigure);
          continue;
        }
        const Score& score = found->second;
        Node cell = number_cell(row, text_of(score, value_of(score)));
        if (const auto interval = interval_of(score)) {
          add_text(cell, "span",
                   fmt::format("{} … {}", text_of(score, interval->low), text_of(score, interval->high)),
                   "ci");
        }
      }
    }
  }
  std::set<std::string> tasks;
  for (const std::string& column : columns) {
    const std::string measure = column.substr(column.find('\n') + 1);
    if (measure == "acc" || measure == "acc_norm" || measure == "em" || measure == "exact_match")
      tasks.insert(column.substr(0, column.find('\n')));
  }
  against_bits(section, input, scores, tasks);
}

Table task_table(const Collection& collection, std::uint64_t seed) {
  std::vector<std::string> columns;
  const ScoreTable scores = scores_of(collection, seed, columns);
  Table table;
  table.columns = {{"model", "model", false},
                   {"task", "task", false},
                   {"measure", "measure", false},
                   {"docs", "documents"},
                   {"value", "value"},
                   {"95 %", "interval_95"},
                   {"low", "value_low", true, true},
                   {"high", "value_high", true, true}};
  for (const std::string& column : columns) {
    for (const auto& [model, own] : scores) {
      const auto found = own.find(column);
      if (found == own.end()) continue;
      const Score& score = found->second;
      const auto exact = [](double value) {
        return std::isfinite(value) ? Cell{"", fmt::format("{}", value)} : Cell{"", "null"};
      };
      Cell value = exact(value_of(score)), low{"", "null"}, high{"", "null"};
      value.text = text_of(score, value_of(score));
      std::string interval = kNoFigure;
      if (const auto ends = interval_of(score)) {
        low = exact(ends->low);
        high = exact(ends->high);
        interval = fmt::format("{} … {}", text_of(score, ends->low), text_of(score, ends->high));
      }
      table.rows.push_back({{model, ""},
                            {column.substr(0, column.find('\n')), ""},
                            {column.substr(column.find('\n') + 1), ""},
                            {grouped_digits(score.ratio.documents), std::to_string(score.ratio.documents)},
                            value,
                            {interval, ""},
                            low,
                            high});
    }
  }
  if (!table.rows.empty())
    table.notes.push_back("accuracies are in per cent here, shares in the formats for machines");
  return table;
}

}  // namespace deciban

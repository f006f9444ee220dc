#include "reports/context_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "reports/cost_table.h"

namespace deciban {
namespace {

constexpr std::string_view kRecallTask = "recall";
constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

std::optional<std::size_t> context_of(const Record& record) {
  if (!record.task.starts_with(kContextTask)) return std::nullopt;
  const std::string_view digits = std::string_view(record.task).substr(kContextTask.size());
  std::size_t bytes = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bytes);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return bytes;
}

std::string interval_words(const Estimate& estimate, int digits) {
  if (!estimate.interval) return "";
  return fmt::format("{:.{}f} … {:.{}f}", estimate.interval->low, digits, estimate.interval->high, digits);
}

std::string exact(double value) { return std::isfinite(value) ? fmt::format("{}", value) : "null"; }

const CostPoint* nearest(std::span<const CostPoint> costs, const std::string& model, double tokens) {
  const CostPoint* best = nullptr;
  for (const CostPoint& point : costs) {
    if (point.model != model || point.batch != 1 || point.kind != "model") continue;
    const double off = std::abs(static_cast<double>(point.length) - tokens);
    if (off > 0.1 * tokens) continue;
    if (!best || off < std::abs(static_cast<double>(best->length) - tokens)) best = &point;
  }
  return best;
}

// 95 % interval of a share (Wilson 1927): within 0 and 1, and honest for few documents.
Interval wilson(double share, double n) {
  constexpr double kZ = 1.959964;
  const double centre = (share + kZ * kZ / (2 * n)) / (1 + kZ * kZ / n);
  const double half = kZ / (1 + kZ * kZ / n) * std::sqrt(share * (1 - share) / n + kZ * kZ / (4 * n * n));
  return {centre - half, centre + half};
}

struct Measured {
  std::vector<const Record*> ok;
  std::string failure;
};

template <typename T>
std::size_t place_of(std::vector<T>& all, const T& one) {
  const auto found = std::find(all.begin(), all.end(), one);
  if (found != all.end()) return static_cast<std::size_t>(found - all.begin());
  all.push_back(one);
  return all.size() - 1;
}

}  // namespace

std::vector<ContextRow> context_rows(std::span<const Record> records, std::span<const CostPoint> costs,
                                     std::uint64_t seed) {
  std::vector<std::string> models;
  std::map<std::pair<std::size_t, std::size_t>, Measured> groups;
  for (const Record& record : records) {
    const auto context = context_of(record);
    if (!context) continue;
    Measured& group = groups[{place_of(models, record.model), *context}];
    if (record.status == "ok") {
      group.ok.push_back(&record);
    } else {
      group.failure = record.reason;
    }
  }
  std::vector<ContextRow> rows;
  for (const auto& [key, group] : groups) {
    ContextRow row;
    row.model = models[key.first];
    row.context = key.second;
    row.gain.value = row.bits_per_byte.value = kUnknown;
    if (group.ok.empty()) row.failure = group.failure;
    std::map<std::pair<std::string, std::string>, RatioTerm> without;  // by corpus and document
    if (const auto none = groups.find({key.first, 0}); none != groups.end() && key.second != 0) {
      for (const Record* record : none->second.ok) {
        const Measure& bits = record->measures.at("bits_per_byte");
        without[{record->corpus, record->document}] = {bits.sum, bits.weight};
      }
    }
    std::vector<RatioTerm> terms, gains;
    for (const Record* record : group.ok) {
      const Measure& bits = record->measures.at("bits_per_byte");
      terms.push_back({bits.sum, bits.weight});
      // Records count the target's tokens; the context has as many a byte, about.
      row.tokens += static_cast<double>(record->tokens) *
                    (1 + static_cast<double>(row.context) / std::max(1.0, bits.weight)) /
                    static_cast<double>(group.ok.size());
      if (const auto before = without.find({record->corpus, record->document}); before != without.end())
        gains.push_back({before->second.numerator - bits.sum, bits.weight});
    }
    if (!terms.empty()) row.bits_per_byte = ratio_estimate(terms, 0.95, seed);
    if (!gains.empty()) row.gain = ratio_estimate(gains, 0.95, seed);
    row.cost = nearest(costs, row.model, row.tokens);
    rows.push_back(std::move(row));
  }
  return rows;
}

Table context_table(std::span<const ContextRow> rows) {
  Table table;
  table.columns = {{"model", "model", false},
                   {"context", "context_bytes"},
                   {"bits/byte", "bits_per_byte"},
                   {"95 %", "bits_per_byte_interval", false},
                   {"gained", "gain"},
                   {"95 %", "gain_interval", false},
                   {"docs", "documents"},
                   {"tokens", "tokens"},
                   {"to read", "prefill_seconds"},
                   {"a step", "step_seconds"},
                   {"state/cache", "cache_bytes"}};
  std::string failed;
  for (const ContextRow& row : rows) {
    const auto cost = [&](const char* metric, std::string (*show)(double)) {
      if (!row.cost) return Cell{"–", "null"};
      const auto found = row.cost->metrics.find(metric);
      return found == row.cost->metrics.end() ? Cell{"–", "null"}
                                              : Cell{show(found->second.value), exact(found->second.value)};
    };
    const auto number = [](double value) {
      return Cell{std::isfinite(value) ? fmt::format("{:.4f}", value) : "–", exact(value)};
    };
    table.rows.push_back(
        {{row.model, ""},
         {show_bytes(static_cast<double>(row.context)), fmt::format("{}", row.context)},
         number(row.bits_per_byte.value),
         {interval_words(row.bits_per_byte, 4), ""},
         number(row.gain.value),
         {interval_words(row.gain, 4), ""},
         {fmt::format("{}", row.bits_per_byte.documents), fmt::format("{}", row.bits_per_byte.documents)},
         {fmt::format("{:.0f}", row.tokens), exact(row.tokens)},
         cost("prefill_seconds", show_seconds),
         cost("step_seconds", show_seconds),
         cost("cache_bytes", show_bytes)});
    // What no document could be scored with, longer contexts cannot be either: one note says both.
    if (!row.failure.empty() && failed != row.model) {
      table.notes.push_back(
          fmt::format("{} with {} bytes of context{}: {}", row.model, row.context,
                      &row == &rows.back() || (&row + 1)->model != row.model ? "" : " or more",
                      row.failure.substr(0, row.failure.find("; use --window"))));
      failed = row.model;
    }
  }
  table.notes.push_back(
      "gained: bits/byte fewer than without context, on the same documents; cost: of reading so many tokens, "
      "of one "
      "more, and of what is kept of them.");
  return table;
}

Table recall_table(std::span<const Record> records, std::uint64_t seed) {
  Table table;
  table.columns = {{"model", "model", false},      {"corpus", "corpus", false},
                   {"bits/byte", "bits_per_byte"}, {"95 %", "bits_per_byte_interval", false},
                   {"chosen of 4", "choice"},      {"95 %", "choice_interval", false},
                   {"docs", "documents"}};
  std::vector<std::pair<std::string, std::string>> places;
  std::vector<Measured> groups;
  for (const Record& record : records) {
    if (record.task != kRecallTask) continue;
    const std::size_t place = place_of(places, {record.model, record.corpus});
    if (place == groups.size()) groups.emplace_back();
    if (record.status == "ok") {
      groups[place].ok.push_back(&record);
    } else {
      groups[place].failure = record.reason;
    }
  }
  for (std::size_t i = 0; i < groups.size(); ++i) {
    std::vector<RatioTerm> bits;
    double chosen = 0;
    for (const Record* record : groups[i].ok) {
      const Measure &b = record->measures.at("bits_per_byte"), &c = record->measures.at("choice");
      bits.push_back({b.sum, b.weight});
      chosen += c.sum;
    }
    if (bits.empty()) {
      table.notes.push_back(fmt::format("{}, {}: {}", places[i].first, places[i].second, groups[i].failure));
      continue;
    }
    const Estimate per_byte = ratio_estimate(bits, 0.95, seed);
    const auto documents = static_cast<double>(bits.size());
    const Interval interval = wilson(chosen / documents, documents);
    table.rows.push_back({{places[i].first, ""},
                          {places[i].second, ""},
                          {fmt::format("{:.3f}", per_byte.value), exact(per_byte.value)},
                          {interval_words(per_byte, 3), ""},
                          {fmt::format("{:.0f} %", 100 * chosen / documents), exact(chosen / documents)},
                          {fmt::format("{:.0f} … {:.0f} %", 100 * interval.low, 100 * interval.high), ""},
                          {fmt::format("{}", bits.size()), fmt::format("{}", bits.size())}});
  }
  table.notes.push_back("By chance one of four answers is chosen 25 % of the time.");
  return table;
}

}  // namespace deciban

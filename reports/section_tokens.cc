#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numbers>
#include <set>
#include <unordered_map>

#include "reports/chart.h"
#include "reports/figures.h"
#include "reports/sections.h"
#include "reports/surprise.h"
#include "reports/token_file.h"

namespace deciban {
namespace {

constexpr std::size_t kMostModels = 6;             // token files are large, and so are pages
constexpr std::size_t kFirstBin = 64, kBins = 16;  // bytes; each bin is twice as long as the one before

// Bin of a byte's place: 0 … 63, 64 … 127, 128 … 255 and so on.
std::size_t bin_of(std::uint64_t place) {
  std::size_t bin = 0;
  for (std::uint64_t end = kFirstBin; place >= end && bin + 1 < kBins; end *= 2) ++bin;
  return bin;
}

double bin_middle(std::size_t bin) {
  const double end = static_cast<double>(kFirstBin) * std::pow(2.0, static_cast<double>(bin));
  return bin == 0 ? end / 2 : end / 2 * std::numbers::sqrt2;
}

struct ModelTokens {
  std::size_t lineup = 0;
  std::array<std::vector<RatioTerm>, kBins> bins;       // one term a document
  std::unordered_map<std::uint32_t, TokenScores> kept;  // of documents to be shown
};

std::array<RatioTerm, kBins> binned(const TokenScores& scores) {
  std::array<RatioTerm, kBins> terms{};
  std::uint64_t place = 0;
  for (std::size_t i = 0; i < scores.tokens.size(); ++i) {
    if (!std::isnan(scores.logprob[i])) {
      RatioTerm& term = terms[bin_of(place)];
      term.numerator -= static_cast<double>(scores.logprob[i]) / std::numbers::ln2;
      term.denominator += scores.bytes[i];
    }
    place += scores.bytes[i];
  }
  return terms;
}

// One pass over the token files of a model: bins of all documents, tokens of the chosen ones.
ModelTokens read_tokens(const Board& board, std::size_t lineup, const std::set<std::uint32_t>& chosen) {
  ModelTokens tokens;
  tokens.lineup = lineup;
  const std::set<std::uint32_t> wanted(board.documents.begin(), board.documents.end());
  std::map<ScoreKey, std::uint32_t> keys;
  for (const DocumentScore& score : board.lineups[lineup]->scores) {
    if (wanted.contains(score.document)) keys.emplace(score.key, score.document);
  }
  std::set<std::uint32_t> seen;
  for (const std::string& run : board.lineups[lineup]->runs) {
    for (const auto& file : token_files(run)) {
      read_token_file(
          file, [&](const ScoreKey& key) { return keys.contains(key) && !seen.contains(keys.at(key)); },
          [&](const ScoreKey& key, TokenScores&& scores) {
            const std::uint32_t document = keys.at(key);
            seen.insert(document);
            const auto terms = binned(scores);
            for (std::size_t b = 0; b < kBins; ++b) {
              if (terms[b].denominator > 0) tokens.bins[b].push_back(terms[b]);
            }
            if (chosen.contains(document)) tokens.kept[document] = std::move(scores);
          });
    }
  }
  return tokens;
}

// Documents to be shown: those named, else the two ends and the middle of the difference of the first two
// models.
std::vector<std::uint32_t> chosen_documents(const ReportInput& input, const Board& board,
                                            const std::vector<std::size_t>& models) {
  std::vector<std::uint32_t> chosen;
  if (!input.options.text) return chosen;
  const auto has_text = [&](std::uint32_t document) {
    const DocumentEntry& entry = input.collection.documents[document];
    return input.options.text(input.collection.corpora[entry.corpus], entry.id).has_value();
  };
  if (!input.options.documents.empty()) {
    for (const std::string& id : input.options.documents) {
      for (const std::uint32_t document : board.documents) {
        if (input.collection.documents[document].id == id && has_text(document)) chosen.push_back(document);
      }
    }
    return chosen;
  }
  std::vector<std::pair<double, std::uint32_t>> order;
  for (std::size_t d = 0; d < board.documents.size(); ++d) {
    const double bits = models.size() > 1 ? board.panel.bits[models[1]][d] - board.panel.bits[models[0]][d]
                                          : board.panel.bits[models[0]][d];
    if (has_text(board.documents[d])) order.emplace_back(bits / board.panel.bytes[d], board.documents[d]);
  }
  if (order.empty()) return chosen;
  std::sort(order.begin(), order.end());
  for (const std::size_t at : {order.size() - 1, order.size() / 2, std::size_t{0}}) {
    const std::uint32_t document = order[at].second;
    if (std::find(chosen.begin(), chosen.end(), document) == chosen.end()) chosen.push_back(document);
  }
  return chosen;
}

void position_section(Page& page, const ReportInput& input, const Board& board,
                      const std::vector<ModelTokens>& models) {
  LinesChart chart;
  chart.text = {
      "Bits per byte by position in the document",
      "One line a model: bits per byte of the bytes at each distance from the document's beginning."};
  chart.x = {"bytes from the beginning of the document", Spacing::logarithmic, TickUnit::bytes};
  chart.y.title = "bits per byte";
  for (const ModelTokens& model : models) {
    LinesChart::Series series{board.lineups[model.lineup]->name, {}};
    for (std::size_t b = 0; b < kBins; ++b) {
      if (model.bins[b].size() < kMinDocumentsForInterval) continue;
      const Estimate bits = ratio_estimate(model.bins[b], 0.95, input.options.seed, 1000);
      series.points.push_back({bin_middle(b), bits.value, bits.interval});
    }
    if (series.points.size() > 1) chart.series.push_back(std::move(series));
  }
  if (chart.series.empty()) return;
  Node section = page.section("position", "What reading on is worth");
  paragraph(section,
            "The further into a document, the more a model has read and the better it should predict. A line "
            "that goes "
            "on falling belongs to a model that still learns from what it read; one that rises has lost the "
            "thread.");
  figure(section,
         "Bands are 95 % intervals over documents. Further right only long documents count, which may be of "
         "another "
         "kind; every line has the same ones, though, so lines may be compared at any place.",
         [&](Node parent, double width) { draw_lines(parent, chart, width); });
}

void surprise_section(Page& page, const ReportInput& input, const Board& board,
                      std::vector<ModelTokens>& models, const std::vector<std::uint32_t>& chosen) {
  Node section;
  for (const std::uint32_t document : chosen) {
    const DocumentEntry& entry = input.collection.documents[document];
    const auto text = input.options.text(input.collection.corpora[entry.corpus], entry.id);
    const auto first = models[0].kept.find(document);
    if (!text || first == models[0].kept.end()) continue;
    const TokenScores* second = nullptr;
    if (models.size() > 1) {
      const auto found = models[1].kept.find(document);
      if (found != models[1].kept.end()) second = &found->second;
    }
    if (!section) {
      section = page.section("surprise", "Where the surprise is");
      paragraph(section,
                "Beginnings of documents, coloured by how many bits each piece took. Pieces are the "
                "stretches between "
                "places where the tokens of both models end, so that models with different tokenizers meet "
                "on the same "
                "bytes.");
    }
    Node heading = add(section, "h3");
    put_text(heading, "Document ");
    add_name(heading, entry.id, 50);
    put_text(heading, " of ");
    add_name(heading, input.collection.corpora[entry.corpus].name);
    const std::string& name = board.lineups[models[0].lineup]->name;
    draw_surprise(section, *text, first->second, second, name,
                  second ? board.lineups[models[1].lineup]->name : "");
  }
}

}  // namespace

void token_sections(Page& page, const ReportInput& input) {
  if (input.boards.empty()) return;
  const Board& board = input.boards[0];
  std::vector<std::size_t> with_tokens;
  for (const std::size_t i : models_of(board)) {
    const auto& runs = board.lineups[i]->runs;
    if (std::any_of(runs.begin(), runs.end(),
                    [](const std::string& run) { return !token_files(run).empty(); }))
      with_tokens.push_back(i);
    if (with_tokens.size() == kMostModels) break;
  }
  if (with_tokens.empty()) return;
  // Two versions of one model would show nothing: the second is the best of another kind, where there is one.
  const auto other = std::find_if(with_tokens.begin() + 1, with_tokens.end(), [&](std::size_t i) {
    return board.lineups[i]->model.digest != board.lineups[with_tokens[0]]->model.digest;
  });
  if (other != with_tokens.end()) std::rotate(with_tokens.begin() + 1, other, other + 1);
  const std::vector<std::uint32_t> chosen = chosen_documents(input, board, with_tokens);
  std::vector<ModelTokens> models;
  for (const std::size_t i : with_tokens) {
    // Only the first two models' tokens are shown.
    const std::set<std::uint32_t> kept =
        models.size() < 2 ? std::set(chosen.begin(), chosen.end()) : std::set<std::uint32_t>();
    models.push_back(read_tokens(board, i, kept));
  }
  position_section(page, input, board, models);
  surprise_section(page, input, board, models, chosen);
}

}  // namespace deciban

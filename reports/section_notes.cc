#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "reports/figures.h"
#include "reports/sections.h"

namespace deciban {
namespace {

std::string short_digest(const std::string& digest) {
  return digest.empty() ? kNoFigure : digest.size() > 16 ? digest.substr(0, 16) + "…" : digest;
}

void models_table(Node section, const Collection& collection) {
  std::map<std::string, const LineUp*> models;
  for (const LineUp& lineup : collection.lineups) {
    if (!lineup.compressor && !lineup.model.digest.empty()) models.emplace(lineup.name, &lineup);
  }
  if (models.empty()) return;
  Node body = table(section, "Models",
                    {{"model", false},
                     {"family", false},
                     {"parameters"},
                     {"tokenizer", false},
                     {"mode", false},
                     {"device", false},
                     {"kernels", false},
                     {"SHA-256", false}});
  for (const auto& [name, lineup] : models) {
    const RunModel& model = lineup->model;
    Node row = add(body, "tr");
    name_cell(row, name);
    add_name(add(row, "td"), model.family, 24);
    number_cell(row, grouped_digits(model.parameters));
    add_name(add(row, "td"), model.tokenizer, 28);
    add_name(add(row, "td"), model.mode, 16);
    add_name(add(row, "td"), model.device, 24);
    add_name(add(row, "td"), model.kernels, 16);
    Node digest = add_text(row, "td", short_digest(model.digest), "mono");
    put(digest, "title", model.digest);
  }
}

void corpora_table(Node section, const Collection& collection) {
  if (collection.corpora.empty()) return;
  Node body = table(section, "Texts", {{"corpus", false}, {"documents"}, {"bytes"}, {"SHA-256", false}});
  std::vector<std::size_t> documents(collection.corpora.size());
  std::vector<std::uint64_t> bytes(collection.corpora.size());
  std::set<std::uint32_t> scored;
  for (const LineUp& lineup : collection.lineups) {
    if (lineup.windowing == "solid") continue;
    for (const DocumentScore& score : lineup.scores) scored.insert(score.document);
    for (const auto& [name, values] : lineup.measures) {
      for (const auto& value : values) scored.insert(value.first);
    }
  }
  for (const std::uint32_t document : scored) {
    const DocumentEntry& entry = collection.documents[document];
    ++documents[entry.corpus];
    bytes[entry.corpus] += entry.bytes;
  }
  for (std::size_t i = 0; i < collection.corpora.size(); ++i) {
    Node row = add(body, "tr");
    name_cell(row, collection.corpora[i].name);
    number_cell(row, grouped_digits(documents[i]));
    number_cell(row, grouped_digits(bytes[i]));
    Node digest = add_text(row, "td", short_digest(collection.corpora[i].digest), "mono");
    put(digest, "title", collection.corpora[i].digest);
  }
}

void runs_table(Node section, const Collection& collection) {
  constexpr std::size_t kMost = 120;  // a run that was gone on with often has many sittings
  if (std::all_of(collection.run_files.begin(), collection.run_files.end(),
                  [](const RunFile& run) { return run.sittings.empty(); }))
    return;
  Node body = table(
      section, "Runs",
      {{"started", false}, {"run", false}, {"version", false}, {"machine", false}, {"policies", false}});
  std::size_t rows = 0;
  for (std::size_t i = 0; i < collection.run_files.size(); ++i) {
    for (const RunSitting& sitting : collection.run_files[i].sittings) {
      if (rows++ >= kMost) continue;
      Node row = add(body, "tr");
      add_text(row, "td", sitting.started.empty() ? kNoFigure : sitting.started.substr(0, 19));
      add_name(add(row, "td"), i < collection.sources.size() ? collection.sources[i] : "", 32);
      add_text(row, "td", fmt::format("{} ({})", sitting.version, sitting.commit));
      std::string machine = sitting.cpu;
      if (sitting.cpus > 0) machine += fmt::format(", {} CPUs", sitting.cpus);
      if (!sitting.isa.empty()) machine += ", " + sitting.isa;
      Node cell = add(row, "td", "wrap");
      add_name(cell, machine, 60);
      std::string policies;
      for (const auto& [name, value] : sitting.policies)
        policies += fmt::format("{}{} {}", policies.empty() ? "" : ", ", name, value);
      Node words = add(row, "td", "wrap");
      add_name(words, policies, 90);
    }
  }
  if (rows > kMost) paragraph(section, fmt::format("{} more sittings are not listed.", rows - kMost), "soft");
}

void note(Node list, std::string_view term, std::string_view text) {
  add_text(list, "dt", term);
  add_text(list, "dd", text);
}

}  // namespace

void provenance_section(Page& page, const ReportInput& input) {
  Node section = page.section("provenance", "What was run");
  paragraph(section,
            "Enough to run it again: equal digests, mode and window give equal results on the same kernels.");
  models_table(section, input.collection);
  corpora_table(section, input.collection);
  runs_table(section, input.collection);
  std::set<std::string> licences;
  for (const DocumentEntry& entry : input.collection.documents) {
    if (!entry.licence.empty()) licences.insert(entry.licence);
  }
  std::string text =
      "The texts belong to their authors and stand under their own licences; this page holds figures about "
      "them, and "
      "of texts only the short passages under “Where the surprise is”, if it has that section.";
  if (!licences.empty()) {
    std::string words;
    for (const std::string& licence : licences) words += (words.empty() ? "" : ", ") + licence;
    text += " Licences stated in the records: " + words.substr(0, 600) + ".";
  }
  add_text(section, "h3", "Licences");
  paragraph(section, text);
}

void method_section(Page& page, const ReportInput& input) {
  Node section = page.section("method", "How it is computed");
  Node formula = add(section, "pre", "formula");
  put(formula, "tabindex", "0");
  put_lines(formula,
            "bits of a document   = − Σ log2 p(token | tokens before it in its window)\n"
            "bits per byte        = Σ bits / Σ bytes of the raw texts\n"
            "compression rate, %  = 12.5 × bits per byte\n"
            "mean of sources      = unweighted mean of the sources’ bits per byte\n"
            "difference           = Σ (bits of B − bits of A) / Σ bytes, over the same documents\n"
            "decibans per kB      = 10 log10 (p(text | B) / p(text | A)) / kB = −3010.3 × difference");
  Node list = add(section, "dl", "notes");
  note(list, "Intervals",
       "95 % over documents, by the studentized bootstrap (bootstrap-t) with the linearised standard error "
       "of a ratio; "
       "documents are drawn with replacement within each source, tails widened for few documents. Fewer than "
       "ten "
       "documents in a source give no interval. They tell how far a figure might move with other documents "
       "of the same "
       "kind, nothing about other kinds of text.");
  note(
      list, "Ties and ranks",
      "From all paired differences at once: the 95 % quantile of the largest |difference| in standard errors "
      "over all pairs of models makes intervals that hold simultaneously. It comes from a wild bootstrap: "
      "each "
      "document’s residuals keep or change their signs by chance, in all models alike. Two models are "
      "told apart if theirs does not hold zero. A model’s best rank is one more than the number of models "
      "shown to be "
      "better.");
  note(list, "Verdicts",
       "Better or worse: the paired difference is not zero at the 5 % level. Same: two one-sided tests at "
       "the 5 % level "
       "show it to lie within the margin; that is asked first, so that a clear but negligible difference is "
       "called the "
       "same. Unclear: neither. Over several sources p-values are corrected by Holm’s method.");
  note(list, "What could have been shown",
       "The smallest true difference that this many documents show four times in five, from the spread of "
       "the paired "
       "differences alone. It is never computed from the observed difference.");
  note(list, "Start and windows",
       "How a text is cut and what it follows moves the figures more than most differences between models "
       "do. Models "
       "stand on one leaderboard only if window and start agree and their documents have the same digests.");
  Node end = add(section, "p", "soft");
  put_text(end, fmt::format("Made {}{}{}by {} from {} {}. Resampling seed {}.",
                            input.options.made.empty() ? "" : "on ", input.options.made,
                            input.options.made.empty() ? "" : " ",
                            input.options.version.empty() ? "deciban" : input.options.version,
                            input.collection.sources.size(),
                            input.collection.sources.size() == 1 ? "run" : "runs", input.options.seed));
}

}  // namespace deciban

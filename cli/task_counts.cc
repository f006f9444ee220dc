#include "cli/task_counts.h"

#include <fmt/format.h>

#include <algorithm>

#include "evals/document_run.h"
#include "evals/request_window.h"

namespace deciban {
namespace {

struct RequestCounts {
  std::size_t documents = 0, bad = 0, requests = 0, tokens = 0, read = 0, longest = 0;
};

// As the packer does: of what a sequence shares with the one before all but the last token is saved, and
// nothing that is scored.
void add(RequestCounts& counts, const Window& window, const std::vector<Token>& last) {
  const std::size_t tokens = window.tokens.size() - 1;
  const std::size_t fork = std::min(shared_tokens(last, window.tokens), window.first);
  counts.tokens += tokens;
  counts.read += tokens - (fork < 2 ? 0 : std::min(fork - 1, tokens));
  counts.longest = std::max(counts.longest, window.tokens.size());
}

}  // namespace

void count_requests(const LanguageModel& model, const std::string& label,
                    std::span<const Assignment> assignments, const RunOptions& options, Table& table) {
  if (table.columns.empty()) {
    table.columns = {{"task", "task", false, false},       {"model", "model", false, false},
                     {"docs", "documents", true, false},   {"requests", "requests", true, false},
                     {"tokens", "tokens", true, false},    {"read", "read_tokens", true, false},
                     {"ratio", "ratio", true, false},      {"longest", "longest", true, false},
                     {"bad", "bad_documents", true, false}};
  }
  const auto number = [](std::size_t value) {
    return Cell{fmt::format("{}", value), fmt::format("{}", value)};
  };
  for (const Assignment& assignment : assignments) {
    RequestCounts counts;
    for (const Corpus* corpus : assignment.corpora) assignment.task->prepare(*corpus, options.seed);
    std::vector<Token> last;
    for (const Selected& place : select(assignment.corpora, options.limit, options.shard)) {
      ++counts.documents;
      try {
        RequestCutter cutter(model, options.windowing, options.start.resolve(model.info()));
        for (const Query& query :
             assignment.task->queries(*assignment.corpora[place.corpus], place.document)) {
          ++counts.requests;
          for (const Window& window : cutter.cut(query).windows) {
            add(counts, window, last);
            last = window.tokens;
          }
        }
      } catch (const std::runtime_error&) {
        ++counts.bad;
      }
    }
    const double ratio =
        counts.read > 0 ? static_cast<double>(counts.tokens) / static_cast<double>(counts.read) : 1;
    table.rows.push_back({{assignment.task->name(), ""},
                          {label, ""},
                          number(counts.documents),
                          number(counts.requests),
                          number(counts.tokens),
                          number(counts.read),
                          {fmt::format("{:.2f}", ratio), fmt::format("{}", ratio)},
                          number(counts.longest),
                          number(counts.bad)});
  }
}

}  // namespace deciban

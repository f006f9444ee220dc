// The text of one paper of arXiv: its HTML page, or its source, or why there is none.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "datasets/arxiv_query.h"
#include "datasets/paper.h"
#include "datasets/polite_client.h"

namespace deciban {

// What turns bytes into papers; tests put in their own.
struct PaperReader {
  std::function<Paper(std::string_view, const PaperOptions&)> from_html, from_source;
  std::function<std::string(const Paper&)> text;
};

struct PaperText {
  Paper paper;
  std::string text;    // of the whole paper
  std::string source;  // "html" or "source"; empty if there is no text
  std::string digest;  // SHA-256 of the bytes it was read from
  std::string reason;  // why there is no text, a few fixed words: "PDF only"
  std::string detail;
  // The server failed in a way that may mean this paper or may mean all of them.
  bool doubtful = false;
};

// Asks for at most two things.  Throws FetchError if the server does not answer at all or refuses everybody,
// and FetchStopped.
PaperText get_paper(PoliteClient& client, const ArxivServers& servers, const PaperReader& reader,
                    const std::string& id, int version, PaperForm form, Math math);

}  // namespace deciban

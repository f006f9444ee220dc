// The sources that `deciban fetch` knows, and the addresses of their servers.
#pragma once

#include <array>
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace deciban {

struct Source {
  std::string_view name;
  std::string_view shape;  // as it is typed
  std::string_view what;
  std::chrono::milliseconds interval;  // from request to request
  bool needs_contact;                  // its operators want to know whom to write to
};

inline constexpr std::array kSources{
    Source{"arxiv", "arxiv", "papers of arXiv, drawn at random from a window of time",
           std::chrono::seconds(3), true},
    Source{"wikipedia", "wikipedia[:LANGUAGE]", "new articles, drawn at random", std::chrono::seconds(1),
           true},
    Source{"hub", "hub:OWNER/NAME", "a data set of the Hugging Face hub", std::chrono::milliseconds(500),
           false},
    Source{"tasks", "tasks:NAME,…", "the questions of standard tasks (deciban info tasks)",
           std::chrono::milliseconds(500), false},
    Source{"vocab", "vocab:world", "the vocabulary of RWKV World models", std::chrono::milliseconds(0),
           false},
};

// A base URL that may be set, for mirrors and for tests.
struct ServerSetting {
  std::string_view name;         // of --server NAME=URL
  std::string_view environment;  // variable that sets it
  std::string_view url;
};

inline constexpr std::array kServers{
    ServerSetting{"arxiv-api", "DECIBAN_ARXIV_API", "https://export.arxiv.org/api/query"},
    ServerSetting{"arxiv-oai", "DECIBAN_ARXIV_OAI", "https://oaipmh.arxiv.org/oai"},
    ServerSetting{"arxiv-html", "DECIBAN_ARXIV_HTML", "https://arxiv.org/html"},
    ServerSetting{"arxiv-source", "DECIBAN_ARXIV_SOURCE", "https://export.arxiv.org/src"},
    ServerSetting{"wikipedia", "DECIBAN_WIKIPEDIA", "https://{}.wikipedia.org/w/api.php"},
    ServerSetting{"hub", "HF_ENDPOINT", "https://huggingface.co"},
    ServerSetting{"hub-rows", "DECIBAN_HUB_ROWS", "https://datasets-server.huggingface.co"},
};

// The address of a server: of the last "NAME=URL" in `settings`, else of its variable, else its own; without
// slashes at its end.  Throws std::invalid_argument for a setting that is none.
std::string server_url(std::string_view name, const std::vector<std::string>& settings);

}  // namespace deciban

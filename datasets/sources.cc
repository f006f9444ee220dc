#include "datasets/sources.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

namespace deciban {

std::string server_url(std::string_view name, const std::vector<std::string>& settings) {
  std::string url;
  for (const std::string& setting : settings) {
    const std::size_t equals = setting.find('=');
    const std::string word = setting.substr(0, equals);
    const bool known = std::any_of(kServers.begin(), kServers.end(),
                                   [&](const auto& server) { return server.name == word; });
    const std::string value = equals == std::string::npos ? "" : setting.substr(equals + 1);
    if (!known || !(value.starts_with("http://") || value.starts_with("https://"))) {
      std::string names;
      for (const auto& server : kServers)
        names += fmt::format("{}{}", names.empty() ? "" : ", ", server.name);
      throw std::invalid_argument(fmt::format(
          "--server {} is not NAME=URL with an http or https address; names are {}", setting, names));
    }
    if (word == name) url = value;
  }
  for (const auto& server : kServers) {
    if (server.name != name || !url.empty()) continue;
    const char* set = std::getenv(std::string(server.environment).c_str());
    url = set && *set ? set : std::string(server.url);
  }
  while (url.ends_with('/')) url.pop_back();
  return url;
}

}  // namespace deciban

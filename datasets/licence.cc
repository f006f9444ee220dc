#include "datasets/licence.h"

#include <fmt/format.h>

namespace deciban {

std::string licence_name(std::string_view url) {
  if (url.empty()) return "unknown";
  std::string_view rest = url;
  for (const std::string_view start : {"https://", "http://", "www."}) {
    if (rest.starts_with(start)) rest.remove_prefix(start.size());
  }
  while (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.ends_with("/legalcode")) rest.remove_suffix(10);
  if (rest.ends_with("/deed.en")) rest.remove_suffix(8);
  const auto parts = [&](std::string_view prefix, std::string_view& kind, std::string_view& version) {
    if (!rest.starts_with(prefix)) return false;
    const std::string_view tail = rest.substr(prefix.size());
    const std::size_t slash = tail.find('/');
    if (slash == std::string_view::npos) return false;
    kind = tail.substr(0, slash);
    version = tail.substr(slash + 1);
    return !kind.empty() && !version.empty() && version.find('/') == std::string_view::npos;
  };
  std::string_view kind, version;
  if (parts("creativecommons.org/licenses/", kind, version)) {
    std::string name = fmt::format("CC-{}-{}", kind, version);
    for (char& c : name) {
      if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
    }
    return name;
  }
  if (parts("creativecommons.org/publicdomain/", kind, version)) {
    if (kind == "zero") return fmt::format("CC0-{}", version);
    if (kind == "mark") return "public-domain";
  }
  if (rest == "creativecommons.org/licenses/publicdomain") return "public-domain";
  if (parts("arxiv.org/licenses/", kind, version)) {
    if (kind == "nonexclusive-distrib") return fmt::format("arXiv-{}", version);
    return fmt::format("arXiv-{}", kind);  // "arXiv-assumed-1991-2003" has no version of its own
  }
  if (rest == "arxiv.org/licenses/assumed-1991-2003") return "arXiv-assumed-1991-2003";
  return std::string(url);
}

bool is_open_licence(std::string_view name) {
  return name == "public-domain" || name.starts_with("CC0-") || name.starts_with("CC-BY-SA-") ||
         (name.starts_with("CC-BY-") && name.size() > 6 && name[6] >= '0' && name[6] <= '9');
}

}  // namespace deciban

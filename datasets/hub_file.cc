#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "datasets/curl_parts.h"
#include "datasets/hub.h"
#include "datasets/input_file.h"

namespace deciban {
namespace {

bool is_sha256(const std::string& word) {
  return word.size() == 64 && word.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// Path segments encoded, the slashes between them kept.
std::string encoded_path(const std::string& path) {
  std::string result, segment;
  for (const char c : path + "/") {
    if (c != '/') {
      segment += c;
      continue;
    }
    if (segment.empty() || segment == "." || segment == "..")
      throw std::invalid_argument(fmt::format("'{}' is not the path of a file in a data set", path));
    result += (result.empty() ? "" : "/") + url_encoded(segment);
    segment.clear();
  }
  return result;
}

}  // namespace

HubFile fetch_hub_file(PoliteClient& client, const HubServers& servers, const std::string& token,
                       const std::string& dataset, const std::string& path, const std::string& revision,
                       const std::string& digest, const std::filesystem::path& target,
                       const DownloadOptions& options) {
  check_dataset_name(dataset);
  if (!digest.empty() && !is_sha256(digest))
    throw std::invalid_argument(fmt::format("'{}' is not a SHA-256: 64 digits of 0-9 and a-f", digest));
  const auto url_at = [&](const std::string& commit) {
    return fmt::format("{}/datasets/{}/resolve/{}/{}", servers.hub, dataset, url_encoded(commit),
                       encoded_path(path));
  };
  PoliteRequest request;
  request.url = url_at(revision);
  request.head = true;
  request.compressed = false;
  request.follow = false;  // the first answer names commit and hash, the storage it leads to does not
  if (!token.empty()) request.headers.push_back("Authorization: Bearer " + token);
  const Answer head = client.get(request);
  if (head.status >= 400) {
    throw FetchError(
        fmt::format("{}: the server answers {}{}", request.url, describe_status(head.status),
                    token.empty() && head.status != 400
                        ? " (if the data set is private or gated, set HF_TOKEN; else look at the names)"
                        : ""),
        head.status, true);
  }
  std::string stored = head.linked_etag;
  std::erase(stored, '"');
  const std::string expected = is_sha256(stored) ? stored : digest;
  if (!digest.empty() && expected != digest) {
    throw std::runtime_error(fmt::format("{}: the hub says its SHA-256 is {}, not {}; nothing was downloaded",
                                         request.url, expected, digest));
  }
  HubFile file;
  file.revision = head.revision.empty() ? revision : head.revision;
  DownloadOptions download_options = options;
  download_options.bearer_token = token;
  const std::string url = url_at(file.revision);
  download_options.check = [&](const std::filesystem::path& part) {
    file.digest = InputFile(part).digest();
    if (!expected.empty() && file.digest != expected) {
      throw std::runtime_error(fmt::format("{}: its SHA-256 is {} instead of {}; nothing was installed", url,
                                           file.digest, expected));
    }
    file.checked = !expected.empty();
  };
  file.bytes = download(url, target, download_options).bytes;
  return file;
}

}  // namespace deciban

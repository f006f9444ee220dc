#include "datasets/arxiv_paper.h"

#include <fmt/format.h>

#include <algorithm>

#include "datasets/curl_parts.h"
#include "datasets/sha256.h"

namespace deciban {
namespace {

constexpr std::uint64_t kMaxHtml = std::uint64_t{64} << 20, kMaxSource = std::uint64_t{128} << 20;

PaperText none(std::string reason, std::string detail, bool doubtful = false) {
  PaperText result;
  result.reason = std::move(reason);
  result.detail = std::move(detail);
  result.doubtful = doubtful;
  return result;
}

// Busy servers end the fetch; other failures may be the paper's own.
PaperText failed(const FetchError& error) {
  if (error.too_large) return none("too large", error.what());
  if (!error.reached || error.status == 429 || error.status == 503) throw error;
  return none("server error", error.what(), true);
}

PaperText read(const std::string& bytes, const char* source, const PaperOptions& options,
               const PaperReader& reader) {
  PaperText result;
  const bool html = std::string_view(source) == "html";
  result.paper = (html ? reader.from_html : reader.from_source)(bytes, options);
  if (!result.paper.reason.empty())
    return none("no usable text", fmt::format("{}: {}", source, result.paper.reason));
  result.text = reader.text(result.paper);
  result.source = source;
  result.digest = Sha256::of(bytes);
  return result;
}

PaperText html_text(PoliteClient& client, const std::string& url, const PaperReader& reader,
                    const PaperOptions& options) {
  PoliteRequest request;
  request.url = url;
  request.max_bytes = kMaxHtml;
  request.keep = Keep::revalidate;  // arXiv converts papers anew now and then
  request.objection = [](const Answer& answer) { return answer.body.empty() ? "the page is empty" : ""; };
  try {
    const Answer answer = client.get(request);
    if (answer.status == 403)
      throw FetchError(url +
                           ": the server answers 403 (forbidden); it refuses this computer for now: wait "
                           "some hours before the next try",
                       403, true);
    if (answer.status != 200) return none("no HTML", "the server answers " + describe_status(answer.status));
    // A paper without a page leads to its abstract.
    if (answer.url.find("/abs/") != std::string::npos) return none("no HTML", "it leads to " + answer.url);
    return read(answer.body, "html", options, reader);
  } catch (const FetchError& error) {
    if (error.status == 403) throw;
    return failed(error);
  }
}

PaperText source_text(PoliteClient& client, const std::string& url, const PaperReader& reader,
                      const PaperOptions& options) {
  PoliteRequest request;
  request.url = url;
  request.compressed = false;  // the archive as it is
  request.max_bytes = kMaxSource;
  request.keep = Keep::forever;  // a version's source does not change
  request.objection = [](const Answer& answer) {
    const std::string_view bytes = answer.body;
    const std::size_t begin = std::min(bytes.find_first_not_of(" \t\r\n"), bytes.size());
    const bool page = begin < bytes.size() && bytes[begin] == '<';  // no TeX begins so, nor does an archive
    return bytes.empty() ? "the source is empty" : page ? "a web page comes instead of the source" : "";
  };
  try {
    const Answer answer = client.get(request);
    if (answer.status == 404) return none("no source", "withdrawn, or never public");
    if (answer.status == 403) return none("source not public", "the server answers 403", true);
    if (answer.status != 200)
      return none("server error", "the server answers " + describe_status(answer.status), true);
    if (answer.body.starts_with("%PDF")) return none("PDF only", "");
    return read(answer.body, "source", options, reader);
  } catch (const FetchError& error) {
    return failed(error);
  }
}

}  // namespace

PaperText get_paper(PoliteClient& client, const ArxivServers& servers, const PaperReader& reader,
                    const std::string& id, int version, PaperForm form, Math math) {
  const PaperOptions options{math};
  const std::string name = fmt::format("/{}v{}", id, version);
  PaperText html;
  if (form != PaperForm::source) {
    html = html_text(client, servers.html + name, reader, options);
    if (html.reason.empty() || form == PaperForm::html) return html;
  }
  PaperText source = source_text(client, servers.source + name, reader, options);
  if (!source.reason.empty() && form == PaperForm::any) {
    source.detail =
        fmt::format("{}{}HTML: {}", source.detail, source.detail.empty() ? "" : "; ", html.detail);
  }
  return source;
}

}  // namespace deciban

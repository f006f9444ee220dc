#include "datasets/task_fetch.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "datasets/http_cache.h"
#include "datasets/sha256.h"

namespace deciban {

using nlohmann::json;

namespace {
constexpr std::size_t kRowsAPage = 100;  // the server gives no more at once
}

std::filesystem::path split_source_path(const std::filesystem::path& target) {
  std::filesystem::path file = target;
  return file.replace_extension(".source.json");
}

json settings_of(const TaskSplit& split) {
  return {{"source", "tasks"}, {"dataset", split.dataset}, {"config", split.config}, {"split", split.split}};
}

FetchedSplit fetch_task_split(FetchContext& context, const TaskSplit& split, const HubServers& servers,
                              const std::string& token) {
  HubRows hub(context.client, servers, split.dataset, token);
  FetchedSplit result;
  const json card = context.ledger.once("card", [&]() -> json {
    const HubRows::Card read = hub.card();
    return {{"revision", read.revision}, {"licence", read.licence}};
  });
  result.revision = card.at("revision");
  result.licence = card.at("licence");
  std::string text;
  std::uint64_t total = 1;
  for (std::uint64_t offset = 0; offset < total; offset += kRowsAPage) {
    const json& page = context.ledger.once(fmt::format("rows {}", offset), [&]() -> json {
      HubPage read = hub.page({split.config, split.split}, offset, kRowsAPage);
      return {{"total", read.total}, {"revision", read.revision}, {"rows", std::move(read.texts)}};
    });
    total = page.at("total");
    const std::string said = page.at("revision");
    if (result.revision.empty()) result.revision = said;
    if (!said.empty() && said != result.revision) {
      throw std::runtime_error(
          fmt::format("{}: it changed from commit {} to {} while it was read; remove {}.part and begin anew",
                      split.dataset, result.revision, said, split.target.string()));
    }
    for (const json& row : page.at("rows")) {
      text += row.get_ref<const std::string&>() + "\n";
      ++result.rows;
    }
    const std::uint64_t left = total - std::min<std::uint64_t>(total, offset + kRowsAPage);
    context.observer.progress(
        {fmt::format("{} {}/{}", split.dataset, split.config, split.split),
         static_cast<std::size_t>(result.rows), static_cast<std::size_t>(total),
         static_cast<double>((left + kRowsAPage - 1) / kRowsAPage) * context.client.pace().count()});
  }
  if (result.rows == 0)
    throw std::runtime_error(fmt::format("{} {}/{} has no rows", split.dataset, split.config, split.split));
  result.digest = Sha256::of(text);
  write_whole_file(split.target, text);
  json source = settings_of(split);
  source["revision"] = result.revision;
  source["licence"] = result.licence;
  source["rows"] = result.rows;
  source["sha256"] = result.digest;
  write_whole_file(split_source_path(split.target), source.dump(2) + "\n");
  return result;
}

}  // namespace deciban

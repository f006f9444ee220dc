// What servers answered, kept on disk by URL: nothing is downloaded twice, and what may have changed is asked
// for conditionally.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace deciban {

struct CachedAnswer {
  std::string url;        // as asked for
  std::string final_url;  // after redirects
  std::string content_type;
  std::string etag, last_modified;  // empty if the server gave none
  std::string revision;             // X-Revision or X-Repo-Commit of Hugging Face
  std::string body;
};

// One file an answer: a line of JSON, then the body.  Files appear complete or not at all, so processes may
// share a folder.
class HttpCache {
 public:
  explicit HttpCache(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // Nothing if there is none, or if it is damaged.
  std::optional<CachedAnswer> find(const std::string& url) const;
  // Throws std::runtime_error if the disk refuses.
  void keep(const CachedAnswer& answer) const;

 private:
  std::filesystem::path file_of(const std::string& url) const;
  std::filesystem::path folder_;
};

// Writes a file beside its place, flushes it to the disk and renames it: `file` is never half written.  Makes
// the folder. Throws std::runtime_error naming the file.
void write_whole_file(const std::filesystem::path& file, std::string_view bytes);

}  // namespace deciban

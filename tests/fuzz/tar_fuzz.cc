// Any bytes as an e-print: tar, gzip, PDF or none of these.
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "datasets/archive.h"
#include "tests/fuzz/paper_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace deciban;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const ArchiveLimits limits{.members = 50, .unpacked_bytes = 1 << 20, .kept_bytes = 1 << 16};
  try {
    const ArchiveContents contents = read_archive(
        bytes, [](std::string_view path) { return !path.ends_with(".pdf"); }, limits);
    std::size_t kept = 0;
    for (const ArchiveMember& member : contents.members) {
      kept += member.bytes.size();
      const std::string path = "/" + member.path + "/";
      if (path.starts_with("//") ? !member.path.empty() : path.find("/../") != std::string::npos)
        std::abort();
    }
    if (kept > limits.kept_bytes) std::abort();
  } catch (const std::runtime_error&) {
  }
  return 0;
}

#include "cli/compress.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>

#include "cli/interrupt.h"
#include "evals/codec/compress.h"

namespace deciban {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEnding = ".dcb";

std::string read_whole(const std::string& path) {
  if (path == "-") return {std::istreambuf_iterator<char>(std::cin), {}};
  if (fs::is_directory(path)) throw std::runtime_error(fmt::format("{} is a folder; give a file", path));
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(fmt::format("cannot read {}: {}", path, std::strerror(errno)));
  std::string content{std::istreambuf_iterator<char>(file), {}};
  if (file.bad()) throw std::runtime_error(fmt::format("cannot read {}: {}", path, std::strerror(errno)));
  return content;
}

// Under another name first, so that no half of it is ever seen under its own.
void write_whole(const std::string& path, const std::string& content) {
  if (path == "-") {
    std::cout.write(content.data(), static_cast<std::streamsize>(content.size())).flush();
    if (!std::cout) throw std::runtime_error("cannot write to standard output");
    return;
  }
  const std::string draft = fmt::format("{}.{}.part", path, ::getpid());
  try {
    std::ofstream file(draft, std::ios::binary | std::ios::trunc);
    if (file) file.write(content.data(), static_cast<std::streamsize>(content.size())).flush();
    if (!file) throw std::runtime_error(fmt::format("cannot write {}: {}", path, std::strerror(errno)));
    file.close();
    // On the disk before it has the name, so that a loss of power leaves no half file either.
    const int written = ::open(draft.c_str(), O_RDONLY | O_CLOEXEC);
    const bool kept = written >= 0 && ::fsync(written) == 0;
    if (written >= 0) ::close(written);
    if (!kept) throw std::runtime_error(fmt::format("cannot write {}: {}", path, std::strerror(errno)));
    fs::rename(draft, path);
  } catch (...) {
    std::error_code ignored;
    fs::remove(draft, ignored);
    throw;
  }
}

void refuse_existing(const std::string& path, bool force) {
  if (path != "-" && !force && fs::exists(path))
    throw std::runtime_error(fmt::format("{} exists; --force overwrites it", path));
}

std::size_t parse_streams(const std::string& word, std::size_t bytes) {
  if (word == "auto") return usual_streams(bytes);
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size() || value == 0 || value > 4096)
    throw std::invalid_argument(fmt::format("--streams '{}': auto or a number from 1 to 4096", word));
  return value;
}

std::unique_ptr<LanguageModel> open_to_code(const CompressOptions& options, const ModelSource& source) {
  if (options.model.empty()) throw std::invalid_argument("which model? Give one: -m FILE");
  ModelOptions model_options = options.model_options;
  model_options.deterministic = true;  // on a card too, the same probabilities in both directions
  return source.open(options.model, model_options);
}

class Progress {
 public:
  Progress(std::string what, bool shown, std::size_t tokens)
      : what_(std::move(what)), shown_(shown), all_(tokens) {}
  ~Progress() {
    if (drawn_) std::cerr << "\r\033[K" << std::flush;
  }
  void add(std::size_t tokens) {
    done_ += tokens;
    const auto now = std::chrono::steady_clock::now();
    if (!shown_ || now < next_) return;
    next_ = now + std::chrono::milliseconds(100);
    std::cerr << fmt::format("\r\033[K{}  {} of about {} tokens", what_, done_, all_) << std::flush;
    drawn_ = true;
  }

 private:
  std::string what_;
  bool shown_, drawn_ = false;
  std::size_t all_, done_ = 0;
  std::chrono::steady_clock::time_point next_;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Cell count(double value) { return {fmt::format("{:.0f}", value), fmt::format("{:.0f}", value)}; }

}  // namespace

int compress_file(const CompressOptions& options, const Console& console, const ModelSource& source) {
  const std::string output = !options.output.empty() ? options.output
                             : options.input == "-"  ? "-"
                                                     : options.input + std::string(kEnding);
  refuse_existing(output, options.force);
  const std::string content = read_whole(options.input);
  const std::size_t streams = parse_streams(options.streams, content.size());
  const auto model = open_to_code(options, source);
  catch_interrupts();
  Progress progress("compressing", console.shows_progress(), content.size());
  const auto start = std::chrono::steady_clock::now();
  CodedFile file;
  try {
    file = compress(*model, content, {streams, model->info().start_token, &interrupted(), [&](std::size_t n) {
                                        progress.add(n);
                                      }});
  } catch (const CodingStopped&) {
    console.note("interrupted; nothing was written");
    return kInterrupted;
  }
  const double seconds = seconds_since(start);
  const std::string coded = to_bytes(file);
  write_whole(output, coded);
  if (output == "-") return kDone;

  std::size_t codes = 0, stored = 0;
  for (const CodedSegment& segment : file.segments) {
    codes += segment.code.size();
    stored += segment.tokens == 0;
  }
  Table table;
  table.columns = {{"file", "file", false},
                   {"bytes", "bytes"},
                   {"compressed", "compressed"},
                   {"bits/byte", "bits_per_byte"},
                   {"streams", "streams"},
                   {"claimed", "claimed"},
                   {"loss", "loss"},
                   {"kB/s", "bytes_per_second"},
                   {"header", "header_bytes"}};
  const auto bytes = static_cast<double>(content.size());
  const double rate = bytes > 0 ? 8 * static_cast<double>(coded.size()) / bytes : 0;
  std::vector<Cell> row{{output, ""},
                        count(bytes),
                        count(static_cast<double>(coded.size())),
                        {fmt::format("{:.4f}", rate), fmt::format("{}", rate)},
                        count(static_cast<double>(file.segments.size())),
                        {"–", "null"},
                        {"–", "null"},
                        {fmt::format("{:.1f}", bytes / seconds / 1000), fmt::format("{}", bytes / seconds)},
                        count(static_cast<double>(coded.size() - codes))};
  if (!options.no_claim && !content.empty()) {
    const ClaimedBits claimed = claimed_bits(*model, content, file);
    if (std::isfinite(claimed.segments)) row[5] = count(claimed.segments / 8);
    if (std::isfinite(claimed.whole) && stored == 0) {
      const double loss = claimed.segments / claimed.whole - 1;
      row[6] = {fmt::format("{:+.2f} %", 100 * loss), fmt::format("{}", loss)};
    }
    table.notes.push_back(
        "claimed: bytes that the log-probabilities of the same segments ask for; loss: against one stream, "
        "which "
        "sees the whole file before each byte.");
  }
  if (stored > 0)
    table.notes.push_back(
        fmt::format("{} of {} segments are stored as they are: the model makes them no shorter", stored,
                    file.segments.size()));
  table.rows.push_back(std::move(row));
  constexpr std::string_view kLeast[] = {"header_bytes", "claimed"};
  console.show(std::move(table), kLeast);
  return kDone;
}

int decompress_file(const CompressOptions& options, const Console& console, const ModelSource& source) {
  std::string output = options.output;
  if (output.empty()) {
    if (options.input == "-") {
      output = "-";
    } else if (options.input.ends_with(kEnding)) {
      output = options.input.substr(0, options.input.size() - kEnding.size());
    } else {
      throw std::invalid_argument(fmt::format(
          "what should the result be called? {} does not end in {}: give -o FILE", options.input, kEnding));
    }
  }
  refuse_existing(output, options.force);
  const std::string bytes = read_whole(options.input);
  CodedFile file;
  try {
    file = parse_coded_file(bytes);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(fmt::format("{}: {}", options.input, error.what()));
  }
  CompressOptions as_made = options;
  if (as_made.model_options.format == "auto") as_made.model_options.format = file.mode;
  const auto model = open_to_code(as_made, source);
  catch_interrupts();
  std::size_t tokens = 0;
  for (const CodedSegment& segment : file.segments) tokens += segment.tokens;
  Progress progress("decompressing", console.shows_progress(), tokens);
  const auto start = std::chrono::steady_clock::now();
  std::string content;
  try {
    content = decompress(*model, file, {1, {}, &interrupted(), [&](std::size_t n) { progress.add(n); }});
  } catch (const CodingStopped&) {
    console.note("interrupted; nothing was written");
    return kInterrupted;
  }
  const double seconds = seconds_since(start);
  write_whole(output, content);
  console.note(fmt::format("{}: {} bytes, checksum right, {:.1f} kB/s", output, content.size(),
                           static_cast<double>(content.size()) / seconds / 1000));
  return kDone;
}

}  // namespace deciban

// What a fetch has learned so far, on disk: every answer of the network under its name.  A fetch that was
// interrupted, by whatever, reads it and goes on; the same answers give the same corpus.
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_map>

namespace deciban {

class Ledger {
 public:
  // Opens the file, or begins one for a fetch with these settings (an object).  A torn last line, from a kill
  // or a full disk, is cut off.  Throws std::runtime_error if the file belongs to other settings (naming one
  // that differs), is damaged, in use by another process, or can't be written.
  Ledger(const std::filesystem::path& file, const nlohmann::json& settings);
  // Removes the file if it holds nothing but its settings.
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  // Null if not known yet.  Valid until remove().
  const nlohmann::json* find(const std::string& name) const;
  // Appends and flushes.  Each name once.
  const nlohmann::json& record(const std::string& name, nlohmann::json value);
  // What is known under `name`, else what `make()` returns, recorded.
  template <class Make>
  const nlohmann::json& once(const std::string& name, Make&& make) {
    const nlohmann::json* known = find(name);
    return known ? *known : record(name, make());
  }
  std::size_t resumed() const { return resumed_; }  // entries that were there when it was opened
  bool empty() const { return entries_.empty(); }
  // The fetch is complete.
  void remove();

 private:
  void append(std::string line);
  [[noreturn]] void fail(const char* what) const;

  std::filesystem::path file_;
  int descriptor_;
  std::size_t resumed_ = 0;
  std::unordered_map<std::string, nlohmann::json> entries_;
};

// "category is [\"cs.CL\"] there and [\"cs.LG\"] here": the first difference of two objects; empty if none.
std::string first_difference(const nlohmann::json& there, const nlohmann::json& here);

}  // namespace deciban

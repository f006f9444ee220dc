#include "evals/cutoffs.h"

#include <algorithm>
#include <cctype>
#include <cstddef>

namespace deciban {
namespace {

constexpr KnownCutoff kKnown[] = {
    {"llama-3.3", "2023-12", "stated"},
    {"llama-3.2", "2023-12", "stated"},
    {"llama-3.1", "2023-12", "stated"},
    {"llama-3-70b", "2023-12", "stated"},
    {"llama-3-8b", "2023-03", "stated"},
    {"llama-2", "2022-09", "stated"},
    {"tinyllama", "2024-01", "released"},
    {"gemma-3", "2024-08", "stated"},
    {"gemma-2-", "2024-07", "released"},
    {"gemma-2b", "2024-02", "released"},
    {"gemma-7b", "2024-02", "released"},
    {"mistral-nemo", "2024-07", "released"},
    {"mistral-7b-v0.1", "2023-09", "released"},
    {"qwen2.5", "2024-09", "released"},
    {"qwen2-", "2024-06", "released"},
    {"qwen1.5", "2024-02", "released"},
    {"smollm3", "2025-07", "released"},
    {"smollm2", "2024-11", "released"},
    {"olmo-2", "2023-12", "stated"},
    {"olmo-1b", "2023-03", "stated"},
    {"olmo-7b", "2023-03", "stated"},
    {"falcon-h1", "2025-05", "released"},
    {"falcon-mamba", "2024-08", "released"},
    {"falcon-7b", "2023-05", "released"},
    {"falcon-40b", "2023-05", "released"},
    {"stablelm-2", "2024-04", "released"},
    {"mpt-7b", "2023-05", "released"},
    {"bloom", "2022-07", "released"},
    {"mamba-2.8b-slimpj", "2023-06", "released"},
    // Trained on the Pile, which was published at the end of 2020.
    {"rwkv-4-pile", "2020-12", "stated"},
    {"pythia", "2020-12", "stated"},
    {"gpt-neox-20b", "2020-12", "stated"},
    {"gpt-j", "2020-12", "stated"},
    {"mamba2-", "2020-12", "stated"},
    {"mamba-", "2020-12", "stated"},
    {"gpt2", "2017-12", "stated"},
};

// Eight digits that are a day of this century, with no digit beside them: "20250127" → "2025-01-27".
std::string date_within(std::string_view name) {
  const auto digit = [&](std::size_t i) {
    return i < name.size() && std::isdigit(static_cast<unsigned char>(name[i])) != 0;
  };
  for (std::size_t i = 0; i + 8 <= name.size(); ++i) {
    if ((i > 0 && digit(i - 1)) || digit(i + 8)) continue;
    bool all = true;
    for (std::size_t k = i; k < i + 8; ++k) all = all && digit(k);
    const std::string_view date = name.substr(i, 8), month = date.substr(4, 2), day = date.substr(6, 2);
    if (!all || !date.starts_with("20") || month < "01" || month > "12" || day < "01" || day > "31") continue;
    return std::string(date.substr(0, 4)) + "-" + std::string(month) + "-" + std::string(day);
  }
  return "";
}

}  // namespace

std::span<const KnownCutoff> known_cutoffs() { return kKnown; }

std::optional<Cutoff> cutoff_of_name(std::string_view model) {
  std::string name(model);
  std::transform(name.begin(), name.end(), name.begin(), [](char c) {
    return c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  });
  for (const KnownCutoff& known : kKnown) {
    // At a word's beginning, so that "codellama-2" is none of Llama 2's.
    const std::size_t at = name.find(known.name);
    if (at == std::string::npos || (at > 0 && std::isalnum(static_cast<unsigned char>(name[at - 1])) != 0))
      continue;
    return Cutoff{std::string(known.cutoff), std::string(known.basis)};
  }
  if (std::string date = date_within(name); !date.empty()) return Cutoff{std::move(date), "date in its name"};
  return std::nullopt;
}

}  // namespace deciban

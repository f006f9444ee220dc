#include "evals/cutoffs.h"

#include <gtest/gtest.h>

#include <set>

#include "evals/submission.h"

namespace deciban {
namespace {

std::string cutoff(const std::string& name) {
  const auto found = cutoff_of_name(name);
  return found ? found->date : "unknown";
}

TEST(Cutoffs, KnowPublicModelsByName) {
  EXPECT_EQ(cutoff("Meta-Llama-3-8B"), "2023-03");
  EXPECT_EQ(cutoff("meta-llama/Llama-3.2-1B"), "2023-12");
  EXPECT_EQ(cutoff("EleutherAI_pythia-1.4b"), "2020-12");
  EXPECT_EQ(cutoff("mamba2-1.3b"), "2020-12");
  EXPECT_EQ(cutoff("falcon-mamba-7b"), "2024-08");
  EXPECT_EQ(cutoff("codellama-2"), "unknown");
}

TEST(Cutoffs, DatesInNames) {
  EXPECT_EQ(cutoff("RWKV-x070-World-1.5B-v3-20250127-ctx4096.pth"), "2025-01-27");
  EXPECT_EQ(cutoff("RWKV-4-Pile-169M-20220807-8023.pth"), "2020-12") << "what is known says more than a date";
  EXPECT_EQ(cutoff("model-20251399.pth"), "unknown");
  EXPECT_EQ(cutoff("step120250127"), "unknown");
  EXPECT_EQ(cutoff("rwkv7"), "unknown");
}

TEST(Cutoffs, TableIsSound) {
  std::set<std::string_view> names;
  for (const KnownCutoff& known : known_cutoffs()) {
    EXPECT_NO_THROW(parse_cutoff(known.cutoff)) << known.name;
    EXPECT_TRUE(known.basis == "stated" || known.basis == "released") << known.name;
    EXPECT_TRUE(names.insert(known.name).second) << known.name << " is there twice";
    // Nothing that comes earlier hides it.
    EXPECT_EQ(cutoff_of_name(known.name)->date, known.cutoff) << known.name;
  }
}

}  // namespace
}  // namespace deciban

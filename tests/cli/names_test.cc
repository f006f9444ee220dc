#include "cli/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace deciban {
namespace {

using testing::ElementsAre;

std::vector<std::string> names(const std::vector<std::string>& paths) { return short_names(paths); }

TEST(ShortNames, AreStemsUnlessTheySayNothing) {
  EXPECT_THAT(names({"a/rwkv7-1.5b.pth", "texts.json"}), ElementsAre("rwkv7-1.5b", "texts"));
  EXPECT_THAT(names({"demo/rwkv7/model.pth", "demo/rwkv4/model.pth"}), ElementsAre("rwkv7", "rwkv4"));
  EXPECT_THAT(names({"model.pth"}), ElementsAre("model"));
}

TEST(ShortNames, GetFoldersWhereTheyClash) {
  EXPECT_THAT(names({"old/cs.json", "new/cs.json", "math.json"}), ElementsAre("old/cs", "new/cs", "math"));
  EXPECT_THAT(names({"a/x/cs.json", "b/x/cs.json"}), ElementsAre("a/x/cs", "b/x/cs"));
  EXPECT_THAT(names({"cs.json", "cs.json"}), ElementsAre("cs", "cs#2"));
  EXPECT_THAT(names({"random:rwkv7-0.1b"}), ElementsAre("random:rwkv7-0.1b"));
  EXPECT_THAT(names({"a/rwkv7-0.1b", "b/rwkv7-0.1b"}), ElementsAre("a/rwkv7-0.1b", "b/rwkv7-0.1b"));
}

}  // namespace
}  // namespace deciban

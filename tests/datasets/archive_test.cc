#include "datasets/archive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>

#include "tests/datasets/tar_writer.h"
#include "tests/scratch_directory.h"

namespace deciban {
namespace {

using testing::HasSubstr;

bool all(std::string_view) { return true; }

std::string reason(std::string_view bytes, const ArchiveLimits& limits = {}) {
  return message_of([&] { read_archive(bytes, all, limits); });
}

TEST(Archive, ReadsWhatIsWanted) {
  const std::string bytes = TarWriter()
                                .folder("./")
                                .file("./main.tex", "one")
                                .file("figs/a.pdf", "%PDF")
                                .file("sec//intro.tex", "two")
                                .file("main.tex", "three")
                                .gzip();
  const ArchiveContents contents =
      read_archive(bytes, [](std::string_view path) { return path.ends_with(".tex"); });
  ASSERT_EQ(contents.members.size(), 2u);
  EXPECT_EQ(contents.members[0].path, "main.tex");
  EXPECT_EQ(contents.members[0].bytes, "three");  // as untarring it would leave it
  EXPECT_EQ(contents.members[1].path, "sec/intro.tex");
  EXPECT_EQ(contents.members[1].bytes, "two");
  EXPECT_EQ(contents.others, 2u);
}

TEST(Archive, TakesPlainTarAndSingleFiles) {
  EXPECT_EQ(read_archive(TarWriter().file("a.tex", "x").tar(), all).members.at(0).path, "a.tex");
  const ArchiveContents gzipped = read_archive(TarWriter::gzip("\\documentclass{x}"), all);
  ASSERT_EQ(gzipped.members.size(), 1u);
  EXPECT_EQ(gzipped.members[0].path, "");
  EXPECT_EQ(gzipped.members[0].bytes, "\\documentclass{x}");
  EXPECT_EQ(read_archive("plain text", all).members.at(0).bytes, "plain text");
}

TEST(Archive, LeavesOutAppleDoubleAndLinks) {
  const ArchiveContents contents = read_archive(TarWriter()
                                                    .file("._main.tex", "resource fork")
                                                    .file("sec/._a.tex", "resource fork")
                                                    .file("__MACOSX/main.tex", "resource fork")
                                                    .link("a.tex", "/etc/passwd", true)
                                                    .link("b.tex", "main.tex", false)
                                                    .file("main.tex", "text")
                                                    .gzip(),
                                                all);
  ASSERT_EQ(contents.members.size(), 1u);
  EXPECT_EQ(contents.members[0].path, "main.tex");
  EXPECT_EQ(contents.links, 2u);
  EXPECT_EQ(contents.others, 3u);
}

TEST(Archive, RefusesPathsThatLeaveIt) {
  EXPECT_THAT(reason(TarWriter().file("../main.tex", "x").gzip()), HasSubstr("'..' in its path: refused"));
  EXPECT_THAT(reason(TarWriter().file("a/../../main.tex", "x").gzip()), HasSubstr("refused"));
  EXPECT_THAT(reason(TarWriter().file("/tmp/main.tex", "x").gzip()), HasSubstr("'/tmp/main.tex': refused"));
  EXPECT_THAT(reason(TarWriter().file("a\\b.tex", "x").gzip()), HasSubstr("refused"));
}

TEST(Archive, NamesTheLimitThatIsExceeded) {
  TarWriter many;
  for (int i = 0; i < 30; ++i) many.file("f" + std::to_string(i), "x");
  EXPECT_THAT(reason(many.gzip(), {.members = 20}), HasSubstr("more than 20 members"));
  EXPECT_THAT(reason(TarWriter().file("a", std::string(5000, 'x')).gzip(), {.kept_bytes = 4000}),
              HasSubstr("more than 4000 bytes"));
  EXPECT_THAT(reason(TarWriter().file("a", std::string(50000, 'x')).gzip(), {.unpacked_bytes = 20000}),
              HasSubstr("unpacks to more than 20000 bytes"));
  EXPECT_THAT(reason(TarWriter().file("a", std::string(500'000, 'x')).gzip(),
                     {.ratio = 50, .ratio_free_bytes = 1000}),
              HasSubstr("more than 50 times its size"));
  // Small archives may be as dense as they like.
  EXPECT_EQ(read_archive(TarWriter().file("a", std::string(500'000, 'x')).gzip(), all, {.ratio = 50})
                .members.size(),
            1u);
}

TEST(Archive, SaysWhatIsDamaged) {
  EXPECT_THAT(reason("\x1f\x8b\x08 no deflate stream at all"), HasSubstr("damaged archive"));
  const std::string whole = TarWriter().file("a.tex", std::string(3000, 'a')).file("b.tex", "b").gzip();
  EXPECT_EQ(read_archive(whole, all).members.size(), 2u);
  // Cut off within: what came before the damage is there.
  const std::string tar = TarWriter().file("a.tex", "a").file("b.tex", std::string(3000, 'b')).tar();
  EXPECT_EQ(read_archive(tar.substr(0, 512 + 512 + 512 + 100), all).members.at(0).bytes, "a");
}

// 10 GB of zeros gzip to 10 MB; so many members tar to 50 MB.  Both are refused long before their end.
TEST(Archive, IsBoundedInTime) {
  const std::clock_t begun = std::clock();  // of this process: others may keep the machine busy
  const std::string head = TarWriter::header("zeros.tex", '0', "", 10'000'000'000ull);
  // Gzip members may follow each other: one of 64 MB, 160 times.
  const std::string part = TarWriter::gzip(std::string(std::size_t{64} << 20, '\0'));
  std::string bomb = TarWriter::gzip(head);
  for (int i = 0; i < 160; ++i) bomb += part;
  EXPECT_THAT(reason(bomb), HasSubstr("refused"));
  // The same where the member is not wanted.
  EXPECT_THAT(message_of([&] { read_archive(bomb, [](std::string_view) { return false; }); }),
              HasSubstr("refused"));
  TarWriter many;
  for (int i = 0; i < 100'000; ++i) many.file("m" + std::to_string(i) + ".tex", "");
  EXPECT_THAT(reason(many.gzip()), HasSubstr("more than 20000 members: refused"));
  EXPECT_LT(static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC, 60);
}

}  // namespace
}  // namespace deciban

// Looks at the page in a real browser, with each scheme and two widths: nothing overflows, no texts of a
// chart overlap, contrasts hold, nothing is loaded.  Skipped, saying so, where there is no chromium.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>

#include "reports/gate_history.h"
#include "reports/report.h"
#include "tests/reports/sample_runs.h"

namespace deciban {
namespace {

// Judges the page and leaves what it finds as the document's only text.
constexpr const char* kJudge = R"js(
<script>
addEventListener('load', () => {
  const found = [];
  const visible = e => e.getClientRects().length > 0;
  const inScroller = e => e.closest('.scroll, pre') !== null;
  const name = e => e.tagName + '.' + (e.getAttribute('class') || '') + ' ' + e.textContent.slice(0, 30);
  const wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > wide) found.push('page is ' + document.documentElement.scrollWidth + ' of ' + wide);
  for (const e of document.querySelectorAll('body *')) {
    if (!visible(e) || inScroller(e) && !e.matches('.scroll, pre')) continue;
    const r = e.getBoundingClientRect();
    if (r.right > wide + 1 || r.left < -1) found.push('overflows: ' + name(e));
  }
  for (const svg of document.querySelectorAll('svg')) {
    if (!visible(svg)) continue;
    const frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll('text')].map(t => [t, t.getBoundingClientRect()]);
    texts.forEach(([t, a], i) => {
      if (a.left < frame.left - 1 || a.right > frame.right + 1 || a.bottom > frame.bottom + 1 || a.top < frame.top - 1)
        found.push('leaves its chart: ' + name(t));
      for (const [u, b] of texts.slice(i + 1)) {
        const x = Math.min(a.right, b.right) - Math.max(a.left, b.left), y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (x > 1 && y > 3) found.push('overlap: ' + name(t) + ' / ' + name(u));
      }
    });
  }
  const rgb = text => (text.match(/[\d.]+/g) || []).map(Number);
  const lum = c => [0.2126, 0.7152, 0.0722].reduce((s, w, i) => {
    const v = c[i] / 255; return s + w * (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); }, 0);
  const behind = e => { for (; e; e = e.parentElement) {
    const c = rgb(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] > 0.99) return c; } return [255, 255, 255]; };
  let texts = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !visible(e) || ['SCRIPT', 'title', 'desc', 'STYLE'].includes(e.tagName)) continue;
    ++texts;
    const style = getComputedStyle(e), colour = rgb(e.closest('svg') ? style.fill : style.color);
    const a = lum(colour), b = lum(behind(e));
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) found.push('contrast ' + contrast.toFixed(2) + ': ' + name(e));
  }
  const loaded = performance.getEntriesByType('resource').map(e => e.name);
  if (loaded.length) found.push('loads ' + loaded.join(' '));
  document.title = 'judged';
  document.body.textContent = 'texts=' + texts + ' FOUND[' + found.slice(0, 12).join(' ; ') + ']END';
});
</script></head>)js";

std::string browser() {
  for (const char* name : {"chromium", "chromium-browser", "google-chrome"}) {
    if (std::system(fmt::format("command -v {} >/dev/null 2>&1", name).c_str()) == 0) return name;
  }
  return "";
}

std::string output_of(const std::string& command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  std::string text;
  std::array<char, 4096> buffer;
  for (std::size_t n; pipe && (n = fread(buffer.data(), 1, buffer.size(), pipe.get())) > 0;)
    text.append(buffer.data(), n);
  return text;
}

std::string judged(const ScratchDirectory& scratch, std::string html, int width, bool dark) {
  // The page forbids scripts; the copy that is judged lets this one in.
  const std::size_t policy = html.find("<meta http-equiv=\"Content-Security-Policy\"");
  html.erase(policy, html.find('>', policy) + 1 - policy);
  html.replace(html.find("</head>"), 7, kJudge);
  scratch.write("page.html", html);
  const std::string command = fmt::format(
      "timeout 90 {} --headless=new --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir={}/profile "
      "--host-resolver-rules='MAP * ~NOTFOUND' --blink-settings=preferredColorScheme={} "
      "--window-size={},1000 "
      "--virtual-time-budget=4000 --dump-dom file://{} 2>/dev/null",
      browser(), scratch.path().string(), dark ? 0 : 1, width, (scratch / "page.html").string());
  // On a machine that is busy beyond measure the browser may be killed before it says a word: asked again.
  for (int attempt = 0; attempt < 3; ++attempt) {
    const std::string out = output_of(command);
    const std::size_t begin = out.rfind("texts="), end = out.rfind("]END");
    if (begin != std::string::npos && end != std::string::npos) return out.substr(begin, end + 1 - begin);
  }
  return "the browser said nothing of it";
}

TEST(Chromium, ThePageHoldsTogether) {
  if (browser().empty()) GTEST_SKIP() << "no chromium here: the page was not looked at in a browser";
  const ScratchDirectory scratch;
  SampleRun run{{{"rwkv7-1.5b", 1.0},
                 {"rwkv7-1.5b int8", 1.001},
                 {"a-model-with-a-rather-long-name-that-somebody-chose-2026-11", 1.03},
                 {"rwkv4", 1.2},
                 {"llama-3.2-1b", 1.02},
                 {"\xD7\xA9\xD7\x9C\xD7\x95\xD7\x9D", 1.11},
                 {"模型一号", 1.12},
                 {"cut", 1.1, "tokens:64"}}};
  run.corpora = {"wikipedia_english", "github_cpp", "arxiv_physics", "bbc_news", "ao3_nonenglish"};
  write_run(scratch / "run", run);
  for (int day = 1; day <= 3; ++day) {
    GateRun gate;
    gate.kind = "speed";
    gate.when = fmt::format("2026-11-{:02}T10:20:30Z", day);
    gate.machine = "AMD EPYC 9V74 80-Core Processor";
    gate.base = {"base/build/release/bin/deciban", "0123456789ab"};
    gate.other = {"head/build/release/bin/deciban", "ba9876543210"};
    gate.counts = {30, 4, day == 2 ? 2u : 0u};
    gate.figures = {{"change_percent", {0.1 * day, -2.5, day == 2 ? 12.5 : 1.5, 36}}};
    if (day == 2) {
      gate.failed = {{"speed", "linear 64x384x384 bf16/f32 @avx512bf16", GateCheck::Outcome::failed,
                      "slower: +10.0 % (95 %: +9.1 % … +10.8 %), 1.23 ms -> 1.35 ms"}};
    }
    append_gate(scratch / "run", gate);
    gate.kind = "divergence";
    gate.base = {"rwkv7-1.5b", "", "d", "f32", "cpu"};
    gate.other = {"rwkv7-1.5b", "", "d", "int8", "cpu"};
    gate.texts = {{"wikipedia_english", "c", 20}, {"github_cpp", "c", 20}};
    gate.windowing = "whole";
    gate.figures = {{"kl_nats", {1.25e-4, 1.1e-4, 1.4e-4, 123456}},
                    {"kl_p99_nats", {2e-3, 2e-3, 2e-3, 123456}},
                    {"kl_max_nats", {0.5, 0.5, 0.5, 123456}},
                    {"same_best_percent", {99.87, 99.87, 99.87, 123456}}};
    append_gate(scratch / "run", gate);
  }
  ReportOptions options;
  options.published = {published_table("rwkv-wiki-1.5b")};
  const std::string html = report_page(read_collection(std::vector{scratch / "run"}), options);
  for (const int width : {1280, 500}) {  // headless windows are never narrower
    for (const bool dark : {false, true})
      EXPECT_THAT(judged(scratch, html, width, dark), testing::MatchesRegex("texts=[1-9][0-9]+ FOUND\\[\\]"))
          << width << (dark ? " dark" : " light");
  }
}

}  // namespace
}  // namespace deciban

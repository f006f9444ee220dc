#include "reports/page.h"

namespace deciban {

// Contrast: text of every colour keeps 4.5:1 against the background behind it, graphical marks 3:1, in both
// schemes (tests/reports/page_style_test.cc computes them).  The six series colours differ in lightness as
// well as hue, and every line is named at its end, so that no reader depends on hues.
const char* page_style() {
  return R"css(
:root {
  color-scheme: light dark;
  --paper: #fcfcfa; --raised: #f3f3ef; --ink: #1b1d21; --soft: #565c66; --hair: #dddcd6; --accent: #0b62a8; --wash: #e4eef7;
  --c0: #0b62a8; --c1: #b3470b; --c2: #00735c; --c3: #8b3d87; --c4: #7a5a00; --c5: #4a5568; --plain: #6b717b; --warn: #fdf3dc;
  --h1: #fdf0e3; --h2: #fbdcc0; --h3: #f7c195; --h4: #f0a066; --h5: #e58a4e; --heat: #1b1d21;
  --d1: #d8e8f7; --d2: #a9cdf0; --d3: #7fb4e6;
  --sans: ui-sans-serif, system-ui, -apple-system, "Segoe UI", "Helvetica Neue", "Liberation Sans", Arial, sans-serif;
  --serif: "Iowan Old Style", "Palatino Linotype", Palatino, "Book Antiqua", Georgia, "DejaVu Serif", serif;
  --mono: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14161a; --raised: #1d2026; --ink: #e8e6e1; --soft: #a3a9b3; --hair: #32363f; --accent: #6db3f2; --wash: #1b2b3a;
    --c0: #6db3f2; --c1: #f59a5f; --c2: #4ccaa5; --c3: #dc9bd6; --c4: #e0bd55; --c5: #b3bccb; --plain: #949ba6; --warn: #2e2716;
    --h1: #2b211a; --h2: #422c1c; --h3: #61391c; --h4: #7d441b; --h5: #944d1b; --heat: #fbf7f2;
    --d1: #172a3b; --d2: #1c4163; --d3: #205687;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-padding-top: 1rem; }
body { margin: 0 auto; padding: 3.5rem 1.5rem 6rem; max-width: 72rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.6 var(--sans); font-variant-numeric: lining-nums; overflow-wrap: break-word;
  display: grid; grid-template-columns: minmax(0, 52rem) minmax(0, 13rem); column-gap: 4rem; align-items: start; }
header, main { grid-column: 1; min-width: 0; }
nav { grid-column: 2; grid-row: 1 / span 2; position: sticky; top: 3.5rem; font-size: .875rem; line-height: 1.45; }
nav ol { margin: 0; padding: .2rem 0 .2rem 1.1rem; list-style: none; border-left: 1px solid var(--hair); }
nav li { margin: 0 0 .55rem; }
nav li:last-child { margin: 0; }
a { color: var(--accent); text-decoration-thickness: 1px; text-underline-offset: .18em; }
nav a { color: var(--soft); text-decoration: none; }
nav a:hover, nav a:focus { color: var(--accent); text-decoration: underline; }
h1, h2, h3 { font-family: var(--serif); font-weight: 600; line-height: 1.2; text-wrap: balance; }
h1 { font-size: 2.5rem; letter-spacing: -.012em; margin: 0 0 1.1rem; }
h2 { font-size: 1.6rem; margin: 0 0 .9rem; }
h3 { font-size: 1.15rem; margin: 2.6rem 0 .6rem; }
p { margin: 0 0 1rem; max-width: 42rem; }
.kicker { color: var(--accent); font-size: .8rem; font-weight: 600; letter-spacing: .09em; text-transform: uppercase; margin: 0 0 .7rem; }
.lede { font-size: 1.2rem; line-height: 1.55; }
.soft, figcaption, caption { color: var(--soft); }
main p.soft { font-size: .875rem; line-height: 1.5; }
section { padding-top: 3.6rem; margin-top: 3.6rem; border-top: 1px solid var(--hair); }
dl.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 1.2rem 1.5rem; margin: 2rem 0 0; }
dl.facts div { border-top: 2px solid var(--hair); padding-top: .5rem; }
dl.facts dt { color: var(--soft); font-size: .8rem; }
dl.facts dd { margin: 0; font-size: 1.15rem; font-variant-numeric: tabular-nums; }
figure { margin: 1.8rem 0 2.4rem; }
figcaption { font-size: .875rem; line-height: 1.5; max-width: 42rem; margin-top: .7rem; }
.narrow { display: none; }
svg.chart { display: block; max-width: 100%; height: auto; font-family: var(--sans); font-size: 12px; }
svg text { fill: var(--ink); }
svg .tick, svg .title { fill: var(--soft); font-variant-numeric: tabular-nums; }
svg .title { font-style: italic; }
svg .grid { stroke: var(--hair); stroke-width: 1; }
svg .zero { stroke: var(--ink); stroke-width: 1; }
svg .interval { stroke-width: 2.5; stroke-linecap: round; }
svg .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
svg .band { opacity: .11; }
svg .front { fill: none; stroke: var(--accent); stroke-width: 1.5; stroke-dasharray: 1 4; stroke-linecap: round; }
svg .accent .interval { stroke: var(--accent); } svg .accent .dot { fill: var(--accent); }
svg .plain .interval { stroke: var(--plain); } svg .plain .dot { fill: var(--plain); }
svg .reference .interval, svg .reference .line { stroke: var(--plain); } svg .reference .line { stroke-dasharray: 4 4; stroke-width: 1.5; }
svg .reference .dot { fill: var(--paper); stroke: var(--plain); stroke-width: 1.5; } svg text.reference, svg .reference text { fill: var(--soft); }
svg .c0 .line, svg .c0 .interval { stroke: var(--c0); } svg .c0 .dot, svg .c0 .band, svg text.c0, svg .area.c0 { fill: var(--c0); }
svg .c1 .line, svg .c1 .interval { stroke: var(--c1); } svg .c1 .dot, svg .c1 .band, svg text.c1, svg .area.c1 { fill: var(--c1); }
svg .c2 .line, svg .c2 .interval { stroke: var(--c2); } svg .c2 .dot, svg .c2 .band, svg text.c2 { fill: var(--c2); }
svg .c3 .line, svg .c3 .interval { stroke: var(--c3); } svg .c3 .dot, svg .c3 .band, svg text.c3 { fill: var(--c3); }
svg .c4 .line, svg .c4 .interval { stroke: var(--c4); } svg .c4 .dot, svg .c4 .band, svg text.c4 { fill: var(--c4); }
svg .c5 .line, svg .c5 .interval { stroke: var(--c5); } svg .c5 .dot, svg .c5 .band, svg text.c5 { fill: var(--c5); }
.scroll { overflow-x: auto; margin: 1.4rem 0 2rem; }
.scroll:focus-visible { outline: 2px solid var(--accent); outline-offset: 4px; }
table { border-collapse: collapse; font-size: .875rem; line-height: 1.35; font-variant-numeric: tabular-nums; min-width: 100%; }
caption { text-align: left; padding-bottom: .6rem; }
th, td { padding: .42rem .75rem .42rem 0; text-align: left; vertical-align: baseline; border-bottom: 1px solid var(--hair); }
table.dense { font-size: .8125rem; } table.dense th, table.dense td { padding-right: .55rem; }
th:last-child, td:last-child, table.dense th:last-child, table.dense td:last-child { padding-right: .2rem; }
thead th { color: var(--soft); font-weight: 500; border-bottom: 1px solid var(--soft); white-space: nowrap; vertical-align: bottom; }
tbody th { font-weight: 500; }
td, tbody th { white-space: nowrap; }
td.wrap { white-space: normal; min-width: 14rem; }
.n { text-align: right; }
.ci { display: block; color: var(--soft); font-size: .75rem; font-weight: 400; }
tr.first th, tr.first td { background: var(--wash); }
tr.first th { box-shadow: -.5rem 0 var(--wash); } tr.first td:last-child { box-shadow: .3rem 0 var(--wash); }
tr.grey th, tr.grey td { color: var(--soft); font-weight: 400; }
td.failed { font-weight: 650; color: var(--c1); }
td.best { font-weight: 650; } td.best .ci { font-weight: 400; }
ul.warnings { list-style: none; margin: 2rem 0 0; padding: .9rem 1.1rem; background: var(--warn); border-left: 3px solid var(--c4); }
ul.warnings li { margin: .3rem 0; }
code, .mono { font-family: var(--mono); font-size: .86em; overflow-wrap: anywhere; }
td.mono { white-space: normal; min-width: 12rem; }
pre.formula { font: .875rem/1.6 var(--mono); background: var(--raised); padding: .8rem 1rem; overflow-x: auto; margin: 0 0 1.2rem; }
pre.tokens { font: .9rem/1.75 var(--mono); white-space: pre-wrap; overflow-wrap: anywhere; background: var(--raised); padding: 1rem 1.2rem; margin: 1rem 0 1.6rem; color: var(--ink); }
pre.tokens span { color: var(--heat); border-radius: 2px; }
.h1 { background: var(--h1); } .h2 { background: var(--h2); } .h3 { background: var(--h3); } .h4 { background: var(--h4); } .h5 { background: var(--h5); }
.d1 { background: var(--d1); } .d2 { background: var(--d2); } .d3 { background: var(--d3); }
p.key span { padding: .1rem .5rem; margin-right: .2rem; color: var(--heat); font-size: .8rem; }
dl.notes dt { font-weight: 600; margin-top: 1.1rem; } dl.notes dd { margin: .2rem 0 0; max-width: 42rem; }
@media (max-width: 68rem) {
  body { display: block; max-width: 56rem; }
  nav { position: static; margin: 2.4rem 0 0; }
  nav ol { columns: 2; column-gap: 2rem; }
}
@media (max-width: 48rem) {
  body { padding: 2rem 1.1rem 4rem; }
  h1 { font-size: 1.9rem; } h2 { font-size: 1.4rem; }
  .lede { font-size: 1.08rem; }
  section { padding-top: 2.4rem; margin-top: 2.4rem; }
  .wide { display: none; } .narrow { display: block; }
  caption { max-width: calc(100vw - 2.4rem); white-space: normal; }
  dl.facts { grid-template-columns: repeat(2, minmax(0, 1fr)); }
}
@media (max-width: 26rem) { nav ol { columns: 1; } }
@media print {
  :root { color-scheme: light; --paper: #fff; --raised: #f4f4f2; --ink: #000; --soft: #4d4d4d; --hair: #ccc; --accent: #0b4f88; --wash: #eef3f8;
    --c0: #0b62a8; --c1: #b3470b; --c2: #00735c; --c3: #8b3d87; --c4: #7a5a00; --c5: #4a5568; --plain: #6b717b; --warn: #fff;
    --h1: #fdf0e3; --h2: #fbdcc0; --h3: #f7c195; --h4: #f0a066; --h5: #e58a4e; --heat: #000; --d1: #d8e8f7; --d2: #a9cdf0; --d3: #7fb4e6; }
  @page { margin: 18mm 16mm; }
  body { display: block; max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  section { padding-top: 1.2rem; margin-top: 1.6rem; }
  h2, h3 { break-after: avoid; }
  figure, tr, ul.warnings { break-inside: avoid; }
  .wide { display: block; } .narrow { display: none; }
  .scroll { overflow: visible; }
  table, table.dense { font-size: 7.5pt; } th, td, table.dense th, table.dense td { padding-right: .5rem; } td, thead th, tbody th { white-space: normal; }
  .n { white-space: nowrap; } .ci { font-size: 6.5pt; }
  main p.soft { font-size: 9pt; }
  pre.tokens span, tr.first th, tr.first td { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  a { color: inherit; text-decoration: none; }
}
)css";
}

}  // namespace deciban

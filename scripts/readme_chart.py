#!/usr/bin/env python3
"""Draws docs/demo.svg, the README's chart, from the demo's results.

    build/release/bin/deciban eval -m datasets/demo/rwkv7 -m datasets/demo/rwkv4 -c datasets/demo/texts \\
        -o demo-run --format jsonl | scripts/readme_chart.py > docs/demo.svg
"""
import json
import sys
from xml.sax.saxutils import escape

rows = [json.loads(line) for line in sys.stdin]
rows = [row for row in rows if "solid" not in row["model"]]
rows.sort(key=lambda row: row["bits_per_byte"])

LEFT, RIGHT, TOP, STEP = 150, 640, 46, 34
LAST = 5.0
bottom = TOP + STEP * len(rows)


def x(bits):
    return LEFT + (RIGHT - LEFT) * bits / LAST


out = [
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 680 {bottom + 48}" role="img" '
    'aria-labelledby="title" font-family="system-ui, sans-serif" font-size="14">',
    '<title id="title">Bits per byte of the demo texts, with 95 % intervals: '
    + escape(", ".join(f'{row["model"]} {row["bits_per_byte"]:.2f}' for row in rows)) + "</title>",
    "<style>text{fill:#24292f}.grid{stroke:#d0d7de}.bar{fill:#0072b2}.other{fill:#999}.whisker{stroke:#24292f}"
    "@media (prefers-color-scheme:dark){text{fill:#e6edf3}.grid{stroke:#3d444d}.bar{fill:#56b4e9}.other{fill:#777}"
    ".whisker{stroke:#e6edf3}}</style>",
    f'<text x="12" y="22" font-weight="600">bits per byte, twelve demo texts (lower is better; lines: 95 % interval)'
    "</text>",
]
for tick in range(int(LAST) + 1):
    out.append(f'<line class="grid" x1="{x(tick):.1f}" y1="{TOP - 8}" x2="{x(tick):.1f}" y2="{bottom}"/>')
    out.append(f'<text x="{x(tick):.1f}" y="{bottom + 20}" text-anchor="middle">{tick}</text>')
for i, row in enumerate(rows):
    y = TOP + STEP * i
    kind = "bar" if row["parameters"] else "other"
    low, high = row["bits_per_byte_low"], row["bits_per_byte_high"]
    label = f'{row["model"]} ({row["parameters"] / 1e6:.1f} M)' if row["parameters"] else row["model"]
    out.append(f'<text x="{LEFT - 10}" y="{y + 15}" text-anchor="end">{escape(label)}</text>')
    out.append(f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{x(row["bits_per_byte"]) - LEFT:.1f}" height="20" rx="2"/>')
    out.append(f'<path class="whisker" stroke-width="1.5" fill="none" d="M{x(low):.1f} {y + 10}H{x(high):.1f}'
               f'M{x(low):.1f} {y + 5}v10M{x(high):.1f} {y + 5}v10"/>')
    out.append(f'<text x="{x(high) + 8:.1f}" y="{y + 15}">{row["bits_per_byte"]:.2f}</text>')
out.append("</svg>")
print("\n".join(out))

#!/usr/bin/env python3
"""Writes engine/unicode_class_ranges.inc from tests/golden/tokenizers/neox-char-classes.json."""
import json
import pathlib

root = pathlib.Path(__file__).resolve().parent.parent
classes = json.loads((root / "tests/golden/tokenizers/neox-char-classes.json").read_text())
lines = ["// Made by scripts/make_unicode_classes.py: first and last code point, class.", "// clang-format off"]
line = ""
entries = sorted((first, last, name) for name in ("letter", "number", "space") for first, last in classes[name])
for first, last, name in entries:
    entry = f"{{0x{first:X},0x{last:X},k{name[0].upper()}}},"
    if len(line) + len(entry) > 108:
        lines.append(line)
        line = ""
    line += entry
lines += [line, "// clang-format on"]
(root / "engine/unicode_class_ranges.inc").write_text("\n".join(lines) + "\n")

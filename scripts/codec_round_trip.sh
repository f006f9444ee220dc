#!/usr/bin/env bash
# Compresses a file with a model, decompresses it, compares the bytes, and prints the size beside those of
# xz, zstd, brotli, bzip2 and 7-Zip's PPMd (those that are installed).
#
#   scripts/codec_round_trip.sh PROGRAM MODEL FILE [BYTES] [OPTION…]
#
# BYTES: only that much of the file, repeated if it is shorter (10000000: ten megabytes); 0: all of it.
set -euo pipefail
if [ $# -lt 3 ]; then
  sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
program=$1 model=$2 file=$3 bytes=${4:-0}
shift $(($# < 4 ? $# : 4))
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
text=$folder/text
if [ "$bytes" = 0 ]; then
  cp "$file" "$text"
else
  : >"$text"
  while [ "$(stat -c %s "$text")" -lt "$bytes" ]; do cat "$file" >>"$text"; done
  truncate -s "$bytes" "$text"
fi
both=()  # options that decompressing knows too; the others are in the coded file
words=("$@")
for i in "${!words[@]}"; do
  case ${words[i]} in
    --threads | --device) both+=("${words[i]}" "${words[i + 1]}") ;;
  esac
done
"$program" compress -m "$model" "$text" -o "$folder/coded" --no-claim --format md "$@"
"$program" decompress -m "$model" "$folder/coded" -o "$folder/back" "${both[@]}"
cmp "$text" "$folder/back"
echo "the same $(stat -c %s "$text") bytes came back"
size() { printf '%-22s %10d bytes  %.4f bits/byte\n' "$1" "$2" "$(echo "8 * $2 / $(stat -c %s "$text")" | bc -l)"; }
size deciban "$(stat -c %s "$folder/coded")"
has() { command -v "$1" >/dev/null; }
! has xz || size 'xz -9e' "$(xz -9e -c "$text" | wc -c)"
! has zstd || size 'zstd --ultra -22' "$(zstd -q --ultra -22 --long=27 -c "$text" | wc -c)"
! has brotli || size 'brotli -q 11 -w 24' "$(brotli -q 11 -w 24 -c "$text" | wc -c)"
! has bzip2 || size 'bzip2 -9' "$(bzip2 -9 -c "$text" | wc -c)"
if has 7zz || has 7z; then
  zip=$(command -v 7zz || command -v 7z)
  "$zip" a -t7z -m0=PPMd:o=16:mem=256m "$folder/text.7z" "$text" >/dev/null
  size '7-Zip PPMd, order 16' "$(stat -c %s "$folder/text.7z")"
fi

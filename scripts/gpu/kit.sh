#!/usr/bin/env bash
# Gathers in one folder what a machine with a GPU but without compilers' packages needs: programs, our libraries
# and the distribution's that they use.  CUDA's own libraries are found there.
#
#   scripts/gpu/kit.sh [--build DIR] [--architectures LIST] [--out DIR] [--no-build]
#
#   --build DIR           build folder, made if it is not there      build/gpu
#   --architectures LIST  what the CUDA module is compiled for       90a
#   --out DIR             where the kit goes; emptied first          build/gpu-kit, and build/gpu-kit.tar.xz
#   --no-build            take what the build folder holds
#
# There, with a copy of the sources (scripts/gpu/check.sh says how):  scripts/gpu/check.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

build=build/gpu out=build/gpu-kit architectures=90a compile=yes
while [ $# -gt 0 ]; do
  case $1 in
    --build) build=$2 && shift 2 ;;
    --architectures) architectures=$2 && shift 2 ;;
    --out) out=$2 && shift 2 ;;
    --no-build) compile=no && shift ;;
    -h | --help)
      sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' scripts/gpu/kit.sh
      exit 0
      ;;
    *)
      printf 'kit.sh: unknown word %s\n' "$1" >&2
      exit 2
      ;;
  esac
done

programs=(deciban cuda_tests deciban_bench_cuda)
if [ "$compile" = yes ]; then
  launcher=$(command -v ccache || true)
  cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DDECIBAN_CUDA=ON \
    "-DDECIBAN_CUDA_ARCHITECTURES=$architectures" -DCMAKE_BUILD_RPATH_USE_ORIGIN=ON \
    "-DCMAKE_CXX_COMPILER_LAUNCHER=$launcher" "-DCMAKE_CUDA_COMPILER_LAUNCHER=$launcher" >&2
  cmake --build "$build" --parallel "$(nproc)" --target "${programs[@]}" deciban_cuda plugin_transformer >&2
fi

rm -rf "$out"
mkdir -p "$out/bin" "$out/lib/deciban/plugins"
for program in "${programs[@]}"; do
  cp "$build/bin/$program" "$out/bin/"
done
cp "$build/lib/libdeciban_engine.so" "$build/lib/libdeciban_cuda.so" "$out/lib/"
cp "$build/lib/deciban/plugins/transformer.so" "$out/lib/deciban/plugins/"

# Whatever these need, but the C and C++ libraries, which are newer there, and CUDA's.
LD_LIBRARY_PATH="$out/lib" ldd "$out"/bin/* "$out"/lib/*.so "$out"/lib/deciban/plugins/*.so |
  sed -n 's/^\t[^ ]* => \(\/[^ ]*\) .*/\1/p' | sort -u |
  grep -Ev '/(libc|libm|libdl|librt|libpthread|libresolv|libgcc_s|libstdc\+\+|libcuda|libcublas|libcublasLt|libdeciban_[a-z]*)\.so' |
  while read -r library; do
    cp -L "$library" "$out/lib/"
  done
# 30 MiB of ICU's tables, which only libxml2 names and nothing here asks for: an empty table takes their place.
for library in "$out"/lib/libicudata.so.*; do
  [ -e "$library" ] || continue
  version=${library##*.so.}
  printf 'const char icudt%s_dat[64] = {0};\n' "$version" |
    gcc -shared -fPIC -Wl,-soname,"libicudata.so.$version" -x c -o "$library" -
done
strip --strip-unneeded "$out"/bin/* "$out"/lib/*.so* "$out"/lib/deciban/plugins/*.so 2>/dev/null || true

# For peers.py, if it was fetched before: pip download rwkv --no-deps -d build/wheels
if compgen -G 'build/wheels/*.whl' >/dev/null; then
  mkdir -p "$out/wheels"
  cp build/wheels/*.whl "$out/wheels/"
fi

git describe --always --dirty --abbrev=12 --exclude='*' >"$out/commit" 2>/dev/null || printf 'unknown\n' >"$out/commit"
tar -C "$(dirname "$out")" -cf - "$(basename "$out")" | xz -T0 -4 >"$out.tar.xz"
size=$(du -sm "$out" | cut -f1)
printf 'kit: %s, %s MiB (%s.tar.xz: %s MiB), %s files, commit %s\n' "$out" "$size" "$out" \
  "$(du -sm "$out.tar.xz" | cut -f1)" "$(find "$out" -type f | wc -l)" "$(cat "$out/commit")"
if [ "$size" -gt 60 ]; then
  printf 'kit.sh: the kit is larger than 60 MiB: leave out architectures\n' >&2
  exit 1
fi

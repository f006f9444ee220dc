#!/usr/bin/env bash
# Makes a build: installs the Debian packages that are missing, configures a preset, builds its targets.
#
#   scripts/setup.sh [PRESET [TARGET…]]      default: preset release, everything
#
# The build lies in build/PRESET.  Talks on stderr only.  Nothing is downloaded but Debian packages.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cd "$(pwd -P)" # CMake remembers the folder by its physical name

preset=${1:-release}
targets=("${@:2}")
build=build/$preset

packages=(
  g++ cmake ninja-build pkg-config binutils git
  libfmt-dev libcli11-dev nlohmann-json3-dev libeigen3-dev libboost-dev
  libcurl4-openssl-dev libssl-dev libpugixml-dev libpcre2-dev libutf8proc-dev
  libzstd-dev liblzma-dev libbrotli-dev libbz2-dev zstd xz-utils brotli bzip2 libgumbo-dev libarchive-dev
  libgtest-dev libgmock-dev libbenchmark-dev libcpp-httplib-dev
)

say() { printf 'setup: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}

# Runs a command with its output in a log; shows the log's end if it fails.
logged() {
  local log=$1
  shift
  if ! "$@" >"$log" 2>&1 </dev/null; then
    tail -n 60 "$log" >&2
    die "failed: $* (all of its output: $log)"
  fi
}

missing_packages() {
  local installed package
  # dpkg-query fails if it knows nothing of a package: that one is simply missing.
  # shellcheck disable=SC2016  # ${Package} is dpkg's, not the shell's
  installed=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null || true)
  for package in "${packages[@]}"; do
    grep -qxF "$package installed" <<<"$installed" || printf '%s\n' "$package"
  done
}

install_packages() {
  local missing as_root=()
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "not a Debian system: no package is installed; CMake will name what is missing"
    return
  fi
  mapfile -t missing < <(missing_packages)
  [ "${#missing[@]}" -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    # Without a terminal nobody can type a password: then only a sudo that asks for none will do.
    if command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
      as_root=(sudo)
    else
      die "these packages are missing; please run as root: apt-get install ${missing[*]}"
    fi
  fi
  say "installing ${missing[*]}"
  mkdir -p build
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
  [ "${#as_root[@]}" -eq 0 ] || sudo -v
  logged build/apt.log "${apt[@]}" update
  logged build/apt.log "${apt[@]}" install -y --no-install-recommends "${missing[@]}"
}

# Configures unless build.ninja is there for this very folder; from then on ninja does so itself when CMake files change.
configure() {
  local launcher='' fresh=()
  if [ -f "$build/build.ninja" ] && grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$(pwd -P)" "$build/CMakeCache.txt"; then
    return
  fi
  [ ! -e "$build/CMakeCache.txt" ] || fresh=(--fresh)
  ! command -v ccache >/dev/null || launcher=ccache
  mkdir -p "$build"
  logged "$build/configure.log" cmake --preset "$preset" "${fresh[@]}" \
    "-DCMAKE_C_COMPILER_LAUNCHER=$launcher" "-DCMAKE_CXX_COMPILER_LAUNCHER=$launcher"
}

compile() {
  local command=(cmake --build "$build" --parallel "$(nproc)")
  [ "${#targets[@]}" -eq 0 ] || command+=(--target "${targets[@]}")
  say "building ${targets[*]:-everything} in $build with $(nproc) cores"
  if [ -t 2 ]; then
    "${command[@]}" >&2 </dev/null || die "the build failed"
  else
    logged "$build/build.log" "${command[@]}"
  fi
}

install_packages
configure
compile

#!/bin/sh
# prepare.sh PROFILE: makes this machine ready, and says what it does. Does nothing, in a moment, if it is.
#
#   node   Node 24 or later and the npm packages                    (lint, unit tests)
#   build  and what compiles the eBPF programs and loads them
#   test   and what the lab uses
#   bench  and the peers of the benchmark, whose absence is no error
#
# System packages come by apt where one is missing and this is root; a newer Node goes to .toolchain.
set -eu
cd "$(dirname "$0")/../.."
. test/setup/environment.sh

profile=${1:-build}
node_major_wanted=24
node_package=node@26
# npm waits five minutes for an answer that got lost before it asks again.
npm_patience='--fetch-timeout=30000 --fetch-retries=5'

say() { printf 'shoal: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }
any_file() { for candidate in "$@"; do [ -e "$candidate" ] && return 0; done; return 1; }

# ---- system packages -------------------------------------------------------------------------------------------

missing=''
need() { missing="$missing $1"; }
need_command() { has "$1" || need "$2"; }

want_node_tools() {
  # Any Node will do to fetch a newer one.
  if ! has node || ! has npm; then need 'nodejs npm'; fi
}
want_build() {
  if ! has clang-19 && ! has clang; then need clang; fi
  need_command make make
  need_command bpftool bpftool
  any_file /usr/lib/*/libbpf.so.1 /usr/lib64/libbpf.so.1 /usr/lib/libbpf.so.1 || need libbpf1
  any_file /usr/include/bpf/bpf_helpers.h || need libbpf-dev
  any_file /usr/include/linux/bpf.h || need linux-libc-dev
  # <asm/types.h> is not on clang's path for -target bpf; the headers are in the package all the same.
  any_file /usr/include/asm/types.h /usr/include/*/asm/types.h || need linux-libc-dev
}
want_lab() {
  need_command ip iproute2
  need_command ethtool ethtool
  need_command nsenter util-linux
  need_command mount mount
  need_command hostname hostname
  need_command dig dnsutils
  need_command curl curl
  need_command tcpdump tcpdump
}
want_peers() {
  need_command nft nftables
  need_command haproxy haproxy
  need_command wrk wrk
  need_command iperf3 iperf3
  need_command dnsperf dnsperf
  need_command dnsmasq dnsmasq-base
}

apt_install() { # package...
  if ! has apt-get; then
    say "missing:$missing; this machine has no apt: install what provides them and run this again"
    return 1
  fi
  if [ "$(id -u)" != 0 ]; then
    say "missing system packages:$missing; run this as root, or: sudo apt-get install$missing"
    return 1
  fi
  if [ -z "${apt_updated:-}" ]; then
    say 'updating the list of packages (apt-get update)'
    apt_log update || say "apt-get update failed (no network?): trying with the list there is"
    apt_updated=1
  fi
  prefer_clang_19
  say "installing$missing"
  # shellcheck disable=SC2086 # a list of words on purpose
  apt_log install --yes --no-install-recommends $missing && return 0
  tail -n 5 "$apt_output" >&2
  say "could not install:$missing (see above; is there a network?)"
  return 1
}
apt_log() {
  if [ -z "${apt_output:-}" ]; then
    apt_output=$(mktemp)
    trap 'rm -f "$apt_output"' EXIT
  fi
  DEBIAN_FRONTEND=noninteractive apt-get -q -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 "$@" \
    >"$apt_output" 2>&1 </dev/null
}
prefer_clang_19() {
  # clang 19 makes the programs that the verifier of every supported kernel has been tried with.
  case $missing in *clang*) ;; *) return 0 ;; esac
  has apt-cache || return 0
  if apt-cache policy clang-19 2>/dev/null | grep -q 'Candidate: [0-9]'; then
    missing=$(printf '%s' "$missing" | sed 's/\bclang\b/clang-19/')
  fi
}

find_missing() {
  missing=''
  want_node_tools
  case $profile in
    node) ;;
    build) want_build ;;
    test | bench) want_build; want_lab ;;
    *) die "prepare.sh: unknown profile '$profile'; one of node, build, test, bench" ;;
  esac
}

find_missing
if [ -n "$missing" ]; then
  apt_install || exit 1
  find_missing
  [ -z "$missing" ] || die "installed, but still not to be found:$missing; see to PATH, or reinstall them"
fi
if [ "$profile" = bench ]; then
  missing=''
  want_peers
  # One by one: a peer that cannot be had is named in the results, and the others run.
  for peer in $missing; do missing=" $peer"; apt_install || true; done
fi

# ---- Node ------------------------------------------------------------------------------------------------------

node_major() { node --version 2>/dev/null | sed -n 's/^v\([0-9]*\).*/\1/p'; }
if [ "$(node_major || true)" -lt "$node_major_wanted" ] 2>/dev/null; then
  say "Node $(node --version) is too old: fetching $node_package into .toolchain"
  mkdir -p .toolchain
  [ -f .toolchain/package.json ] || echo '{ "private": true }' >.toolchain/package.json
  # shellcheck disable=SC2086 # words on purpose
  npm install --prefix .toolchain --no-audit --no-fund --loglevel=error $npm_patience "$node_package" >&2 ||
    die "could not fetch $node_package from the npm registry: install Node $node_major_wanted or later, or see to the network"
  hash -r 2>/dev/null || true
fi
[ "$(node_major)" -ge "$node_major_wanted" ] 2>/dev/null ||
  die "Node $node_major_wanted or later is needed; found: $(node --version 2>&1 || echo none)"

# ---- npm packages ----------------------------------------------------------------------------------------------

# npm writes this file last, so it is there and newer only after a complete installation.
installed=node_modules/.package-lock.json
if [ ! -e "$installed" ] || [ package-lock.json -nt "$installed" ]; then
  say 'installing npm packages, the versions of package-lock.json (npm install)'
  # Not `npm ci`: it refuses a lock file that was written where the registry did not offer the optional packages of
  # other platforms, which nothing here needs. `npm install` keeps to the locked versions all the same.
  npm install --no-save --no-audit --no-fund --loglevel=error $npm_patience >&2 ||
    die 'npm install failed (see above; is there a network?)'
  touch "$installed"
fi
# .taprc leaves a plugin out, so tap's test class has to be made anew once for each installation.
tap_built=node_modules/.tap-built
if [ ! -e "$tap_built" ] || [ .taprc -nt "$tap_built" ] || [ "$installed" -nt "$tap_built" ]; then
  say 'building the test runner (tap build)'
  npx --no-install tap build >/dev/null 2>&1 || die "'npx tap build' failed: run it to see why"
  touch "$tap_built"
fi

# ---- eBPF objects ----------------------------------------------------------------------------------------------

# make knows by itself whether a source is newer than what was made of it.
if [ "$profile" != node ] && [ -f bpf/Makefile ]; then
  make -s -C bpf >&2 || die 'make -C bpf failed (see above)'
fi

#!/usr/bin/env bash
# ensure-wasm-target.sh [TARGET]          (default: wasm32-wasip2)
#
# Makes `cargo build --target TARGET` work with the active Rust toolchain.
#   1. Nothing to do when it works already.
#   2. Otherwise `rustup target add TARGET`.
#   3. Where that cannot be (no rustup, no way to its server): builds the standard library from Debian's `rust-src` of
#      the very same release, takes the WASI libc of WASI targets from Debian's `wasi-libc`, and puts both into the
#      toolchain's sysroot, laid out as rustup would have done. Packages are only downloaded and unpacked: nothing is installed, and the
#      machine's own apt sources and lists stay as they are. Takes a minute and about 1 GiB of scratch.
# May run any number of times, also at once.
#
# Environment:
#   RUSTUP_TOOLCHAIN         the toolchain to serve, as usual
#   WASM_STD_SKIP_RUSTUP=1   do not try rustup
#   WASM_STD_CACHE           keeps the finished library, and is looked in first (default ~/.cache/wasm-std)
#   WASM_STD_MIRROR          Debian mirror (default: the first http(s) one among apt's sources)
#   WASM_STD_SUITES          Debian suites to search, in order
set -euo pipefail

say() { printf 'wasm target: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

target=${1:-wasm32-wasip2}
cache=${WASM_STD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/wasm-std}
suites=${WASM_STD_SUITES:-trixie-backports forky sid trixie}

command -v rustc >/dev/null || die "rustc is not on the PATH; see https://rustup.rs"
sysroot=$(rustc --print sysroot)
release=$(rustc -vV | sed -n 's/^release: //p')
commit=$(rustc -vV | sed -n 's/^commit-hash: //p')
case $commit in '' | unknown) commit=r$release ;; esac
libdir=$sysroot/lib/rustlib/$target
stamp=.ensure-wasm-target # marks a directory placed by this script
tarball=$cache/$target-$commit.tar.gz

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
# A fixed path: it goes into the crate ids of the library, and target directories stay valid only while those do.
work=$cache/work
rm -rf "$work"
mkdir -p "$work"
trap 'rm -rf "$work"' EXIT

# Does the target compile and link a program that uses std? Takes a second.
works() {
  mkdir -p "$work/smoke"
  cat >"$work/smoke/smoke.rs" <<'RS'
#[unsafe(no_mangle)]
pub extern "C" fn smoke(n: u32) -> u32 {
    let lengths: std::collections::HashMap<String, u32> = (0..n).map(|i| (i.to_string(), i)).collect();
    lengths.values().sum()
}
RS
  (cd "$work/smoke" && env -u RUSTFLAGS rustc --edition 2024 --crate-type cdylib --target "$target" smoke.rs) \
    >"$work/smoke/log" 2>&1
}

rustup_adds_it() {
  [ -z "${WASM_STD_SKIP_RUSTUP:-}" ] && command -v rustup >/dev/null || return 1
  timeout 300 rustup target add "$target" >&2 && works && return
  say "rustup could not add it"
  return 1
}

mirror() {
  if [ -n "${WASM_STD_MIRROR:-}" ]; then echo "$WASM_STD_MIRROR"; return; fi
  {
    grep -hE '^URIs:' /etc/apt/sources.list.d/*.sources || true
    grep -hE '^deb ' /etc/apt/sources.list /etc/apt/sources.list.d/*.list || true
  } 2>/dev/null | tr ' ' '\n' | grep -E '^https?://.*/debian/?$' | sed -n 1p
}

# fetch PACKAGE VERSION-REGEX: downloads the newest such version into $work/debs and prints its path.
fetch() {
  local package=$1 wanted=$2 uri suite apt version
  uri=$(mirror)
  [ -n "$uri" ] || die "no Debian mirror among apt's sources: run \`rustup target add $target\`, or set WASM_STD_MIRROR"
  mkdir -p "$work/debs"
  for suite in $suites; do
    apt=$work/apt-$suite
    if [ ! -d "$apt" ]; then # apt with a state of its own
      mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
      echo "deb [targets=Packages signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main" \
        >"$apt/sources.list"
      cat >"$apt/apt.conf" <<CONF
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$apt/lists";
Dir::Cache "$apt/cache";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Sandbox::User "root";
CONF
      APT_CONFIG=$apt/apt.conf apt-get -qq update >"$apt/log" 2>&1 || say "Debian $suite: no package list, skipped"
    fi
    version=$(APT_CONFIG=$apt/apt.conf apt-cache madison "$package" 2>/dev/null |
      awk '{print $3}' | grep -E "$wanted" | sort -Vru | sed -n 1p) || true
    [ -n "$version" ] || continue
    say "downloading $package $version (Debian $suite)"
    (cd "$work/debs" && APT_CONFIG=$apt/apt.conf apt-get -qq download "$package=$version" >&2) || continue
    ls "$work/debs/$package"_*.deb
    return
  done
  return 1
}

# Sets std_src to a `library/` directory of this very release.
get_std_source() {
  std_src=$sysroot/lib/rustlib/src/rust/library
  [ ! -f "$std_src/Cargo.lock" ] || return 0
  [[ $release =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || die "Debian packages only stable releases of Rust, and this is $release"
  local deb
  deb=$(fetch rust-src "^${release//./\\.}\\+") || die "Debian ($suites) does not have rust-src $release"
  mkdir -p "$work/src"
  dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$work/src" --wildcards './usr/src/rustc-*/library/*'
  std_src=$(echo "$work"/src/usr/src/rustc-*/library)
  [ -f "$std_src/Cargo.lock" ] || die "$deb has no source of the standard library"
}

# Builds the library into $work/out, laid out as $libdir.
build() {
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
    die "run \`rustup target add $target\` (building it from Debian's packages needs apt-get and dpkg-deb)"
  local crate=$work/crate out=$work/out deb name
  get_std_source

  # An empty crate: cargo builds the whole library as its dependency.
  mkdir -p "$crate/src" "$out/lib"
  cat >"$crate/Cargo.toml" <<'TOML'
[package]
name = "empty"
version = "0.0.0"
edition = "2021"
[workspace]
[profile.release]
debug = 0
codegen-units = 1
TOML
  echo '#![no_std]' >"$crate/src/lib.rs"
  say "building the standard library of Rust $release"
  (
    cd "$crate"
    env -u CARGO_ENCODED_RUSTFLAGS -u CARGO_BUILD_TARGET \
      RUSTC_BOOTSTRAP=1 __CARGO_TESTS_ONLY_SRC_ROOT="$std_src" CARGO_TARGET_DIR="$crate/target" \
      RUSTFLAGS="-Cembed-bitcode=yes --remap-path-prefix=$std_src=/rustc/$commit/library" \
      cargo build --release --target "$target" -Zbuild-std=std,panic_abort,panic_unwind,proc_macro,test >&2
  ) || die "the standard library did not build for $target"
  find "$crate/target/$target/release" -name '*.rlib' ! -name 'libempty*' -exec cp -n {} "$out/lib/" \;
  case $target in *-wasi*)
    deb=$(fetch wasi-libc '~git20(2[4-9]|[3-9])') || die "Debian ($suites) does not have a recent wasi-libc"
    dpkg-deb -x "$deb" "$work/wasi"
    mkdir -p "$out/lib/self-contained"
    for name in libc.a crt1-command.o crt1-reactor.o; do
      cp "$work/wasi/usr/lib/$target/$name" "$out/lib/self-contained/" 2>/dev/null ||
        cp "$work/wasi/usr/lib/wasm32-wasip2/$name" "$out/lib/self-contained/"
    done ;;
  esac
  printf 'target %s\nrelease %s\ncommit %s\n' "$target" "$release" "$commit" >"$out/$stamp"
}

# $work/out becomes $libdir in one step.
place() {
  [ -w "$sysroot/lib/rustlib" ] || die "$sysroot/lib/rustlib is not writable: run this as its owner"
  rm -rf "$libdir.new"
  cp -r "$work/out" "$libdir.new"
  rm -rf "$libdir"
  mv "$libdir.new" "$libdir"
  say "placed in $libdir; should an old target directory complain (E0460, E0463): cargo clean --target $target"
}

if works; then exit; fi
# A stale directory of ours would make rustup stumble over its own files.
if [ -e "$libdir/$stamp" ]; then rm -rf "$libdir"; fi
if rustup_adds_it; then exit; fi
if [ -f "$tarball" ] && mkdir -p "$work/out" && tar -xzf "$tarball" -C "$work/out"; then
  place
  if works; then exit; fi
fi
rm -rf "$tarball" "$work/out"
build
place
works || { cat "$work/smoke/log" >&2; rm -rf "$libdir"; die "built, but a test program does not link"; }
tar -czf "$tarball.tmp" -C "$work/out" .
mv "$tarball.tmp" "$tarball"
say "done"

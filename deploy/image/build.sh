#!/usr/bin/env bash
# Compiles the static binary for an architecture and lays out the image's root: build.sh amd64|arm64 DIR
# Runs in the Dockerfile, and outside of it wherever Rust and a C compiler are.
set -euo pipefail
arch=${1:?usage: build.sh amd64|arm64 DIR}
root=${2:?usage: build.sh amd64|arm64 DIR}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

case "$arch" in
amd64) machine=x86_64 package=x86-64 ;;
arm64) machine=aarch64 package=aarch64 ;;
*)
  echo "build.sh: no such architecture: $arch; take amd64 or arm64" >&2
  exit 1
  ;;
esac
triple=$machine-unknown-linux-gnu
certificates=/etc/ssl/certs/ca-certificates.crt

if [ "$machine" != "$(uname -m)" ]; then
  compiler=$machine-linux-gnu-gcc
  if ! command -v "$compiler" >/dev/null; then
    if [ "$(id -u)" != 0 ]; then
      echo "build.sh: no $compiler; install it with: apt-get install gcc-$package-linux-gnu libc6-dev-$arch-cross" >&2
      exit 1
    fi
    apt-get update -q
    apt-get install -qy --no-install-recommends "gcc-$package-linux-gnu" "libc6-dev-$arch-cross"
  fi
  variable=${triple//-/_}
  export "CARGO_TARGET_${variable^^}_LINKER=$compiler" "CC_$variable=$compiler"
fi
if command -v rustup >/dev/null; then
  rustup target add "$triple"
fi
if [ ! -s "$certificates" ]; then
  echo "build.sh: no $certificates; install it with: apt-get install ca-certificates" >&2
  exit 1
fi

# With --target these flags reach the binary only, not build scripts and macros. Packed, its relocations take some
# kilobytes instead of 0.7 MB (a linker for arm64 that cannot do it warns).
RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs" \
  cargo build --release --locked --target "$triple" --bin aurora-log-export-operator
binary=${CARGO_TARGET_DIR:-target}/$triple/release/aurora-log-export-operator
if readelf --program-headers "$binary" | grep -q INTERP; then
  echo "build.sh: $binary is not static: it asks for a loader, and the image has none" >&2
  exit 1
fi

mkdir -p "$root/etc/ssl/certs"
install -m 0755 "$binary" "$root/aurora-log-export-operator"
install -m 0644 "$certificates" "$root/etc/ssl/certs/ca-certificates.crt"
# Without this file glibc would ask DNS before it looks into /etc/hosts.
echo "hosts: files dns" >"$root/etc/nsswitch.conf"

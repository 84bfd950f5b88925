#!/usr/bin/env bash
# Builds the static binary for an architecture and creates the image's root directory: build.sh amd64|arm64 DIR
# Runs in the Dockerfile, and elsewhere with Rust and a C compiler.
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

# With --target these flags apply to the binary only, not to build scripts and macros. Packed relocations take some
# kilobytes instead of 0.7 MB (an arm64 linker without support for it prints a warning).
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
# Without this file glibc queries DNS before it reads /etc/hosts.
echo "hosts: files dns" >"$root/etc/nsswitch.conf"

#!/usr/bin/env bash
# Builds and runs the consumer with nothing but what pkg-config says: pkg_config.sh shared|static COMPILER PREFIX LIBDIR WORKDIR
set -euo pipefail
kind=$1 compiler=$2 prefix=$3 libdir=$4 workdir=$5
mkdir -p "$workdir"
export PKG_CONFIG_PATH=$prefix/$libdir/pkgconfig
read -ra cflags < <(pkg-config --cflags cpgring)
case $kind in
  shared) read -ra libs < <(pkg-config --libs cpgring) ;;
  static) read -ra libs < <(pkg-config --static --libs cpgring | sed "s#-lcpgring#$prefix/$libdir/libcpgring.a#") ;;
esac
"$compiler" -std=c++20 -Wall -Wextra -Werror "${cflags[@]}" "$(dirname "$0")/consumer/consumer.cpp" -o "$workdir/consumer" "${libs[@]}"
LD_LIBRARY_PATH=$prefix/$libdir "$workdir/consumer"
if [ "$kind" = static ] && ldd "$workdir/consumer" | grep libcpgring; then
  echo "the static consumer wants the shared library" >&2
  exit 1
fi

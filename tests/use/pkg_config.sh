#!/usr/bin/env bash
# Builds the consumers with the flags of pkg-config alone and runs them, the shared ones also without exceptions.
# Usage: pkg_config.sh shared|static COMPILER PREFIX LIBDIR WORKDIR
set -euo pipefail
kind=$1 compiler=$2 prefix=$3 libdir=$4 workdir=$5
here=$(dirname "$0")
mkdir -p "$workdir/no_exceptions"
export PKG_CONFIG_PATH=$prefix/$libdir/pkgconfig
for program in consumer service testing; do
  package=cpgring-$program
  [ $program != consumer ] || package=cpgring
  read -ra cflags < <(pkg-config --cflags $package)
  case $kind in
    shared) read -ra libs < <(pkg-config --libs $package) ;;
    static) read -ra libs < <(pkg-config --static --libs $package | sed -E "s#-l(cpgring[a-z-]*)#$prefix/$libdir/lib\\1.a#g") ;;
  esac
  "$compiler" -std=c++20 -Wall -Wextra -Werror "${cflags[@]}" "$here/consumer/$program.cpp" -o "$workdir/$program" "${libs[@]}"
  [ $kind = static ] || "$compiler" -std=c++20 -fno-exceptions -Wall -Wextra -Werror "${cflags[@]}" "$here/consumer/$program.cpp" -o "$workdir/no_exceptions/$program" "${libs[@]}"
done
LD_LIBRARY_PATH=$prefix/$libdir "$here/consumer/run.sh" "$workdir" "$kind"
[ $kind = static ] || LD_LIBRARY_PATH=$prefix/$libdir "$here/consumer/run.sh" "$workdir/no_exceptions" "$kind"

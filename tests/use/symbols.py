#!/usr/bin/env python3
"""What libcpgring.so shows is what include/cpgring/ declares: nothing of the layers or of other libraries, and nothing missing.

symbols.py LIBDIR. The archive, which hides nothing, says what there is.
"""

import pathlib
import re
import subprocess
import sys

LAYERS = ("base", "ipc", "cpg", "reactor", "dispatch", "runtime", "service", "compat")


def functions(file, *options):
    """Demangled names of the functions and variables that `file` defines (T, D, B, R; templates and inline functions are W)."""
    output = subprocess.run(["nm", "-C", "--defined-only", *options, str(file)], check=True, text=True, capture_output=True).stdout
    return {match.group(2) for match in re.finditer(r"^[0-9a-f]+ ([A-Za-z]) (.+)$", output, re.MULTILINE) if match.group(1) in "TDBR"}


def plain(name):
    return name.split("@")[0]


def main(libdir):
    shown = {plain(name) for name in functions(libdir / "libcpgring.so", "-D")} - {"CPGRING_0"}
    every = functions(libdir / "libcpgring.a")
    private = re.compile(r"^cpgring::(\(anonymous namespace\)|" + "|".join(LAYERS) + r")\b")
    public = {name for name in every if name.startswith("cpgring::") and not private.match(name)}
    errors = [f"shown, but not public: {name}" for name in sorted(shown) if not name.startswith("cpgring::") or private.match(name)]
    errors += [f"shows another library's name: {name}" for name in sorted(shown) if re.search(r"\b(io_uring_|qb_|fmt::)", name)]
    errors += [f"public, but hidden by scripts/cmake/libcpgring.map: {name}" for name in sorted(public - shown)]
    if len(shown) < 10:
        errors.append(f"only {len(shown)} names are shown: is this the library?")
    print("\n".join(errors) or f"{len(shown)} public names, nothing else")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))

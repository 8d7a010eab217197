#!/usr/bin/env python3
"""The shared libraries export exactly the symbols in tests/use/symbols/: all public ones, and none of the layers or of other libraries.

symbols.py LIBDIR [--update]. The archives, which hide nothing, give the full set. --update rewrites the lists.
"""

import difflib
import pathlib
import re
import subprocess
import sys

LISTS = pathlib.Path(__file__).resolve().parent / "symbols"
LIBRARIES = ("cpgring", "cpgring-service", "cpgring-testing")
LAYERS = ("base", "ipc", "cpg", "reactor", "leasing", "dispatch", "delivery", "runtime", "service", "testing::fault_committer", "compat")
PRIVATE = re.compile(r"^cpgring::(\(anonymous namespace\)|" + "|".join(LAYERS) + r")\b")


def names(file, kinds, *options):
    """Demangled names of what `file` defines (T, D, B, R: functions and variables; W, V: templates, inline functions, vtables)."""
    output = subprocess.run(["nm", "-C", "--defined-only", *options, str(file)], check=True, text=True, capture_output=True).stdout
    found = {match.group(2).split("@")[0] for match in re.finditer(r"^[0-9a-f]+ ([A-Za-z]) (.+)$", output, re.MULTILINE) if match.group(1) in kinds}
    return {name for name in found if not re.fullmatch(r"CPGRING(_[A-Z]+)?_\d+", name)}


def errors_of(libdir, library):
    shown = names(libdir / f"lib{library}.so", "TDBRWVui", "-D")
    public = {name for name in names(libdir / f"lib{library}.a", "TDBR") if name.startswith("cpgring::") and not PRIVATE.match(name)}
    for name in sorted(shown):
        if not re.search(r"\bcpgring::", name) or PRIVATE.match(name):
            yield f"lib{library}.so exports a symbol that is not public: {name}"
    for name in sorted(public - shown):
        yield f"public, but hidden by scripts/cmake/lib{library}.map: {name}"
    listed = (LISTS / f"{library}.txt").read_text().splitlines()
    yield from difflib.unified_diff(listed, sorted(shown), f"tests/use/symbols/{library}.txt", f"lib{library}.so", lineterm="", n=0)


def main(libdir, *options):
    if "--update" in options:
        for library in LIBRARIES:
            lines = sorted(names(libdir / f"lib{library}.so", "TDBRWVui", "-D"))
            (LISTS / f"{library}.txt").write_text("".join(f"{line}\n" for line in lines))
        return 0
    errors = [line for library in LIBRARIES for line in errors_of(libdir, library)]
    if errors:
        print("\n".join(errors))
        print(f"If this is intended: {pathlib.Path(__file__).resolve()} {libdir} --update, and commit the lists; a removed name breaks programs.")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]), *sys.argv[2:]))

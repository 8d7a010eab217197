#!/usr/bin/env python3
"""The project's lint: tidy.py RULE [ROOT] prints what breaks RULE and exits 1 if anything does. tidy_test.py plants a fault for each rule."""

import importlib.machinery
import importlib.util
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve()
SOURCE_ROOT = HERE.parent.parent.parent
FILE_LINES_MAX = 700
HEADER_COMMENT_LINES_MAX = 15

# What a layer may include, itself left out; the link lines in engine/CMakeLists.txt say the same.
LAYERS = {
    "base": set(),
    "ipc": {"base"},
    "cpg": {"base", "ipc"},
    "reactor": {"base"},
    "dispatch": {"base"},
    "runtime": {"base", "ipc", "cpg", "reactor", "dispatch"},
    "compat": {"base", "ipc", "cpg"},
    "service": {"base"},
    "cli": set(),
}
ALLOWED_ALONE = {"service": {"cpg/wire_format.hpp"}}
# Libraries that belong to one layer.
OWNED_LIBRARIES = {"liburing.h": {"reactor"}, "liburing/": {"reactor"}, "qb/": {"service"}, "corosync/": {"compat"}, "CLI/": {"cli"}, "nlohmann/": {"cli"}}

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')


def load_tour():
    loader = importlib.machinery.SourceFileLoader("tour", str(SOURCE_ROOT / "scripts" / "tour"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("tour", loader))
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


tour = load_tour()


def sources(root, *folders, suffixes=(".hpp", ".cpp", ".h", ".c")):
    for folder in folders:
        yield from sorted(file for file in (root / folder).rglob("*") if file.is_file() and file.suffix in suffixes)


def numbered(file):
    return enumerate(file.read_text(errors="replace").splitlines(), start=1)


def stations(root):
    """D1-D9 and C1-C7 stand exactly once each, and point to files that are there."""
    found = tour.stations(root)
    for path, count in tour.PATHS.items():
        for number in range(1, count + 1):
            files = [s.file for s in found if (s.path, s.number) == (path, number)]
            if not files:
                yield root / "engine", 1, f"station {path}{number} of {count} is nowhere"
            for file in files[1:]:
                yield file, 1, f"station {path}{number} stands in {files[0].relative_to(root)} already"
    for s in found:
        if s.of != tour.PATHS.get(s.path) or not 1 <= s.number <= s.of:
            yield s.file, 1, f"there is no station {s.name} of {s.of}"
        for pointer in (s.come_from, s.go_to):
            if pointer.startswith("the "):  # the service, the caller, the user's callback: outside of engine/
                continue
            if not re.fullmatch(r"\w+/\w+", pointer) or not any((root / "engine" / (pointer + end)).exists() for end in (".hpp", ".cpp")):
                yield s.file, 1, f"station {s.name} points to {pointer}, which is no file of engine/"
    for file in sources(root, "engine"):
        for line, text in numbered(file):
            if re.match(r"\s*//+\s*station\s+[A-Z]\d", text, re.IGNORECASE) and not tour.LINE.match(text):
                yield file, line, "a station reads '// Station D3 of 9: from layer/file, to layer/file.'"
            elif tour.LINE.match(text) and text not in tour.first_comment(file):
                yield file, line, "a station stands in the first comment of its file"


def layers(root):
    """Includes go only where the layer rule lets them."""
    for file in sources(root, "engine"):
        layer = file.relative_to(root / "engine").parts[0]
        if layer not in LAYERS:
            yield file, 1, f"{layer} is no layer"
            continue
        for line, text in numbered(file):
            match = INCLUDE.match(text)
            if not match:
                continue
            bracket, name = match.groups()
            for library, owners in OWNED_LIBRARIES.items():
                if (name == library or (library.endswith("/") and name.startswith(library))) and layer not in owners:
                    yield file, line, f"{layer} includes <{name}>; only {', '.join(sorted(owners)) or 'nobody'} may"
            other = name.split("/")[0]
            if bracket == '"' and "/" not in name:
                yield file, line, f'write "{layer}/{name}": private headers are named from engine/'
            elif bracket == "<" and other in LAYERS and "/" in name and (root / "engine" / name).exists():
                yield file, line, f'private headers are included as "{name}"'
            elif bracket == '"' and other != layer and other not in LAYERS[layer] and name not in ALLOWED_ALONE.get(layer, ()):
                yield file, line, f"{layer} must not know {name}"
    for file in sources(root, "include"):
        for line, text in numbered(file):
            match = INCLUDE.match(text)
            if not match:
                continue
            bracket, name = match.groups()
            if bracket == '"':
                yield file, line, f"a public header includes the private {name}"
            elif "/" in name and not name.startswith(("cpgring/", "tl/")):
                yield file, line, f"a public header shows <{name}>; only the standard library, tl/expected.hpp and <cpgring/...> may be seen"
            elif name.endswith(".h"):
                yield file, line, f"a public header shows <{name}>"


ORDER = re.compile(r"memory_order(?:_|::)(acquire|release|acq_rel|seq_cst|consume)\b|__ATOMIC_(ACQUIRE|RELEASE|ACQ_REL|SEQ_CST|CONSUME)\b"
                   r"|\bio_uring_smp_(load_acquire|store_release|mb)\b")
ATOMIC_CALL = re.compile(r"(?:\.|->)(load|store|exchange|fetch_\w+|compare_exchange_\w+|test_and_set)\s*\(")
ATOMIC_DECLARATION = re.compile(r"\bstd::atomic(?:_ref)?<[^;]*>\s+(\w+)\s*(?:[;{=]|$)")
SYNC = re.compile(r"//\s*SYNC ([\w.]+):")
SIDES = {
    "acquire": {"acquire"}, "consume": {"acquire"}, "load_acquire": {"acquire"},
    "release": {"release"}, "store_release": {"release"},
    "acq_rel": {"acquire", "release"}, "seq_cst": {"acquire", "release"}, "mb": {"acquire", "release"},
}  # fmt: skip
LINES_BETWEEN_SYNC_AND_OPERATION = 3


def code_of(text):
    """A line without its comment and what its string literals say."""
    return re.sub(r"//.*", "", re.sub(r'"(?:[^"\\]|\\.)*"', '""', text))


def call_text(lines, index, column):
    """What stands between the parentheses that open at or behind `column` of line `index`, over line ends."""
    depth, text = 0, ""
    for line in [lines[index][column:], *lines[index + 1 : index + 8]]:
        for character in line:
            depth += {"(": 1, ")": -1}.get(character, 0)
            text += character
            if depth == 0 and character == ")":
                return text
    return text


def atomic_names(file):
    """The atomics that a file and its header or source beside it declare."""
    pair = [file.with_suffix(suffix) for suffix in (".hpp", ".cpp")]
    return sorted({name for one in pair if one.exists() for _, text in numbered(one) for name in ATOMIC_DECLARATION.findall(code_of(text))})


def atomics(root):
    """Each atomic operation names its order; each that orders anything names what it pairs with, and both sides of the pair are there."""
    sites = {}
    for file in sources(root, "engine"):
        if file.relative_to(root / "engine").parts[0] == "cli":
            continue
        raw = file.read_text().splitlines()
        code = [code_of(line) for line in raw]
        declared = atomic_names(file)
        used = set()
        for index, text in enumerate(code):
            orders = [next(filter(None, match.groups())).lower() for match in ORDER.finditer(text)]
            if orders:
                comments = [at for at in range(index, max(-1, index - LINES_BETWEEN_SYNC_AND_OPERATION - 1), -1) if SYNC.search(raw[at])]
                if not comments:
                    yield file, index + 1, f"{', '.join(orders)} without a '// SYNC name: what breaks without it' at most 3 lines above"
                else:
                    used.add(comments[0])
                    name = SYNC.search(raw[comments[0]]).group(1)
                    sites.setdefault(name, []).append((file, index + 1, set().union(*(SIDES[order] for order in orders))))
            for match in ATOMIC_CALL.finditer(text):
                if "memory_order" not in call_text(code, index, match.end() - 1):
                    yield file, index + 1, f"{match.group(1)}() names no memory order, so it is seq_cst unsaid"
            for name in declared:
                if re.search(rf"(?:\+\+|--)\s*{name}\b|(?<![\w>&*] )\b{name}\s*(?:\+\+|--|[-+|&^]?=(?!=))", text):
                    yield file, index + 1, f"an operator on the atomic {name} is seq_cst unsaid; write load, store or fetch_..."
        for index, text in enumerate(raw):
            if re.search(r"//.*\bSYNC\b", text) and not SYNC.search(text):
                yield file, index + 1, "a SYNC comment reads '// SYNC name: what breaks without it'"
            elif SYNC.search(text) and index not in used:
                yield file, index + 1, f"SYNC {SYNC.search(text).group(1)} stands at no ordering operation"
    for name, places in sorted(sites.items()):
        file, line, _ = places[0]
        sides = set().union(*(side for _, _, side in places))
        if len(places) < 2:
            yield file, line, f"SYNC {name} stands here alone; its other end must carry the name too"
        elif sides != {"acquire", "release"}:
            yield file, line, f"SYNC {name} has no {'acquiring' if 'release' in sides else 'releasing'} side"


WALL_CLOCK = re.compile(r"\b(system_clock|high_resolution_clock|utc_clock|CLOCK_REALTIME\w*|IORING_TIMEOUT_REALTIME|FUTEX_CLOCK_REALTIME|gettimeofday|time_t"
                        r"|sem_timedwait|pthread_cond_timedwait|pthread_mutex_timedlock|timed_mutex)\b|\btime\((?:nullptr|NULL|0)\)")


def clocks(root):
    """Nobody here goes by the wall clock, which jumps: deadlines are of the steady one."""
    for file in sources(root, "engine", "include"):
        for line, text in numbered(file):
            for match in WALL_CLOCK.finditer(code_of(text)):
                yield file, line, f"{match.group(0)} goes by the wall clock; use base/clock.hpp"


BANNED = ["TO" + "DO", "FIX" + "ME", "X" * 3]
TEXT_SUFFIXES = (".hpp", ".cpp", ".h", ".c", ".py", ".sh", ".pml", ".md", ".txt", ".cmake", ".in", ".map", ".json", "")


def words(root):
    """Nothing is left for later."""
    banned = re.compile(r"\b(" + "|".join(BANNED) + r")\b")
    for file in sources(root, "engine", "include", "bench", "tests", "examples", "scripts", "docs", suffixes=TEXT_SUFFIXES):
        for line, text in numbered(file):
            for match in banned.finditer(text):
                yield file, line, f"{match.group(1)}: do it, or file an issue"


def sizes(root):
    """Files and first comments stay short; every header opens with a comment and #pragma once."""
    for file in sources(root, "engine", "include", "bench", "tests", "examples", suffixes=(".hpp", ".cpp", ".h", ".c", ".py")):
        lines = file.read_text().splitlines()
        if len(lines) > FILE_LINES_MAX:
            yield file, FILE_LINES_MAX, f"{len(lines)} lines; {FILE_LINES_MAX} are enough for one idea"
        if file.suffix == ".hpp":
            comment = tour.first_comment(file)
            if not comment:
                yield file, 1, "a header opens with a comment: its job in one sentence"
            elif len(comment) > HEADER_COMMENT_LINES_MAX:
                yield file, 1, f"the first comment has {len(comment)} lines; {HEADER_COMMENT_LINES_MAX} are enough"
            if lines.count("#pragma once") != 1:
                yield file, 1, "a header has one #pragma once"


def format(root):
    """clang-format has nothing to change."""
    files = list(sources(root, "engine", "include", "bench", "tests", "examples"))
    if not files:
        return
    style = (root / ".clang-format") if (root / ".clang-format").exists() else SOURCE_ROOT / ".clang-format"
    command = ["clang-format", f"--style=file:{style}", "--dry-run", *map(str, files)]
    output = subprocess.run(command, check=True, text=True, stderr=subprocess.PIPE).stderr
    seen = set()
    for file, line in re.findall(r"^(.+?):(\d+):\d+: warning: code should be clang-formatted", output, re.MULTILINE):
        if file not in seen:
            seen.add(file)
            yield pathlib.Path(file), int(line), "not formatted; run scripts/format"


RULES = {rule.__name__: rule for rule in (stations, layers, atomics, clocks, words, sizes, format)}


def main(arguments):
    if not 1 <= len(arguments) <= 2 or arguments[0] not in RULES:
        print(f"usage: tidy.py {{{'|'.join(RULES)}}} [ROOT]", file=sys.stderr)
        return 64
    root = pathlib.Path(arguments[1] if len(arguments) == 2 else SOURCE_ROOT).resolve()
    findings = list(RULES[arguments[0]](root))
    for file, line, text in findings:
        print(f"{file.relative_to(root)}:{line}: {text}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

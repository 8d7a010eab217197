#!/usr/bin/env python3
"""The project's lint: tidy.py RULE [ROOT] prints the violations of RULE and exits with 1 if there is one.

tidy_test.py plants faults for each rule.
"""

import importlib.machinery
import importlib.util
import pathlib
import re
import subprocess
import sys

sys.dont_write_bytecode = True
import functions
import layer_table

HERE = pathlib.Path(__file__).resolve()
SOURCE_ROOT = HERE.parent.parent.parent
# The most lines of a file, and of a function in it.
FILE_LINES_MAX = {"engine": 400, "include": 400, "bench": 600, "tests": 600, "examples": 600}
FUNCTION_LINES_MAX = {"engine": 60, "include": 60}
# The most lines of all files of a layer together.
LAYER_LINES_MAX = {"runtime": 3000}
HEADER_COMMENT_LINES_MAX = 19

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')


def load_tour():
    loader = importlib.machinery.SourceFileLoader("tour", str(SOURCE_ROOT / "scripts" / "tour"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("tour", loader))
    loader.exec_module(module)
    return module


tour = load_tour()


def sources(root, *folders, suffixes=(".hpp", ".cpp", ".h", ".c")):
    for folder in folders:
        yield from sorted(file for file in (root / folder).rglob("*") if file.is_file() and file.suffix in suffixes)


def numbered(file):
    return enumerate(file.read_text(errors="replace").splitlines(), start=1)


def stations(root):
    """Each of D1-D9 and C1-C11 occurs exactly once and points to existing files."""
    found = tour.stations(root)
    for path, count in tour.PATHS.items():
        for number in range(1, count + 1):
            files = [s.file for s in found if (s.path, s.number) == (path, number)]
            if not files:
                yield root / "engine", 1, f"station {path}{number} of {count} is nowhere"
            for file in files[1:]:
                yield file, 1, f"station {path}{number} already stands in {files[0].relative_to(root)}"
    for s in found:
        if s.of != tour.PATHS.get(s.path) or not 1 <= s.number <= s.of:
            yield s.file, 1, f"there is no station {s.name} of {s.of}"
        for pointer in (s.come_from, s.go_to):
            if pointer.startswith("the "):  # the service, the caller, the user's callback: not in engine/
                continue
            if not re.fullmatch(r"\w+/\w+", pointer) or not any((root / "engine" / (pointer + end)).exists() for end in (".hpp", ".cpp")):
                yield s.file, 1, f"station {s.name} points to {pointer}, which is no file of engine/"
    for file in sources(root, "engine"):
        for line, text in numbered(file):
            if re.match(r"\s*//+\s*station\s+[A-Z]\d", text, re.IGNORECASE) and not tour.LINE.match(text):
                yield file, line, "a station reads '// Station D3 of 9: from layer/file, to layer/file.'"
            elif tour.LINE.match(text) and text not in tour.first_comment(file):
                yield file, line, "a station belongs into the first comment of its file"


def wrong_table(root, table):
    """Contradictions to the table of layers: its own order, the folders, the link lines."""
    document = root / layer_table.DOCUMENT
    if document.exists():
        if not table:
            yield document, 1, f"no table of layers: its first heading is '{layer_table.FIRST_HEADING}'"
        for layer, other in layer_table.upward(table):
            yield document, layer.line, f"{layer.name} may include {other}, which is in no row above it"
        for layer in table.values():
            if not (root / "engine" / layer.name).is_dir():
                yield document, layer.line, f"engine/{layer.name} does not exist"
    cmake = root / "engine" / "CMakeLists.txt"
    if cmake.exists():
        for name, (line, reached) in layer_table.linked(cmake).items():
            if name not in table:
                yield cmake, line, f"{name} is no layer"
            elif reached != table[name].layers:
                texts = [", ".join(sorted(names)) or "nothing" for names in (reached, table[name].layers)]
                yield cmake, line, f"{name} links {texts[0]}; {layer_table.DOCUMENT} lets it include {texts[1]}"


def private_include(root, layer, table, bracket, name):
    """Why this include is wrong in a file of this layer, or None."""
    for owner in table.values():
        for library in owner.libraries:
            inside = name == library or (library.endswith("/") and name.startswith(library))
            if inside and owner is not layer:
                return f"{layer.name} includes <{name}>; only {owner.name} may"
    other = name.split("/")[0]
    if bracket == '"' and "/" not in name:
        return f'write "{layer.name}/{name}": names of private headers start from engine/'
    if bracket == "<" and other in table and "/" in name and (root / "engine" / name).exists():
        return f'private headers are included as "{name}"'
    if bracket == '"' and other != layer.name and other not in layer.layers and name not in layer.headers:
        return f"{layer.name} must not know {name}"
    return None


def public_include(bracket, name):
    """Why this include is wrong in a public header, or None."""
    if bracket == '"':
        return f"a public header includes the private {name}"
    if "/" in name and not name.startswith(("cpgring/", "tl/")):
        return f"a public header includes <{name}>; only the standard library and <cpgring/...> are allowed"
    if name.endswith(".h"):
        return f"a public header includes <{name}>"
    return None


def layers(root):
    """Includes and link lines agree with the table of layers in docs/architecture.md."""
    own = root / layer_table.DOCUMENT
    table = layer_table.read(own if own.exists() else SOURCE_ROOT / layer_table.DOCUMENT)
    yield from wrong_table(root, table)
    for file in sources(root, "engine", "include"):
        parts = file.relative_to(root).parts
        layer = table.get(parts[1])
        if parts[0] == "engine" and layer is None:
            yield file, 1, f"{parts[1]} is no layer"
            continue
        for line, text in numbered(file):
            match = INCLUDE.match(text)
            if not match:
                continue
            if parts[0] == "engine":
                wrong = private_include(root, layer, table, *match.groups())
            else:
                wrong = public_include(*match.groups())
            if wrong:
                yield file, line, wrong


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
    """A line without its comment and the contents of its string literals."""
    return re.sub(r"//.*", "", re.sub(r'"(?:[^"\\]|\\.)*"', '""', text))


def call_text(lines, index, column):
    """The text of the parentheses that open at or after `column` of line `index`, over line ends."""
    depth, text = 0, ""
    for line in [lines[index][column:], *lines[index + 1 : index + 8]]:
        for character in line:
            depth += {"(": 1, ")": -1}.get(character, 0)
            text += character
            if depth == 0 and character == ")":
                return text
    return text


def atomic_names(file):
    """The atomics that a file or its header or source declares."""
    pair = [file.with_suffix(suffix) for suffix in (".hpp", ".cpp")]
    return sorted({name for one in pair if one.exists() for _, text in numbered(one) for name in ATOMIC_DECLARATION.findall(code_of(text))})


def atomics(root):
    """Each atomic operation names its memory order; each ordering one names its SYNC pair, and both sides of the pair exist."""
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
                    yield file, index + 1, f"{match.group(1)}() names no memory order, so it is implicitly seq_cst"
            for name in declared:
                if re.search(rf"(?:\+\+|--)\s*{name}\b|(?<![\w>&*] )\b{name}\s*(?:\+\+|--|[-+|&^]?=(?!=))", text):
                    yield file, index + 1, f"an operator on the atomic {name} is implicitly seq_cst; write load, store or fetch_..."
        for index, text in enumerate(raw):
            if re.search(r"//.*\bSYNC\b", text) and not SYNC.search(text):
                yield file, index + 1, "a SYNC comment reads '// SYNC name: what breaks without it'"
            elif SYNC.search(text) and index not in used:
                yield file, index + 1, f"SYNC {SYNC.search(text).group(1)} is not at an ordering operation"
    for name, places in sorted(sites.items()):
        file, line, _ = places[0]
        sides = set().union(*(side for _, _, side in places))
        if len(places) < 2:
            yield file, line, f"SYNC {name} occurs only here; the other side needs the same name"
        elif sides != {"acquire", "release"}:
            yield file, line, f"SYNC {name} has no {'acquiring' if 'release' in sides else 'releasing'} side"


WALL_CLOCK = re.compile(r"\b(system_clock|high_resolution_clock|utc_clock|CLOCK_REALTIME\w*|IORING_TIMEOUT_REALTIME|FUTEX_CLOCK_REALTIME|gettimeofday|time_t"
                        r"|sem_timedwait|pthread_cond_timedwait|pthread_mutex_timedlock|timed_mutex)\b|\btime\((?:nullptr|NULL|0)\)")


def clocks(root):
    """No code uses the wall clock, which may jump; deadlines use the steady clock."""
    for file in sources(root, "engine", "include"):
        for line, text in numbered(file):
            for match in WALL_CLOCK.finditer(code_of(text)):
                yield file, line, f"{match.group(0)} uses the wall clock; use base/clock.hpp"


BANNED = ["TO" + "DO", "FIX" + "ME", "X" * 3]
# Names that the code had once, and phrases that readers could not follow: see docs/CONTRIBUTING.md.
FORMER_NAMES = ["errands?", "receipts?", "crew", "fleet", "lessor", "desk", "untold", "wishes", "engine_core", "lease_desk", "lease_keeper"]
# The same for words that comments may use, but no name in code.
FORMER_IDENTIFIERS = ["told", "settled?", "settle_\\w+", "looks?", "look_\\w+", "ways?", "faces?", "feed", "retained", "stand_still", "go_on"]
RIDDLES = ["none of the user's business", "(its|their) time has come", "else no cache line of theirs", "of many \\w+ one is",
           "once each time that this comes about", "what it took .* it still owes", "as good as they come", "is the reactor's thread's"]
PRONOUN_FIRST = re.compile(r"(It|They|He|She|Who|Whoever|These|Those)\b|This (is|was|has|can|may|must|will|does|keeps|makes|takes)\b")
COMMENT_LINE = re.compile(r"^\s*//[/!]?<?\s?(.*)")
COMMENT_BEHIND = re.compile(r"^\s*\S.*?\s//[/<]*\s(.*)$")
COLUMNS_MAX = 110
TEXT_SUFFIXES = (".hpp", ".cpp", ".h", ".c", ".py", ".sh", ".pml", ".md", ".txt", ".cmake", ".in", ".map", ".json", "")


def words(root):
    """No notes about unfinished work."""
    banned = re.compile(r"\b(" + "|".join(BANNED) + r")\b")
    for file in sources(root, "engine", "include", "bench", "tests", "examples", "scripts", "docs", suffixes=TEXT_SUFFIXES):
        for line, text in numbered(file):
            for match in banned.finditer(text):
                yield file, line, f"{match.group(1)}: do it, or file an issue"


def wording(root):
    """No former name of the code, no riddle, no pronoun that begins a comment, no line above 110 columns."""
    former = re.compile(r"\b(" + "|".join(FORMER_NAMES) + r")\b")
    identifier = re.compile(r"\b(" + "|".join(FORMER_IDENTIFIERS) + r")\b")
    riddle = re.compile("|".join(RIDDLES), re.IGNORECASE)
    for file in sources(root, "engine", "include", "bench", "tests", "examples"):
        in_comment = False
        for line, text in numbered(file):
            if len(text) > COLUMNS_MAX:
                yield file, line, f"{len(text)} columns, allowed are {COLUMNS_MAX}"
            for match in former.finditer(text):
                yield file, line, f"'{match.group()}' is a former name of the code; docs/glossary.md has the terms of today"
            if file.suffix in (".hpp", ".cpp"):
                for match in identifier.finditer(code_of(text)):
                    yield file, line, f"'{match.group()}' is no name for code: name what it does or holds"
            for match in riddle.finditer(text):
                yield file, line, f"'{match.group()}': say what the code guarantees"
            whole, behind = COMMENT_LINE.match(text), COMMENT_BEHIND.match(text)
            sentence = (whole and not in_comment and whole.group(1)) or (not whole and behind and behind.group(1)) or ""
            if pronoun := PRONOUN_FIRST.match(sentence):
                yield file, line, f"a comment begins with '{pronoun.group()}': name what it is about"
            in_comment = whole is not None


def too_long(root, file):
    """Yields (line, text) for each limit that the file exceeds."""
    folder = file.relative_to(root).parts[0]
    text = file.read_text()
    count, limit = len(text.splitlines()), FILE_LINES_MAX[folder]
    if count > limit:
        yield limit, f"{count} lines; at most {limit}: split it by subject"
    limit = FUNCTION_LINES_MAX.get(folder)
    if limit is not None:
        for function in functions.functions(text):
            if function.lines > limit:
                yield function.line, f"{function.name} has {function.lines} lines; a function has at most {limit}"


def sizes(root):
    """Files, functions and first comments are short; every header begins with a comment and has #pragma once."""
    for file in sources(root, *FILE_LINES_MAX, suffixes=(".hpp", ".cpp", ".h", ".c", ".py")):
        for line, text in too_long(root, file):
            yield file, line, text
        if file.suffix == ".hpp":
            comment = tour.first_comment(file)
            if not comment:
                yield file, 1, "a header begins with a comment: its purpose in one sentence"
            elif len(comment) > HEADER_COMMENT_LINES_MAX:
                yield file, 1, f"the first comment has {len(comment)} lines; at most {HEADER_COMMENT_LINES_MAX}"
            if file.read_text().splitlines().count("#pragma once") != 1:
                yield file, 1, "a header has one #pragma once"
    for layer, limit in LAYER_LINES_MAX.items():
        lines = sum(len(file.read_text().splitlines()) for file in sources(root, f"engine/{layer}"))
        if lines >= limit:
            yield root / "engine" / layer, 1, f"{lines} lines in all; a layer of its kind has less than {limit}"


BYTES_OF = re.compile(r"\b(\d+) bytes \(`(\w+)`\)")
SIZE_ASSERTED = re.compile(r"static_assert\(sizeof\((?:\w+::)*(\w+)\) == (\d+)\b")


def figures(root):
    """'N bytes (`name`)' in a document agrees with static_assert(sizeof(name) == N) in engine/; README quotes the latest table."""
    asserted = {}
    for file in sources(root, "engine"):
        for name, size in SIZE_ASSERTED.findall(file.read_text()):
            asserted.setdefault(name, set()).add(size)
    for file in [*sources(root, "docs", suffixes=(".md",)), *root.glob("README.md")]:
        for line, text in numbered(file):
            for size, name in BYTES_OF.findall(text):
                if size not in asserted.get(name, ()):
                    yield file, line, f"engine/ has no static_assert(sizeof({name}) == {size})"
    yield from quoted_figures(root / "README.md", root / "docs" / "benchmarks.md")


def table_rows(text):
    """The cells of each row, without heads and rules."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return [row for row in rows if not all(set(cell) <= set("-:") for cell in row)]


def quoted_figures(readme, benchmarks):
    """What a row of README's tables says of libcpg and of cpgring stands in one row of the latest table of docs/benchmarks.md."""
    if not readme.exists() or not benchmarks.exists():
        return
    number = re.compile(r"\d[\d.]*")
    latest = benchmarks.read_text().partition("\n## Latest table\n")[2].partition("\n## ")[0]
    measured = [set(number.findall(" ".join(row[1:]))) for row in table_rows(latest)]
    section = readme.read_text().partition("\n## How fast it is\n")[2].partition("\n## ")[0]
    for row in table_rows(section):
        said = set(number.findall(" ".join(row[1:3])))
        if said and not any(said <= all_of_row for all_of_row in measured):
            yield readme, 1, f"'{row[0]}': no row of the latest table of docs/benchmarks.md has {', '.join(sorted(said))}"


def mutants(root):
    """Each patch of tests/mutants applies."""
    for patch in sorted((root / "tests" / "mutants").rglob("*.patch")):
        checked = subprocess.run(["git", "apply", "--check", str(patch)], cwd=root, text=True, stderr=subprocess.PIPE)
        if checked.returncode != 0:
            yield patch, 1, f"does not apply: {checked.stderr.strip().splitlines()[-1]}; make its change in the new source and store 'git diff' in it"


def format(root):
    """Every file is formatted by clang-format."""
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


RULES = {rule.__name__: rule for rule in (stations, layers, atomics, clocks, words, wording, sizes, figures, mutants, format)}


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

#!/usr/bin/env python3
"""Plants a fault for each thing that tidy.py looks for, and expects it to be found; and a clean tree, in which nothing may be."""

import contextlib
import io
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.dont_write_bytecode = True
import tidy

HEADER = "// Does one thing.\n#pragma once\n"


def station_files():
    """A tree with every station, each pointing to itself."""
    files = {}
    for path, count in tidy.tour.PATHS.items():
        for number in range(1, count + 1):
            stem = f"ipc/{path.lower()}{number}"
            line = f"// Station {path}{number} of {count}: from the service, to {stem}.\n//\n// Takes a step. More.\n"
            files[f"engine/{stem}.hpp"] = line + "#pragma once\n"
    return files


RELEASE = "// SYNC {0}: without it the reader sees old bytes.\nready.store(1, std::memory_order_release);\n"
ACQUIRE = "while (ready.load(std::memory_order_acquire) == 0) {{  // SYNC {0}: the writer's bytes come first.\n}}\n"


class Tidy(unittest.TestCase):
    def findings(self, rule, files):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for folder_name in ("engine", "include"):
                (root / folder_name).mkdir()
            for name, text in files.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            with contextlib.redirect_stdout(io.StringIO()) as output:
                status = tidy.main([rule, folder])
            self.assertEqual(status, 1 if output.getvalue() else 0)
            return output.getvalue()

    def clean(self, rule, files):
        self.assertEqual(self.findings(rule, files), "")

    def found(self, expected, rule, files):
        self.assertIn(expected, self.findings(rule, files))

    def test_stations(self):
        good = station_files()
        self.clean("stations", good)
        self.found("D3 of 9 is nowhere", "stations", {name: text for name, text in good.items() if "d3" not in name})
        self.found("C7 of 7 is nowhere", "stations", {name: text for name, text in good.items() if "c7" not in name})
        self.found("stands in", "stations", good | {"engine/cpg/again.hpp": good["engine/ipc/d3.hpp"]})
        self.found("no file of engine", "stations", good | {"engine/ipc/d3.hpp": good["engine/ipc/d3.hpp"].replace("to ipc/d3", "to ipc/gone")})
        self.found("no file of engine", "stations", good | {"engine/ipc/d3.hpp": good["engine/ipc/d3.hpp"].replace("the service", "ipc/gone")})
        self.found("no station D10", "stations", good | {"engine/ipc/e.hpp": "// Station D10 of 9: from the service, to ipc/d1.\n"})
        self.found("no station D9 of 8", "stations", good | {"engine/ipc/d9.hpp": good["engine/ipc/d9.hpp"].replace("of 9", "of 8")})
        self.found("a station reads", "stations", good | {"engine/ipc/e.hpp": "// Station D3, between ipc and cpg\n"})
        self.found("first comment", "stations", good | {"engine/ipc/e.hpp": "int x;\n" + good["engine/ipc/d3.hpp"]})

    def test_tour_takes_the_first_sentence_as_the_job(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "x.hpp"
            file.write_text("// Station D4 of 9: from a/b, to c/d.\n//\n// Turns bytes\n// into events; checks. More.\n")
            station = tidy.tour.station_of(file)
            self.assertEqual((station.name, station.come_from, station.go_to, station.job), ("D4", "a/b", "c/d", "Turns bytes into events."))

    def test_layers(self):
        def includes(where, *names):
            return {where: HEADER + "".join(f"#include {name}\n" for name in names)}

        self.clean("layers", includes("engine/ipc/a.hpp", "<vector>", "<cpgring/error.hpp>", '"base/check.hpp"', '"ipc/b.hpp"'))
        self.clean("layers", includes("engine/reactor/a.hpp", "<liburing.h>"))
        self.clean("layers", includes("engine/service/a.cpp", "<qb/qbipcs.h>", '"cpg/wire_format.hpp"'))
        self.clean("layers", includes("engine/cli/a.cpp", "<CLI/CLI.hpp>", "<cpgring/engine.hpp>", '"cli/b.hpp"'))
        self.clean("layers", includes("include/cpgring/a.hpp", "<vector>", "<cpgring/error.hpp>", "<tl/expected.hpp>"))
        upward = [("base", "ipc"), ("ipc", "cpg"), ("cpg", "reactor"), ("reactor", "ipc"), ("reactor", "cpg"), ("dispatch", "cpg"),
                  ("dispatch", "reactor"), ("ipc", "runtime"), ("runtime", "service"), ("service", "ipc"), ("service", "dispatch"),
                  ("cli", "base"), ("cli", "runtime")]  # fmt: skip
        for layer, other in upward:
            with self.subTest(layer=layer, other=other):
                self.found(f"{layer} must not know {other}/x.hpp", "layers", includes(f"engine/{layer}/a.hpp", f'"{other}/x.hpp"'))
        self.found("service must not know cpg/codec.hpp", "layers", includes("engine/service/a.cpp", '"cpg/codec.hpp"'))
        self.found("runtime includes <liburing.h>", "layers", includes("engine/runtime/a.cpp", "<liburing.h>"))
        self.found("ipc includes <qb/qbrb.h>", "layers", includes("engine/ipc/a.cpp", "<qb/qbrb.h>"))
        self.found("cpg includes <corosync/cpg.h>", "layers", includes("engine/cpg/a.cpp", "<corosync/cpg.h>"))
        self.found('included as "base/check.hpp"', "layers",
                   includes("engine/ipc/a.cpp", "<base/check.hpp>") | {"engine/base/check.hpp": HEADER})  # fmt: skip
        self.found('write "ipc/b.hpp"', "layers", includes("engine/ipc/a.cpp", '"b.hpp"'))
        self.found("is no layer", "layers", includes("engine/extras/a.cpp"))
        for hidden in ('"base/check.hpp"', "<liburing.h>", "<qb/qbipcs.h>", "<fmt/format.h>", "<pthread.h>"):
            with self.subTest(hidden=hidden):
                self.found("a public header", "layers", includes("include/cpgring/a.hpp", hidden))

    def test_atomics(self):
        pair = {"engine/ipc/writer.cpp": RELEASE.format("ring.ready"), "engine/cpg/reader.cpp": ACQUIRE.format("ring.ready")}
        self.clean("atomics", pair)
        both = "// SYNC flag: without it both sleep.\nflag.exchange(1, std::memory_order_seq_cst);\n"
        self.clean("atomics", {"engine/base/a.cpp": both, "engine/base/b.cpp": both})
        self.clean("atomics", {"engine/base/a.cpp": "n.store(1, std::memory_order_relaxed); // memory_order_acquire would be too much\n"})
        self.found("without a '// SYNC", "atomics", {"engine/ipc/a.cpp": "n.store(1, std::memory_order_release);\n"})
        self.found("without a '// SYNC", "atomics", {"engine/ipc/a.cpp": "std::atomic_thread_fence(std::memory_order::seq_cst);\n"})
        self.found("without a '// SYNC", "atomics", {"engine/ipc/a.cpp": "__atomic_store_n(word, 1, __ATOMIC_RELEASE);\n"})
        self.found("without a '// SYNC", "atomics", {"engine/reactor/a.cpp": "io_uring_smp_store_release(tail, 1);\n"})
        far = RELEASE.format("ring.ready").replace("\nready", "\n\n\n\nready")
        self.found("without a '// SYNC", "atomics", pair | {"engine/ipc/writer.cpp": far})
        self.found("stands at no ordering operation", "atomics", pair | {"engine/ipc/writer.cpp": far})
        self.found("stands here alone", "atomics", {"engine/ipc/a.cpp": RELEASE.format("lonely")})
        self.found("no acquiring side", "atomics", {"engine/ipc/a.cpp": RELEASE.format("x"), "engine/ipc/b.cpp": RELEASE.format("x")})
        self.found("no releasing side", "atomics", {"engine/ipc/a.cpp": ACQUIRE.format("x"), "engine/ipc/b.cpp": ACQUIRE.format("x")})
        self.found("a SYNC comment reads", "atomics", {"engine/ipc/a.cpp": "// SYNC with the other side\n"})
        self.found("names no memory order", "atomics", {"engine/ipc/a.cpp": "if (n.load() == 0) {\n}\n"})
        self.found("names no memory order", "atomics", {"engine/ipc/a.cpp": "n->fetch_add(\n    1);\n"})
        self.clean("atomics", {"engine/ipc/a.hpp": "std::atomic<int> count;\nvoid f() { const int count = 1; }\n"})
        self.found("an operator on the atomic count_", "atomics",
                   {"engine/ipc/a.hpp": "std::atomic<int> count_{0};\n", "engine/ipc/a.cpp": "++count_;\n"})  # fmt: skip
        self.found("an operator on the atomic count_", "atomics", {"engine/ipc/a.hpp": "std::atomic<int> count_;\nvoid f() { count_ = 1; }\n"})

    def test_clocks(self):
        self.clean("clocks", {"engine/base/a.cpp": "// sem_timedwait would do, were it not for its clock\nauto now = std::chrono::steady_clock::now(); timeout(0);\n"})
        for wall in ("std::chrono::system_clock::now()", "::clock_gettime(CLOCK_REALTIME, &t)", "::sem_timedwait(s, &t)", "::time(nullptr)",
                     "FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME"):  # fmt: skip
            with self.subTest(wall=wall):
                self.found("goes by the wall clock", "clocks", {"engine/base/a.cpp": f"f({wall});\n"})

    def test_words(self):
        self.clean("words", {"engine/ipc/a.cpp": "mkdtemp(XXXXXX);\n", "docs/a.md": "todo\n"})
        for word in tidy.BANNED:
            for file in ("engine/ipc/a.cpp", "include/cpgring/a.hpp", "tests/a.py", "scripts/a", "docs/a.md", "bench/CMakeLists.txt"):
                with self.subTest(word=word, file=file):
                    self.found(word, "words", {file: f"x  // {word}: later\n"})

    def test_sizes(self):
        self.clean("sizes", {"engine/ipc/a.hpp": HEADER + "\n" * (tidy.FILE_LINES_MAX - 2)})
        self.found("lines;", "sizes", {"engine/ipc/a.hpp": HEADER + "\n" * (tidy.FILE_LINES_MAX - 1)})
        self.found("opens with a comment", "sizes", {"engine/ipc/a.hpp": "#pragma once\n"})
        self.found("first comment has 16 lines", "sizes", {"engine/ipc/a.hpp": "// x\n" * 16 + "#pragma once\n"})
        self.found("#pragma once", "sizes", {"include/cpgring/a.hpp": "// Does one thing.\n"})

    def test_format(self):
        self.clean("format", {"engine/ipc/a.hpp": HEADER + "\nint f(int* x);\n"})
        self.found("not formatted", "format", {"engine/ipc/a.hpp": HEADER + "\nint f( int *x );\n"})
        self.found("not formatted", "format", {"tests/unit/a_test.cpp": "int   x;\n"})

    def test_an_unknown_rule_is_refused(self):
        with contextlib.redirect_stderr(io.StringIO()):
            self.assertEqual(tidy.main(["beauty"]), 64)


if __name__ == "__main__":
    unittest.main()

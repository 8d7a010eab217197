#!/usr/bin/env python3
"""Plants each kind of fault that tidy.py finds, and checks that it is found, and that a clean tree has none."""

import contextlib
import io
import pathlib
import sys
import tempfile
import unittest
import unittest.mock

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
        self.found("C7 of 11 is nowhere", "stations", {name: text for name, text in good.items() if "c7" not in name})
        self.found("already stands in", "stations", good | {"engine/cpg/again.hpp": good["engine/ipc/d3.hpp"]})
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
        self.clean("layers", includes("engine/testing/a.cpp", '"base/clock.hpp"', '"cpg/wire_format.hpp"'))
        self.clean("layers", includes("engine/cli/a.cpp", "<CLI/CLI.hpp>", "<cpgring/engine.hpp>", '"cli/b.hpp"'))
        self.clean("layers", includes("include/cpgring/a.hpp", "<vector>", "<cpgring/error.hpp>"))
        upward = [("base", "ipc"), ("ipc", "cpg"), ("cpg", "reactor"), ("reactor", "ipc"), ("reactor", "cpg"), ("dispatch", "cpg"),
                  ("dispatch", "reactor"), ("ipc", "runtime"), ("runtime", "service"), ("service", "ipc"), ("service", "dispatch"),
                  ("service", "testing"), ("testing", "service"), ("cli", "base"), ("cli", "runtime")]  # fmt: skip
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

    def test_table_of_layers(self):
        heading = "| layer of `engine/` | may include | headers for it alone | what it does |\n|---|---|---|---|\n"
        rows = {"low": "| `low` | | `low.h` | |\n", "mid": "| `mid` | `low` | | |\n", "high": "| `high` | `low`, `mid` | | |\n"}
        links = "cpgring_layer(low fmt::fmt)\ncpgring_layer(mid cpgring_low)\ncpgring_layer(high cpgring_mid)  # and low\n"

        def tree(table=heading + "".join(rows.values()), cmake=links, **more):
            folders = {f"engine/{name}/a.cpp": "" for name in rows}
            return {"docs/architecture.md": f"# x\n\n{table}\nmore\n", "engine/CMakeLists.txt": cmake} | folders | more

        self.clean("layers", tree())
        self.clean("layers", tree(**{"engine/high/b.cpp": '#include "low/a.hpp"\n', "engine/low/b.cpp": "#include <low.h>\n"}))
        self.found("low must not know mid/a.hpp", "layers", tree(**{"engine/low/b.cpp": '#include "mid/a.hpp"\n'}))
        self.found("mid includes <low.h>; only low may", "layers", tree(**{"engine/mid/b.cpp": "#include <low.h>\n"}))
        self.found("no table of layers", "layers", tree(table="nothing"))
        self.found("mid may include low, which is in no row above", "layers", tree(table=heading + rows["mid"] + rows["low"] + rows["high"]))
        self.found("high is no layer", "layers", tree(table=heading + rows["low"] + rows["mid"]))
        self.found("engine/extra does not exist", "layers", tree(table=heading + "".join(rows.values()) + "| `extra` | | | |\n"))
        self.found("mid links nothing; docs/architecture.md lets it include low", "layers", tree(cmake=links.replace("mid cpgring_low", "mid")))
        self.found("low links high, low, mid", "layers", tree(cmake=links.replace("low fmt::fmt", "low cpgring_high")))
        shared = "  add_library(cpgring_high SHARED ${sources} ${cpgring_low_all_objects} ${cpgring_mid_all_objects})\n"
        self.clean("layers", tree(cmake="".join(links.splitlines(True)[:2]) + shared))
        self.found("high links low;", "layers", tree(cmake="".join(links.splitlines(True)[:1]) + shared.replace("mid", "low")))

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
        self.found("is not at an ordering operation", "atomics", pair | {"engine/ipc/writer.cpp": far})
        self.found("occurs only here", "atomics", {"engine/ipc/a.cpp": RELEASE.format("lonely")})
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
                self.found("uses the wall clock", "clocks", {"engine/base/a.cpp": f"f({wall});\n"})

    def test_words(self):
        self.clean("words", {"engine/ipc/a.cpp": "mkdtemp(XXXXXX);\n", "docs/a.md": "todo\n"})
        for word in tidy.BANNED:
            for file in ("engine/ipc/a.cpp", "include/cpgring/a.hpp", "tests/a.py", "scripts/a", "docs/a.md", "bench/CMakeLists.txt"):
                with self.subTest(word=word, file=file):
                    self.found(word, "words", {file: f"x  // {word}: later\n"})

    def test_files_and_headers(self):
        for folder, limit in tidy.FILE_LINES_MAX.items():
            self.clean("sizes", {f"{folder}/ipc/a.hpp": HEADER + "\n" * (limit - 2)})
            self.found(f"{limit + 1} lines; at most {limit}", "sizes", {f"{folder}/ipc/a.hpp": HEADER + "\n" * (limit - 1)})
        self.found("begins with a comment", "sizes", {"engine/ipc/a.hpp": "#pragma once\n"})
        self.found("first comment has 20 lines", "sizes", {"engine/ipc/a.hpp": "// x\n" * 20 + "#pragma once\n"})
        self.found("#pragma once", "sizes", {"include/cpgring/a.hpp": "// Does one thing.\n"})

    def test_long_functions(self):
        for folder in ("engine/ipc", "include/cpgring"):
            self.clean("sizes", {f"{folder}/a.cpp": "int f() {\n" + "  g();\n" * 58 + "}\n"})
            self.found(":2: f has 61 lines", "sizes", {f"{folder}/a.cpp": "\nint f() {\n" + "  g();\n" * 59 + "}\n"})
        self.clean("sizes", {"tests/unit/a.cpp": "int f() {\n" + "  g();\n" * 59 + "}\n"})

    def test_layers_have_limits_too(self):
        most = tidy.LAYER_LINES_MAX["runtime"]
        parts = {f"engine/runtime/a{i}.cpp": "\n" * (most // 10) for i in range(9)}
        self.clean("sizes", {**parts, "engine/runtime/b.cpp": "\n" * (most // 10 - 1)})
        self.found(f"{most} lines in all", "sizes", {**parts, "engine/runtime/b.cpp": "\n" * (most // 10)})

    def test_functions_are_found(self):
        body = "{\n  g();\n}\n"
        for name, before in {
            "f": "static result<void> f(int a = 3) noexcept ",
            "a::f": 'template <class T = std::array<int, 3>>\nauto a::f(T x) -> std::array<int, 3> const ',
            "x": "x(int a) noexcept : a_{a}, b_(a), c_{\n  1,\n} ",
            "~x": "~x() override ",
            "operator==": "friend bool operator==(const x&, const x&) ",
            "operator()": "void operator()(int) const ",
            "f_alias": "const auto f_alias = [](int a) ",
            "h": "[[nodiscard]] __attribute__((noinline)) struct stat h(struct stat* s) ",
        }.items():
            for around in ("{}", "namespace a::b {{\nnamespace {{\n{}}}\n}}\n", "class alignas(64) a final : public b<int()> {{\n public:\n{}}};\n",
                           "template <class R>\nstruct a<R(int)> {{\n{}  int x_{{3}};\n}};\n", 'extern "C" {{\n{}}}\n'):  # fmt: skip
                with self.subTest(name=name, around=around):
                    source = around.format(before + body)
                    found = [(f.name, f.lines) for f in tidy.functions.functions(source)]
                    signature = before.split(">>\n")[-1]
                    self.assertEqual(found, [(name, (signature + body).count("\n"))])

    def test_other_braces_are_not_functions(self):
        for source in ("int table[] = {\n1,\n2,\n};\n", "std::array<int, 2> a{\n1, 2};\n", "enum class e : std::uint8_t {\na,\n};\n",
                       "struct a {\nint x = f({\n1});\nint y_{g(\n1)};\n};\n", "#define F(x) \\\n void f() { \\\n }\n",
                       "/* void f() {\n} */\n// void f() {}\n", "const char* s = R\"x(void f() {\n)\" })x\";\n"):  # fmt: skip
            with self.subTest(source=source):
                self.assertEqual(list(tidy.functions.functions(source)), [])

    def test_braces_in_literals_and_comments_are_ignored(self):
        source = "void f() {\n  g('{', \"{\\\"{\", R\"({)\", 1'000'000);  // {\n#if 0 // {\n#endif\n}\nvoid g() {\n}\n"
        self.assertEqual([(f.name, f.line, f.lines) for f in tidy.functions.functions(source)], [("f", 1, 5), ("g", 6, 2)])

    def test_figures(self):
        code = {"engine/ipc/a.hpp": HEADER + "static_assert(sizeof(x::item) == 56);\n"}
        self.clean("figures", code | {"docs/a.md": "An item has 56 bytes (`item`), a page 4096 bytes (most of them unused).\n"})
        for file in ("docs/a.md", "README.md"):
            self.found("no static_assert(sizeof(item) == 48)", "figures", code | {file: "An item has 48 bytes (`item`).\n"})
            self.found("no static_assert(sizeof(other) == 56)", "figures", code | {file: "56 bytes (`other`)\n"})

    def test_quoted_figures(self):
        readme = "# A\n\n## How fast it is\n\n| case | libcpg | cpgring | |\n|---|---|---|---|\n| x 1000 | 12 ns | 3.5 ns | 3 times |\n\n## Next\n"
        table = "# B\n\n## Latest table\n\n| case | cpgring | libcpg | ratio |\n|---|---|---|---|\n| events | 3.5 ns | {} ns | 3 |\n\n## Next\n"
        self.clean("figures", {"README.md": readme, "docs/benchmarks.md": table.format(12)})
        self.found("'x 1000': no row", "figures", {"README.md": readme, "docs/benchmarks.md": table.format(13)})

    def test_wording(self):
        good = "// Counts events.\n// It is exact.\nint events = 0;  // of all handles\nint told_once = 0;\n" + "x" * 110 + "\n"
        self.clean("wording", {"engine/ipc/a.cpp": good, "tests/unit/a_test.cpp": good})
        for fault, text in {
            "'receipt' is a former name": "int receipt = 0;\n",
            "'settle' is no name for code": "void settle();  // the disks settle\n",
            "say what the code guarantees": "// Both are there. Their time has come.\n",
            "a comment begins with 'It'": "int a = 0;\n// It counts.\n",
            "a comment begins with 'They'": "int a = 0;  ///< They count.\n",
            "a comment begins with 'This is'": "/// This is a count.\n",
            "111 columns": "x" * 111 + "\n",
        }.items():
            for file in ("engine/ipc/a.cpp", "include/a.hpp", "bench/a.cpp", "tests/unit/a_test.cpp", "examples/a.cpp"):
                with self.subTest(fault=fault, file=file):
                    self.found(fault, "wording", {file: text})

    def test_mutants(self):
        patch = "--- a/engine/a.cpp\n+++ b/engine/a.cpp\n@@ -1 +1 @@\n-int a;\n+int b;\n"
        self.clean("mutants", {"engine/a.cpp": "int a;\n", "tests/mutants/a/b.patch": patch})
        self.found("b.patch:1: does not apply", "mutants", {"engine/a.cpp": "int c;\n", "tests/mutants/a/b.patch": patch})

    def test_format(self):
        self.clean("format", {"engine/ipc/a.hpp": HEADER + "\nint f(int* x);\n"})
        self.found("not formatted", "format", {"engine/ipc/a.hpp": HEADER + "\nint f( int *x );\n"})
        self.found("not formatted", "format", {"tests/unit/a_test.cpp": "int   x;\n"})

    def test_an_unknown_rule_is_refused(self):
        with contextlib.redirect_stderr(io.StringIO()):
            self.assertEqual(tidy.main(["beauty"]), 64)


if __name__ == "__main__":
    unittest.main()

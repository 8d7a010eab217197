#!/usr/bin/env python3
"""Uses that the types forbid: each pair has a line that compiles and a similar one that must not. must_not_compile.py COMPILER INCLUDEDIR"""

import subprocess
import sys

PROLOGUE = """#include <cpgring/cpgring.hpp>
#include <cpgring/service.hpp>
#include <functional>
#include <memory>
#include <utility>
#include <vector>
void f(cpgring::engine& engine, const cpgring::message& message, cpgring::reservation& reservation, cpgring::embedded_service& service,
       cpgring::engine_options& engine_options, cpgring::handle& handle) {
  (void)handle, (void)engine, (void)message, (void)reservation, (void)service, (void)engine_options;
"""
PAIRS = [
    ("a message can't be copied", "auto& m = message; (void)m;", "auto m = message; (void)m;"),
    ("an engine is movable, not copyable", "auto e = std::move(engine); (void)e;", "auto e = engine; (void)e;"),
    ("a reservation is movable, not copyable", "auto r = std::move(reservation); (void)r;", "auto r = reservation; (void)r;"),
    ("a service is movable, not copyable", "auto s = std::move(service); (void)s;", "auto s = service; (void)s;"),
    ("a wake-up backend is an enumerator", "engine_options.wakeup_backend = cpgring::wakeup::futex;", "engine_options.wakeup_backend = 1;"),
    ("durations have a unit", "(void)engine.after(std::chrono::seconds(1), {});", "(void)engine.after(1, {});"),
    ("a result must be used", "(void)engine.run();", "engine.run();"),
    ("a payload is one object", "(void)handle.multicast(\"ab\");", "(void)handle.multicast({\"a\", \"b\"});"),
    ("a payload is contiguous bytes", "(void)handle.multicast(std::vector<char>(3));", "(void)handle.multicast(std::vector<int>(3));"),
    ("bytes() is read-only", "auto first = message.bytes()[0]; (void)first;", "message.bytes()[0] = std::byte{1};"),
    ("only mutable_bytes() is writable", "message.mutable_bytes()[0] = std::byte{1};", "message.bytes()[0] = std::byte{2};"),
    ("callbacks are movable, not copyable", "cpgring::callbacks a; auto b = std::move(a); (void)b;", "cpgring::callbacks a; auto b = a; (void)b;"),
    ("a capture may be move-only", "cpgring::callbacks c; c.on_writable = [p = std::make_unique<int>(1)](cpgring::handle&) { (void)p; };",
     "std::function<void(cpgring::handle&)> f = [p = std::make_unique<int>(1)](cpgring::handle&) { (void)p; };"),
    ("handles share callbacks by shared_ptr", "auto c = std::make_shared<cpgring::callbacks>(); (void)engine.open({}, c); (void)engine.open({}, c);",
     "cpgring::callbacks c; (void)engine.open({}, c); (void)engine.open({}, c);"),
    ("the result of create() must be used", "auto e = cpgring::engine::create(); (void)e;", "cpgring::engine::create();"),
]


def compile(compiler, include, body):
    command = [compiler, "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", f"-I{include}", "-x", "c++", "-"]
    return subprocess.run(command, input=f"{PROLOGUE}{body}}}\n", text=True, capture_output=True)


def main(compiler, include):
    allowed = compile(compiler, include, "".join(f"{{ {good} }}\n" for _, good, _ in PAIRS))
    if allowed.returncode:
        print(f"the allowed lines do not compile:\n{allowed.stderr}")
        return 1
    bad = 0
    for rule, _, forbidden in PAIRS:
        if compile(compiler, include, f"{{ {forbidden} }}\n").returncode == 0:
            print(f"{rule}: '{forbidden}' should not compile")
            bad = 1
    return bad


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

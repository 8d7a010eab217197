"""The places of the campaign: the CPG service of each place, and how to make it fail. Every service has the same verbs."""
import glob
import os
import re
import shutil
import signal
import subprocess
import tempfile

PATIENCE_S = 60
LEAKS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lsan.supp")  # known leaks of other libraries, for LeakSanitizer


class Clocks:
    """A wall clock for each node that jumps on command; the steady clock is not affected.
    The files live as long as this object: services use them until they are stopped, which may be after their run."""

    def __init__(self, nodes):
        self.library = next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), None)
        if self.library is None:
            raise RuntimeError("libfaketime is not installed; scripts/deps --test does that")
        self.folder = tempfile.TemporaryDirectory(prefix="campaign-clocks-")
        for node in nodes:
            self.jump(node, 0)
            self.make_shim(node)

    def file(self, node):
        return os.path.join(self.folder.name, f"clock-{node}")

    def jump(self, node, off):
        new = self.file(node) + ".new"
        with open(new, "w", encoding="ascii") as file:
            file.write(f"{off:+d}")
        os.replace(new, self.file(node))

    def environment(self, node):
        return {"LD_PRELOAD": self.library, "FAKETIME_TIMESTAMP_FILE": self.file(node), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def make_shim(self, node):
        os.mkdir(self.file(node) + ".bin")
        settings = " ".join(f"{name}={value}" for name, value in self.environment(node).items())
        with open(os.path.join(self.file(node) + ".bin", "corosync"), "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o755)) as shim:
            shim.write(f'#!/bin/sh\nexec env {settings} {shutil.which("corosync")} "$@"\n')

    def path_of_corosync(self, node):
        """A PATH on which only corosync itself uses this clock: a program that calls exec leaves libfaketime's files in /dev/shm."""
        return self.file(node) + ".bin:" + os.environ["PATH"]


def environment_of(clocks, node):
    return clocks.environment(node) if clocks is not None else {}


def control_command(*words):
    return [os.environ.get("CLUSTER_CONTROL") or os.environ["COROSYNC_CONTROL"], *map(str, words)]


def control(*words, check=True, environment=None):
    return subprocess.run(control_command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=2 * PATIENCE_S, check=check, env=environment)


def lives(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def sweep(shm):
    """Removes what killed processes left behind: rings, black boxes, libfaketime's files. The names contain the process ids."""
    for entry in os.scandir(shm):
        if not entry.name.startswith(("qb-", "faketime_", "sem.faketime_")) or any(map(lives, re.findall(r"[-_](\d+)", entry.name)[:2])):
            continue
        subprocess.run(["rm", "-rf", entry.path], check=False)


class Place:
    def __init__(self):
        self.full = set()  # nodes whose /dev/shm is full

    def fill(self, node):
        self.full.add(node)
        self.run_on(node, "sh", "-c", "cat /dev/zero >/dev/shm/filler 2>/dev/null; true")

    def empty(self, node):
        self.run_on(node, "rm", "-f", "/dev/shm/filler")
        self.full.discard(node)

    def run_on(self, node, *command):
        subprocess.run([*self.prefix(node), *command], check=True, timeout=PATIENCE_S)


class Embedded(Place):
    nodes = (1,)

    def __init__(self, cpgring):
        super().__init__()
        self.cpgring, self.process, self.arguments, self.name = cpgring, None, [], "campaign"
        self.clocks = None
        self.said = ""
        self.errors = tempfile.TemporaryFile("w+", errors="replace")

    def prefix(self, _node):
        return []

    def prepare(self, plan, clocks):
        if self.process is not None and (plan.service != self.arguments or clocks != self.clocks):
            self.term(1)
        self.arguments, self.clocks = plan.service, clocks
        self.start(1)
        sweep("/dev/shm")

    def start(self, _node):
        if self.process is not None and self.process.poll() is None:
            return
        # The name of a killed service is free at once.
        self.process = subprocess.Popen([self.cpgring, "serve", "--name", self.name, *self.arguments], stdin=subprocess.DEVNULL, stderr=self.errors,
                                        stdout=subprocess.PIPE, text=True, env={**os.environ, "LSAN_OPTIONS": f"suppressions={LEAKS}:print_suppressions=0", **environment_of(self.clocks, 1)})
        line = self.process.stdout.readline()
        if not line.startswith("serving"):
            raise RuntimeError(f"cpgring serve said {line!r}")

    def start_unattended(self, node):
        self.start(node)

    def end(self, number):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
        if self.process is not None:
            self.said = self.process.communicate(timeout=PATIENCE_S)[0]
            if number == signal.SIGTERM and self.process.returncode != 0:
                self.errors.seek(0)
                raise RuntimeError(f"cpgring serve ended with {self.process.returncode}: {self.said}\n{self.errors.read()[-8000:]}")
            self.process = None

    def kill(self, _node):
        self.end(signal.SIGKILL)

    def term(self, _node):
        self.end(signal.SIGTERM)

    def stop(self, _node):
        if self.process is not None:
            self.process.send_signal(signal.SIGSTOP)

    def cont(self, _node):
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)

    def heal(self):
        self.cont(1)
        if "--inject" in self.arguments:  # a service without faults takes its place
            self.term(1)
            at = self.arguments.index("--inject")
            self.arguments = self.arguments[:at] + self.arguments[at + 4:]  # without --inject and --seed and their values
        self.start(1)


class Corosync(Place):
    """One node, or the nodes of a cluster."""
    name = "cpg"

    def __init__(self):
        super().__init__()
        self.cluster = "CLUSTER_CONTROL" in os.environ
        self.nodes = tuple(range(1, int(os.environ["CLUSTER_NODES"]) + 1)) if self.cluster else (1,)
        self.splits, self.cuts, self.starting = set(), set(), []  # starting: (node, process)
        self.clocks = None

    def words(self, verb, node):
        return [verb, node] if self.cluster else [verb]

    def verb(self, verb, node, check=True):
        return control(*self.words(verb, node), check=check).stdout.strip()

    def prefix(self, node):
        return [os.environ["CLUSTER_CONTROL"], "exec", str(node)] if self.cluster else []

    def prepare(self, _plan, clocks):
        self.heal()
        if clocks != self.clocks:
            for node in self.nodes:
                self.term(node)
            self.clocks = clocks
            self.heal()
        for node in self.nodes:
            sweep(f"/proc/{self.verb('pid', node)}/root/dev/shm")

    def start(self, node):
        if node in self.full:
            self.start_unattended(node)
        elif self.may_start(node):
            control(*self.words("start", node), environment=self.environment_to_start(node))

    def start_unattended(self, node):
        """Does not wait for the service to answer, which it may not do before the fault ends."""
        if self.may_start(node):
            process = subprocess.Popen(control_command(*self.words("start", node)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL, env=self.environment_to_start(node))
            self.starting.append((node, process))

    def environment_to_start(self, node):
        return {**os.environ, "PATH": self.clocks.path_of_corosync(node)} if self.clocks is not None else None

    def may_start(self, node):
        return not any(which == node and process.poll() is None for which, process in self.starting) and not lives(self.verb("pid", node))

    def kill(self, node):
        self.verb("kill", node)

    def term(self, node):
        self.verb("term", node)

    def stop(self, node):
        self.verb("stop", node, check=False)

    def cont(self, node):
        self.verb("cont", node, check=False)

    def cut(self, node):
        self.cuts.add(node)
        self.verb("cut", node)

    def split(self, node, other):
        self.splits.add((node, other))
        control("split", node, other)

    def unsplit(self, node, other):
        self.splits.discard((node, other))
        control("unsplit", node, other)
        for a, b in self.splits:  # a port has one mark, so the marks of other paths were removed too
            control("split", a, b)

    def heal(self, node=None):
        if node is not None:
            self.cuts.discard(node)
            self.verb("heal", node)
            return
        for a, b in sorted(self.splits):
            self.unsplit(a, b)
        for cut in sorted(self.cuts):
            self.heal(cut)
        for one in self.nodes:
            self.cont(one)
        for _, process in self.starting:
            process.wait(timeout=2 * PATIENCE_S)
        self.starting = []
        for one in self.nodes:
            self.start(one)
        if self.cluster:
            control("wait", len(self.nodes))

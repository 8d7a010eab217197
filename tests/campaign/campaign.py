#!/usr/bin/env python3
"""The fault campaign: members of a group multicast while faults occur at random, and a judge compares what they delivered.

    campaign.py --build DIR --where embedded|one-node|three-nodes --seeds FROM:COUNT [--seconds-per-run S] [--for MINUTES] [--jobs N] [-v]

The plan of a run depends only on its seed; `--seeds N:1 -v` prints it and repeats the run. After the faults everything is healed, every
member must see all others and deliver messages again, and then the histories are compared. Prints a line for each run and ends with
'N runs, N violations, N hangs, T s'. Exit code 0; 1 if there was a violation or a hang; 77 if the campaign can't run here. With --long a run
is one cluster with the same members and a fault every few seconds, judged at its end. With --for, seeds continue from FROM until the time is
over. Needs root, for its own namespaces.
"""
import argparse
import collections
import glob
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import places
from plan import Plan

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPTS = os.path.join(HERE, "..", "..", "scripts")
SHM = "200m"
# No wait is longer; reaching this limit is a hang. The longest observed pause of stock corosync is 10 s; with a sanitizer, large messages
# and a busy machine a member needed more than 30 s.
PATIENCE_S = int(os.environ.get("CAMPAIGN_PATIENCE", 180))
KEPT_LINES = 200
# Begins the line with which a job reports its totals to the parent.
TOTAL = "#total "


class Member:
    """A member process and its output."""

    def __init__(self, run, plan, number):
        self.run, self.plan, self.number = run, plan, number
        self.groups = list(plan.groups)
        self.pid, self.killed, self.ended = None, False, False
        self.lines, self.said = queue.Queue(), collections.deque(maxlen=KEPT_LINES)
        self.violations, self.hangs, self.done, self.waited = [], [], {}, set()
        options = run.plan
        clock = [f"{name}={value}" for name, value in places.environment_of(run.clocks, plan.node).items()]
        command = run.place.prefix(plan.node) + plan.prefix + ["env", *clock, run.o.member, "--number", str(number), "--node", str(plan.node), "--folder", run.folder,
                   "--service", run.place.name, "--seed", str(options.seed * 1000 + number), "--ring-bytes", str(options.ring_bytes),
                   "--hang-after", str(run.hang_after), *[w for g in plan.groups for w in ("--group", g)], *plan.arguments]
        if options.plant and number == 1:
            command += ["--plant", options.plant]
        if "crowd" in options.names:
            command += ["--crowd"]
        self.errors = open(os.path.join(run.folder, f"m{number}.stderr"), "wb")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True, start_new_session=True)
        threading.Thread(target=self.read, daemon=True).start()
        if not self.hear("pid"):
            self.violations.append("did not start")

    def read(self):
        for line in self.process.stdout:
            line = line.rstrip("\n")
            self.said.append(line)
            word, _, rest = line.partition(" ")
            if word == "violation":
                self.violations.append(rest)
            elif word == "hang":
                self.hangs.append(rest)
            elif word == "done":
                self.done = {k: int(v) for k, v in (pair.split("=") for pair in rest.split())}
            elif word == "pid":
                self.pid = int(rest)
            self.lines.put(word)
        self.lines.put(None)

    def tell(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except OSError:
            pass  # end() handles a member that has ended

    def hear(self, word, seconds=PATIENCE_S):
        """Whether the member prints a line with that first word in time."""
        end = time.monotonic() + seconds
        while word not in self.waited:
            try:
                said = self.lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                return False
            if said is None:
                return False
            self.waited.add(said)
        return True

    def signal(self, number):
        if self.pid is not None and not self.ended:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                pass

    def kill(self):
        self.killed = True
        self.signal(signal.SIGKILL)
        self.process.wait(timeout=PATIENCE_S)
        self.ended = True

    def end(self):
        """Waits for the end of the process. Too long is a hang; a bad exit code is a violation."""
        try:
            self.process.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.hangs.append("does not end")
            self.kill()
            self.killed = False
        self.ended = True
        self.errors.close()
        if not self.killed and self.process.returncode != 0 and not self.violations and not self.hangs:
            with open(self.errors.name, encoding="utf-8", errors="replace") as errors:
                self.violations.append(f"ended with {self.process.returncode}: {errors.read()[-3000:]}")


class Run:
    def __init__(self, o, place, plan):
        self.o, self.place, self.plan = o, place, plan
        self.folder = tempfile.mkdtemp(prefix=f"campaign-{plan.where}-{plan.seed}-")
        self.members, self.all, self.problems, self.hangs = [], [], [], []
        self.clocks = places.Clocks(place.nodes) if plan.clocks_jump else None
        self.hang_after = 3 * PATIENCE_S if plan.long else PATIENCE_S / 2 + plan.seconds
        self.began = time.monotonic()

    def launch(self, index):
        member = Member(self, self.plan.members[index], len(self.all) + 1)
        self.all.append(member)
        return member

    def do(self, verb, arguments):
        if verb == "replace":
            old = self.members[arguments[0]]
            old.kill()
            self.members[arguments[0]] = self.launch(arguments[0])
        elif verb == "pause":
            self.members[arguments[0]].signal(signal.SIGSTOP)
        elif verb == "resume":
            self.members[arguments[0]].signal(signal.SIGCONT)
        elif verb == "open":
            member = self.members[arguments[0]]
            member.groups.append("all")
            member.tell("open all")
        elif verb == "jump":
            self.clocks.jump(*arguments)
        else:
            getattr(self.place, verb)(*arguments)

    def perform(self):
        self.members = []
        for index in range(len(self.plan.members)):
            self.members.append(self.launch(index))
        if not self.plan.from_the_start:
            for member in self.members:
                if not member.hear("joined"):
                    return self.stuck(member, "does not join")
        began = time.monotonic()
        for at, words, verb, arguments in self.plan.actions:
            time.sleep(max(0.0, began + at - time.monotonic()))
            if self.o.v:
                print(f"  {time.monotonic() - began:6.2f} s  {words}", flush=True)
            self.do(verb, arguments)
        time.sleep(max(0.0, began + self.plan.seconds - time.monotonic()))
        return self.finish()

    def finish(self):
        for node in self.place.nodes:
            self.place.empty(node)
        for member in self.members:
            member.signal(signal.SIGCONT)
        self.place.heal()
        expected = collections.Counter(g for m in self.members for g in m.groups)
        for member in self.members:
            member.tell("finish " + " ".join(f"{g}={n}" for g, n in expected.items()))
        end = time.monotonic() + PATIENCE_S
        for member in self.members:
            if not member.hear("finished", max(0.0, end - time.monotonic())):
                return self.stuck(member, "does not see all others, or delivers nothing")
        return True

    def stuck(self, member, text):
        self.hangs.append(f"member {member.number} {text}")
        for one in self.members:
            one.tell("dump")
        time.sleep(1)
        return False

    def stop(self):
        for member in self.members:
            member.tell("stop")
        for member in self.all:
            member.end()

    def judge(self):
        files = sorted(glob.glob(os.path.join(self.folder, "*.history")))
        found = subprocess.run([self.o.judge, *files], stdout=subprocess.PIPE, text=True, check=False)
        lines = found.stdout.splitlines()
        if found.returncode > 1 or not lines or not lines[-1].startswith("messages="):
            self.problems.append(f"the judge ended with {found.returncode}: {found.stdout[-2000:]}")
            return {"messages": 0, "views": 0, "steps": 0}
        self.problems += lines[:-1]
        return {k: int(v) for k, v in (pair.split("=") for pair in lines[-1].split())}

    def run(self):
        self.place.prepare(self.plan, self.clocks)
        if self.o.v:
            print(self.plan.words(), flush=True)
        try:
            self.perform()
            self.stop()
        except Exception as error:  # a failure of this program: reported and counted; the next run follows
            self.problems.append(f"the run itself: {type(error).__name__}: {error}")
            if isinstance(error, subprocess.CalledProcessError):
                self.problems.append(f"{error.stderr}")
            for member in self.all:
                member.kill()
            for node in self.place.nodes:
                self.place.empty(node)
        for member in self.all:
            self.problems += [f"member {member.number}: {v}" for v in member.violations]
            self.hangs += [f"member {member.number}: {h}" for h in member.hangs]
        figures = self.judge()
        if figures["messages"] == 0 and not self.hangs:
            self.problems.append("nothing was delivered, so nothing was checked")
        return figures

    def report(self, figures):
        good = not self.problems and not self.hangs
        seconds = time.monotonic() - self.began
        print(f"{self.plan.where} seed {self.plan.seed}: {'+'.join(self.plan.names) or f'{len(self.plan.actions)} steps of faults'}; {figures['messages']} messages, "
              f"{figures['views']} views, {figures['steps']} steps compared; {'good' if good else 'BAD'}; {seconds:.1f} s", flush=True)
        if good or self.plan.plant:
            shutil.rmtree(self.folder)
        if good:
            return
        lines = [self.plan.words()] if not self.o.v else []
        lines += self.problems[:40] + [f"hang: {h}" for h in self.hangs[:40]]
        for member in self.all:
            lines += [f"  member {member.number} said: {line}" for line in list(member.said)[-12:]]
        lines += [f"histories: {self.folder}",
                  f"again: {os.path.basename(sys.argv[0])} --where {self.plan.where} --seeds {self.plan.seed}:1 --seconds-per-run {self.plan.seconds:g} -v"]
        print("\n".join(lines), flush=True)


def runs_of_one_job(o):
    place = places.Embedded(o.cpgring) if o.where == "embedded" else places.Corosync()
    first, count = map(int, o.seeds.split(":"))
    total = collections.Counter()
    injects = o.where == "embedded" and not o.plant and "--inject" in subprocess.run([o.cpgring, "serve", "--help"], stdout=subprocess.PIPE, text=True,
                                                                                      check=True).stdout
    # A sanitizer's runtime must be loaded first, so libfaketime can't be.
    linked = subprocess.run(["ldd", o.member], stdout=subprocess.PIPE, text=True, check=True).stdout
    clocks = "libasan" not in linked and "libtsan" not in linked
    if not clocks and o.job == 0:
        print("wall clocks do not jump in a build with a sanitizer", flush=True)
    until = time.monotonic() + 60 * o.minutes if o.minutes else None
    seed = first + o.job
    while (time.monotonic() < until) if until else seed < first + count:
        one = Run(o, place, Plan(o.where, seed, o.seconds_per_run, o.plant, o.long, injects, clocks))
        figures = one.run()
        one.report(figures)
        counted = ("losses", "leases", "overflows", "copied_out", "confirmed", "unsent", "unknown")
        total.update(runs=1, violations=int(bool(one.problems)), hangs=int(bool(one.hangs)), messages=figures["messages"], views=figures["views"],
                     steps=figures["steps"], **{k: sum(m.done.get(k, 0) for m in one.all) for k in counted})
        seed += o.jobs
    if o.where == "embedded":
        place.term(1)
    print(TOTAL + json.dumps(total), flush=True)


def inside_command(o, job):
    inner = [sys.executable, os.path.abspath(__file__), "--inside", "--job", str(job), *sys.argv[1:]]
    if o.where == "one-node":
        return [os.path.join(SCRIPTS, "with-corosync"), "--shm", SHM, "--", *inner]
    if o.where == "three-nodes":
        return [os.path.join(SCRIPTS, "with-cluster"), "--nodes", "3", "--shm", SHM, "--", *inner]
    mount = f'mount -t tmpfs -o mode=1777,size={SHM} shm /dev/shm && exec "$@"'
    return ["setpriv", "--pdeathsig", "KILL", "--", "unshare", "--net", "--mount", "--propagation", "private", "--pid", "--mount-proc", "--fork", "--kill-child=KILL", "--", "sh", "-c",
            mount, "sh", *inner]


def outside(o):
    if os.geteuid() != 0:
        print("campaign.py: needs root, for namespaces of its own", file=sys.stderr)
        return 77
    began = time.monotonic()
    lines = queue.Queue()
    processes = [subprocess.Popen(inside_command(o, job), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) for job in range(o.jobs)]

    def pump(process):
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    for process in processes:
        threading.Thread(target=pump, args=(process,), daemon=True).start()
    total, reports, open_pipes = collections.Counter(), 0, len(processes)
    while open_pipes:
        line = lines.get()
        if line is None:
            open_pipes -= 1
        elif line.startswith(TOTAL):
            total.update(json.loads(line[len(TOTAL):]))
            reports += 1
        else:
            print(line, end="", flush=True)
    codes = [process.wait() for process in processes]
    if 77 in codes:
        return 77
    print("{messages} messages, {views} views, {steps} steps compared; {losses} connections lost, {leases} leases, {copied_out} copied out, "
          "{overflows} completion queue overflows; of the confirmed multicasts {confirmed} were delivered, {unsent} not sent, {unknown} are unknown"
          .format_map(collections.defaultdict(int, total)))
    print(f"{total['runs']} runs, {total['violations']} violations, {total['hangs']} hangs, {time.monotonic() - began:.0f} s", flush=True)
    return 0 if reports == len(processes) and total["runs"] and not total["violations"] and not total["hangs"] else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, help="the build folder of campaign-member, campaign-judge and cpgring")
    parser.add_argument("--where", choices=["embedded", "one-node", "three-nodes"], default="embedded")
    parser.add_argument("--seeds", default="1:20", help="FROM:COUNT")
    parser.add_argument("--seconds-per-run", type=float, default=None)
    parser.add_argument("--for", dest="minutes", type=float, default=0)
    parser.add_argument("--long", action="store_true", help="one run with the same members and continuous faults: --seconds-per-run 1800")
    parser.add_argument("--jobs", type=int, default=1, help="number of concurrent jobs, each in its own namespaces")
    parser.add_argument("--plant", choices=["drop", "double", "swap"], help="the first member corrupts its history, which the judge must find")
    parser.add_argument("--cpgring", help="the cpgring that serves, instead of the one in --build")
    parser.add_argument("-v", action="store_true", help="print plans, and faults when they occur")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--job", type=int, default=0, help=argparse.SUPPRESS)
    o = parser.parse_args()
    o.seconds_per_run = o.seconds_per_run or {"embedded": 1.2, "one-node": 2.0, "three-nodes": 8.0}[o.where]
    o.member, o.judge, cpgring = (os.path.join(os.path.abspath(o.build), p) for p in ("tests/campaign-member", "tests/campaign-judge", "cpgring"))
    o.cpgring = os.path.abspath(o.cpgring) if o.cpgring else cpgring
    if o.inside:
        runs_of_one_job(o)
        return 0
    return outside(o)


if __name__ == "__main__":
    sys.exit(main())

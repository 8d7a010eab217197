"""The plan of one run of the campaign: members, and faults with their times. It depends only on the place and the seed."""
import random

HANDLES_OF_A_LARGE_MEMBER = 24
SHORT = ["kill", "kill", "term", "stop", "away", "replace", "pause", "open", "shm", "none"]
FAULTS = {
    "embedded": SHORT,
    "one-node": SHORT,
    "three-nodes": ["kill", "away", "term", "stop", "cut", "cut", "split", "replace", "pause", "shm"],
}
# Faults for `cpgring serve --inject`, frequent enough to occur in a short run. They end with the other faults, before the final check.
INJECTED = {
    "torn-frame": [0.0003, 0.002],
    "lying-frame": [0.0003, 0.002],
    "late-doorbell": ["0.02:20", "0.5:5"],
    "try-again": ["0.1:20", "0.02:100"],
    "stall": ["0.0005:50", "0.0001:300"],
    "crowd": ["0.002:40", "0.0005:400"],
    "hang-up": [0.0001, 0.001],
}
# Offsets of the wall clock after a jump, in seconds: an hour, before 1990, beyond 2038, as with an empty clock battery or a bad time server.
CLOCKS = [-3600, 3600, -86400 * 365 * 40, 86400 * 365 * 30, -1, 0]
# No fault ends a member, so that each history covers the whole run.
LONG = ["kill", "away", "term", "stop", "cut", "cut", "split", "pause"]


class Member:
    def __init__(self, node, groups, arguments, prefix=(), words=""):
        self.node, self.groups, self.arguments, self.prefix, self.words = node, groups, arguments, list(prefix), words

    def __str__(self):
        return f"{','.join(self.groups)} on node {self.node}{self.words} {' '.join(self.prefix + self.arguments)}"


class Plan:
    def __init__(self, where, seed, seconds, plant=None, long=False, injects=False, clocks=True):
        self.where, self.seed, self.seconds = where, seed, seconds
        self.random = r = random.Random(f"{where}/{seed}")
        self.nodes = 3 if where == "three-nodes" else 1
        self.long = long
        # Not on several nodes: corosync splits a large message into packets, and a member of a node whose daemon starts in the middle of
        # them can miss a message that others deliver. Stock libcpg shows the same (docs/facts.md, section 5).
        self.large = r.random() < 0.2 and not long and self.nodes == 1
        self.ring_bytes = 1 << 20 if self.large else 65536
        self.service = []
        self.from_the_start = r.random() < 0.2
        self.names = []
        self.actions = []  # (seconds, words, verb, arguments)
        self.plant = plant
        count = r.randint(2, 4) if self.nodes == 1 else 3 + r.randint(0, 2)
        self.members = [self.member(i % self.nodes + 1) for i in range(count)]
        if self.nodes == 1 and r.random() < 0.25:
            self.members[-1] = self.odd_member()
        if where == "embedded":
            if r.random() < 0.2:
                self.service += ["--member-backlog", str(r.choice([0, 65536, 1 << 20]))]
            if r.random() < 0.1:
                self.service += ["--slow-member", "block"]
            if injects and r.random() < 0.4:
                kinds = r.sample(sorted(INJECTED), r.choice([1, 1, 2]))
                self.service += ["--inject", ",".join(f"{kind}={r.choice(INJECTED[kind])}" for kind in kinds), "--seed", str(seed)]
                self.names += kinds
        if long:
            self.go_on_breaking()
        elif plant:  # the first member plants its fault; there is no other
            self.members = [Member(1, ["all"], ["--rate", "200", "--in-flight", "32"]) for _ in range(3)]
        else:
            for _ in range(r.choice([1, 1, 2, 2, 3])):
                self.add(r.choice(FAULTS[where]))
        # Drawn last, so that clock jumps do not change the rest of a seed's plan.
        self.clocks_jump = not plant and (long or r.random() < 0.12) and clocks
        if self.clocks_jump:
            self.let_clocks_jump()
        self.actions.sort(key=lambda a: a[0])

    def let_clocks_jump(self):
        r = self.random
        for _ in range(int(self.seconds / 20) if self.long else r.randint(2, 5)):
            at = r.uniform(0, self.seconds * 0.9)
            node, off = r.randint(1, self.nodes), r.choice(CLOCKS)
            self.actions.append((at, f"node {node}: the wall clock jumps to an offset of {off} s", "jump", (node, off)))
        if not self.long:
            self.names.append("clock")

    def go_on_breaking(self):
        """Keeps the same members and adds a fault every few seconds; faults may overlap."""
        for member in self.members:
            member.groups = ["all"]
            for option, value in (("--rate", "200"), ("--in-flight", "64"), ("--idle", "adaptive")):
                member.arguments[member.arguments.index(option) + 1] = value
        at = 5.0
        while at < self.seconds - 20:
            self.add(self.random.choice(LONG), at)
            at += self.random.uniform(3, 20)

    def member(self, node):
        r = self.random
        a = ["--wakeup", r.choice(["futex", "futex", "epoll"]), "--idle", r.choice(["block", "adaptive", "adaptive", "yield"])]
        workers = r.choice([0, 0, 1, 2])
        reactors = r.choice([1, 1, 1, 2])
        if workers:
            a += ["--workers", str(workers), "--order", r.choice(["by_handle", "by_sender", "unordered"]), "--worker-queue", r.choice(["64", "4096"])]
            a += ["--overload", r.choice(["hold", "copy_out"])]
        if reactors > 1:
            a += ["--reactors", str(reactors)]
        elif r.random() < 0.4:
            a += ["--drive"]
        if r.random() < 0.3:
            a += ["--restless", str(r.choice([20, 100, 400])), "--away", str(r.choice([1, 20, 100]))]
        if r.random() < 0.3:
            a += ["--slow", str(r.choice([2000, 20000, 100000]))]
        if r.random() < 0.3:
            a += ["--queue-bytes", "100000"]
        if r.random() < 0.5:
            a += ["--leave"]
        groups = ["all"] + r.choice([[], [], ["few"], ["all"], ["few", "all"]])
        rate = r.choice([50, 100, 200]) if self.nodes == 3 or self.large else r.choice([50, 100, 200, 400])
        a += ["--rate", str(rate), "--in-flight", str(r.choice([4, 32, 128]))]
        prefix, words = [], ""
        if r.random() < 0.1:
            # A steady clock with a fixed offset. It never jumps; wall clocks do, see let_clocks_jump.
            offset = str(r.choice([1 << 20, 40000000]))
            prefix, words = ["unshare", "--time", "--monotonic", offset, "--boottime", offset, "--"], ", another clock"
        return Member(node, groups, a, prefix, words)

    def odd_member(self):
        r = self.random
        if r.random() < 0.5:
            self.names.append("descriptors")
            return Member(1, ["all"] * 6, ["--descriptors", str(r.randint(3, 12)), "--rate", "30"], (), ", out of descriptors")
        self.names.append("large")
        return Member(1, ["many"] * HANDLES_OF_A_LARGE_MEMBER, ["--handles-expected", "1", "--rate", "4"], (), ", more handles than expected")

    def add(self, kind, at=None):
        r = self.random
        if at is None:
            at = self.seconds * r.uniform(0, 0.7)
        node = r.randint(1, self.nodes)
        member = r.randrange(len(self.members))
        long = self.nodes == 3 or self.seconds > 20
        lasts = r.uniform(1, 8) if long else self.seconds * r.uniform(0.02, 0.4)
        if not self.long:
            self.names.append(kind)

        def do(delay, words, verb, *arguments):
            self.actions.append((at + delay, words, verb, arguments))

        if kind == "kill":
            do(0, f"node {node}: service killed", "kill", node)
            do(0, f"node {node}: service started again at once", "start", node)
        elif kind == "away":
            do(0, f"node {node}: service killed", "kill", node)
            do(lasts, f"node {node}: service started again", "start", node)
        elif kind == "term":
            do(0, f"node {node}: service terminated", "term", node)
            do(r.choice([0, lasts]), f"node {node}: service started again", "start", node)
        elif kind == "stop":
            do(0, f"node {node}: service stopped", "stop", node)
            do(lasts, f"node {node}: service continued", "cont", node)
        elif kind == "cut":
            do(0, f"node {node}: cut off", "cut", node)
            do(lasts, f"node {node}: healed", "heal", node)
        elif kind == "split":
            other = node % 3 + 1
            do(0, f"nodes {node} and {other}: path cut", "split", node, other)
            do(lasts, f"nodes {node} and {other}: path healed", "unsplit", node, other)
        elif kind == "replace":
            do(0, f"member {member}: killed and replaced", "replace", member)
        elif kind == "pause":
            do(0, f"member {member}: stopped", "pause", member)
            do(lasts, f"member {member}: continued", "resume", member)
        elif kind == "open":
            for i in range(r.randint(1, 4)):
                do(i * 0.01, f"member {member}: one more handle", "open", member)
        elif kind == "shm":
            do(0, f"node {node}: /dev/shm full", "fill", node)
            here = [i for i, m in enumerate(self.members) if m.node == node]
            do(0.01, f"member {here[0]}: one more handle", "open", here[0])
            if r.random() < 0.5:
                do(0.02, f"node {node}: service terminated", "term", node)
                do(0.03, f"node {node}: service started again", "start_unattended", node)
            do(lasts, f"node {node}: /dev/shm free again", "empty", node)

    def words(self):
        lines = [f"{self.where} seed {self.seed}: messages up to {self.ring_bytes - 1024} bytes" +
                 (f", service {' '.join(self.service)}" if self.service else "") + (", faults from the start" if self.from_the_start else "")]
        lines += [f"  member {i}: {m}" for i, m in enumerate(self.members)]
        lines += [f"  {at:6.2f} s  {words}" for at, words, _, _ in self.actions]
        return "\n".join(lines)

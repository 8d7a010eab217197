"""gdb commands for a process, or the core of one, that uses cpgring and has its debug information (-g):

    gdb -x scripts/gdb/cpgring.py -p PID        (or: gdb -x scripts/gdb/cpgring.py PROGRAM CORE)
    (gdb) cpgring handles                       each handle: id, state, phase of its link, group
    (gdb) cpgring rings                         the rings of each connection: size, positions, what waits
    (gdb) cpgring queues                        the queues of each worker: capacity, fill
    (gdb) cpgring leases                        the leases of each handle

Each command takes an expression that is an engine or a shard. Without one it looks for shards in the frames of all
threads, and then in the memory of the process. Nothing is called and nothing is written in the process. A value that
can't be read is printed as <unavailable>: it is optimised out, or its page is not in the core. The rings of a
connection are in a core only if its process had bit 3 in /proc/PID/coredump_filter.
"""

import re

import gdb

UNAVAILABLE = "<unavailable>"
NAMESPACE = "cpgring::"
FAILURES = (gdb.error, RuntimeError, ValueError, TypeError, KeyError, IndexError, OverflowError)
# A list in a process that was stopped anywhere, or is damaged, may have no end.
ITEMS_MAX = 1000000


# --- values ----------------------------------------------------------------------------------------------------------


def attempt(read, otherwise=UNAVAILABLE):
    """What read() returns, or `otherwise` if that value can't be read.

    Where read() returns a gdb.Value, pass None: gdb can't compare a value with a Python string.
    """
    try:
        value = read()
        if isinstance(value, gdb.Value):
            if value.is_optimized_out:
                return otherwise
            value.fetch_lazy()
        return value
    except FAILURES:
        return otherwise


def number(read):
    """An integer, or UNAVAILABLE."""
    return attempt(lambda: int(read()))


def word(read):
    """The name of an enumerator without its scope, or UNAVAILABLE."""
    return attempt(lambda: str(read()).rsplit("::", 1)[-1])


def difference(a, b):
    return UNAVAILABLE if UNAVAILABLE in (a, b) else a - b


def first_as(value, kind):
    """The object of type `kind` at the address of `value`: what an atomic, a unique_ptr or an optional begins with."""
    return value.address.cast(kind.pointer()).dereference()


def atomic(value):
    return first_as(value, value.type.strip_typedefs().template_argument(0))


def unique_target(value):
    """What a std::unique_ptr owns; None: nothing."""
    kind = value.type.strip_typedefs().template_argument(0)
    target = first_as(value, kind.pointer())
    return target.dereference() if int(target) != 0 else None


def shared_target(value):
    target = value["_M_ptr"]
    return target.dereference() if int(target) != 0 else None


def optional_target(value):
    payload = value["_M_payload"]
    return payload["_M_payload"]["_M_value"] if bool(payload["_M_engaged"]) else None


def vector_items(value):
    start, end = value["_M_impl"]["_M_start"], value["_M_impl"]["_M_finish"]
    for i in range(min(int(end - start), ITEMS_MAX)):
        yield start[i]


def hash_items(value):
    """The pairs of a std::unordered_map. Each node begins with the pointer to the next; its pair follows."""
    table = value["_M_h"]
    kind = table.type.strip_typedefs().template_argument(1).pointer()
    pointer = gdb.lookup_type("char").pointer()
    node = table["_M_before_begin"]["_M_nxt"]
    for _ in range(min(int(table["_M_element_count"]), ITEMS_MAX)):
        if int(node) == 0:
            return
        yield (node.cast(pointer) + pointer.sizeof).cast(kind).dereference()
        node = node["_M_nxt"]


def string_text(of):
    """A std::string that may hold any bytes, as printable text."""

    def read():
        value = of()
        length = min(int(value["_M_string_length"]), 4096)
        data = bytes(gdb.selected_inferior().read_memory(int(value["_M_dataplus"]["_M_p"]), length)) if length else b""
        return "".join(chr(b) if 32 <= b < 127 and b != 92 else f"\\x{b:02x}" for b in data)

    return attempt(read)


# --- finding the shards ----------------------------------------------------------------------------------------------


def type_named(name):
    try:
        return gdb.lookup_type(NAMESPACE + name)
    except gdb.error:
        raise gdb.GdbError(
            f"cpgring: no debug information for {NAMESPACE}{name}: build program and library with -g "
            "(cmake --preset debug; the release build has only line numbers), and load the program with 'file'"
        ) from None


def shards_of_engine(engine):
    return [shared_target(one) for one in vector_items(engine["shards_"])]


def shards_of_value(value):
    """The shards that an expression means: engine, engine_impl, shard, or a pointer to one of these."""
    kind = value.type.strip_typedefs()
    if kind.code in (gdb.TYPE_CODE_PTR, gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF):
        value = value.dereference() if kind.code == gdb.TYPE_CODE_PTR else value.referenced_value()
        kind = value.type.strip_typedefs()
    name = (kind.unqualified().name or "").removeprefix(NAMESPACE)
    if name == "engine":
        impl = unique_target(value["impl_"])
        return shards_of_engine(impl) if impl is not None else []
    if name == "runtime::engine_impl":
        return shards_of_engine(value)
    if name == "runtime::shard":
        return [value]
    raise gdb.GdbError(f"cpgring: the expression is a {kind}; name a cpgring::engine or a cpgring::runtime::shard")


def knows_itself(shard):
    """A shard that std::make_shared made, and that was not destroyed, refers to itself."""

    def read():
        weak = shard["_M_weak_this"]
        uses = int(weak["_M_refcount"]["_M_pi"].dereference()["_M_use_count"])
        return int(weak["_M_ptr"]) == int(shard.address) and uses > 0

    return attempt(read, False)


def shards_in_frames():
    found = []
    before, before_frame = gdb.selected_thread(), attempt(gdb.selected_frame, None)
    try:
        for thread in gdb.selected_inferior().threads():
            thread.switch()
            frame = attempt(gdb.newest_frame, None)
            for _ in range(200):
                if frame is None:
                    break
                this = attempt(lambda: frame.read_var("this"), None)
                if this is not None:
                    name = attempt(lambda: str(this.type.target().unqualified()), "")
                    if name in (NAMESPACE + "runtime::shard", NAMESPACE + "runtime::engine_impl"):
                        found += attempt(lambda: shards_of_value(this), [])
                frame = attempt(frame.older, None)
    finally:
        if before is not None:
            before.switch()
        if before_frame is not None and before_frame.is_valid():
            before_frame.select()
    return found


def memory_ranges():
    """The memory that may hold a shard: writable mappings of a process; all sections of a core."""
    pid = gdb.selected_inferior().pid
    try:
        if "core" in gdb.execute("info target", to_string=True).split("\n", 3)[1].lower():
            raise OSError
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as maps:
            for line in maps:
                where, rights, _ = line.split(maxsplit=2)
                if rights.startswith("rw") and "/dev/" not in line:
                    begin, end = (int(address, 16) for address in where.split("-"))
                    yield begin, end
    except (OSError, IndexError):
        for begin, end in re.findall(r"(0x[0-9a-f]+) - (0x[0-9a-f]+) is load", gdb.execute("info files", to_string=True)):
            yield int(begin, 16), int(end, 16)


def shards_in_memory():
    """Shards by the pointer to their virtual functions, which each of them begins with."""
    kind = type_named("runtime::shard")
    try:
        table = int(gdb.parse_and_eval(f"(unsigned long)&'vtable for {NAMESPACE}runtime::shard'")) + 16
    except gdb.error:
        return []
    inferior, found = gdb.selected_inferior(), []
    for begin, end in memory_ranges():
        at = begin
        while at < end:
            at = attempt(lambda: inferior.search_memory(at, end - at, table.to_bytes(8, "little")), None)
            if at is None:
                break
            found.append(attempt(lambda: gdb.Value(at).cast(kind.pointer()).dereference(), None))
            at += 8
    return found


def shards_at(argument):
    """The shards that the argument means, or all that are found."""
    kind = type_named("runtime::shard")
    if argument.strip():
        try:
            found = shards_of_value(gdb.parse_and_eval(argument))
        except FAILURES as why:
            raise gdb.GdbError(f"cpgring: no engine in '{argument}': {why}") from None
    else:
        if not gdb.selected_inferior().threads():
            raise gdb.GdbError("cpgring: no process and no core; begin with 'run', 'attach PID' or 'core FILE'")
        # A frame may be one of a constructor; only a shard that is complete knows itself.
        candidates = shards_in_frames() + shards_in_memory()
        found = [one for one in candidates if one is not None and knows_itself(one)]
    unique = {int(one.address): one.address.cast(kind.pointer()).dereference() for one in found if one is not None}
    if not unique:
        raise gdb.GdbError("cpgring: no engine is found; name one: 'cpgring handles EXPRESSION'")
    return sorted(unique.values(), key=lambda one: attempt(lambda: int(one["index_"]), -1))


# --- parts of an engine ----------------------------------------------------------------------------------------------


def handles_of(shard):
    """(id, handle_core) of each handle that has not ended, by id."""
    found = []
    for pair in attempt(lambda: list(hash_items(shard["registry_"])), []):
        core = attempt(lambda: shared_target(pair["second"]), None)
        if core is not None:
            found.append((number(lambda: pair["first"]), core))
    return sorted(found, key=lambda one: -1 if one[0] == UNAVAILABLE else one[0])


def link_of(core):
    """The present link of a handle; None: it has none, or it can't be read."""
    link = attempt(lambda: core["link_"], None)
    return link.dereference() if link is not None and attempt(lambda: int(link), 0) != 0 else None


def parts_of(link):
    """The rings of a link's connection; None: there is none; UNAVAILABLE: they can't be read."""

    def read():
        connection = unique_target(link["session_"]["line_"]["connection_"])
        return unique_target(connection["parts_"]) if connection is not None else None

    return attempt(read)


def distance(begin, end, words):
    """Words from one position forward to another."""
    if UNAVAILABLE in (begin, end, words) or words == 0:
        return UNAVAILABLE
    return (end - begin) % words


def queue_figures(queue):
    """(capacity, elements that the consumer sees, staged elements that it does not see)"""
    tail = number(lambda: atomic(queue["tail_"]))
    return (
        attempt(lambda: int(queue["mask_"]) + 1),
        difference(tail, number(lambda: atomic(queue["head_"]))),
        difference(number(lambda: queue["staged_"]), tail),
    )


def lease_state(block):
    """What the one word of a lease block says; see engine/lease/lease_block.hpp."""
    state = number(lambda: atomic(block["state"]))
    if state == UNAVAILABLE:
        return state
    flags = [name for name, bit in (("dropped", 1 << 30), ("copied", 1 << 31)) if state & bit]
    return ", ".join([f"{state & ((1 << 30) - 1)} pins", *flags])


# --- commands --------------------------------------------------------------------------------------------------------


def print_table(head, rows, nothing):
    if not rows:
        gdb.write(f"{nothing}\n")
        return
    texts = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in texts) for i in range(len(head))]
    for row in texts:
        gdb.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() + "\n")


class Prefix(gdb.Command):
    """Looks into the engines of cpgring: handles, rings, queues, leases."""

    def __init__(self):
        super().__init__("cpgring", gdb.COMMAND_DATA, gdb.COMPLETE_COMMAND, True)


class Handles(gdb.Command):
    """cpgring handles [ENGINE]: id, state, phase of the link, and group of each handle that has not ended."""

    def __init__(self):
        super().__init__("cpgring handles", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, from_tty):
        rows = []
        for shard in shards_at(argument):
            for number_of, core in handles_of(shard):
                link = link_of(core)
                rows.append((
                    number(lambda: shard["index_"]),
                    number_of,
                    word(lambda: atomic(core["state_"])),
                    "none" if link is None else word(lambda: link["phase_"]),
                    string_text(lambda: core["group_"]) or "-",
                ))  # fmt: skip
        print_table(("reactor", "id", "state", "link", "group"), rows, "no handle is open")


class Rings(gdb.Command):
    """cpgring rings [ENGINE]: the three rings of each connection.

    Sizes and positions are in words of 4 bytes, as in docs/chunk_format.md. `used` is what lies between the positions,
    in bytes. `counted` chunks wait on the semaphore; of the event ring and the response ring, `ready` ones were
    counted by the reader, and `leased` ones are in use by it.
    """

    def __init__(self):
        super().__init__("cpgring rings", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def row(self, handle, name, ring, reader):
        words = number(lambda: ring["words_"])
        uint = gdb.lookup_type("unsigned int")
        header = attempt(lambda: int(ring["header_"]["at_"]))

        def field(offset):
            return number(lambda: gdb.Value(header + offset).cast(uint.pointer()).dereference())

        write, read, counted = field(0), field(4), field(8208)
        if read == UNAVAILABLE and reader is not None:
            read = number(lambda: reader["read_"])  # of its own
        used = distance(read, write, words)
        return (
            handle, name, words, read, write, used if used == UNAVAILABLE else used * 4, counted,
            "-" if reader is None else number(lambda: reader["ready_"]),
            "-" if reader is None else number(lambda: reader["leased_"]),
        )  # fmt: skip

    def invoke(self, argument, from_tty):
        rows = []
        for shard in shards_at(argument):
            for number_of, core in handles_of(shard):
                link = link_of(core)
                parts = parts_of(link) if link is not None else None
                if isinstance(parts, str):
                    rows.append((number_of, *(UNAVAILABLE,) * 8))
                    continue
                if parts is None:
                    continue
                for name, ring, reader in (("request", "request_ring", None), ("response", "response_ring", "responses"),
                                           ("event", "event_ring", "events")):  # fmt: skip
                    rows.append(self.row(number_of, name, parts[ring], parts[reader] if reader else None))
        print_table(("handle", "ring", "words", "read", "write", "used", "counted", "ready", "leased"), rows, "no handle has a connection")


class Queues(gdb.Command):
    """cpgring queues [ENGINE]: the queues between each reactor and each worker.

    `work` has messages, `express` exclusive calls, `back` reports. `unreported` of the messages and calls are with the
    worker, or their report has not been taken.
    """

    def __init__(self):
        super().__init__("cpgring queues", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, from_tty):
        rows = []
        for shard in shards_at(argument):
            client = attempt(lambda: unique_target(shard["shared_"]["workers"]), None)
            if client is None:
                continue
            for worker, pointer in enumerate(attempt(lambda: list(vector_items(client["links_"])), [])):
                link = pointer.dereference()
                unreported = {"work": number(lambda: link["messages"]), "express": number(lambda: link["calls"])}
                for name in ("work", "express", "back"):
                    figures = attempt(lambda: queue_figures(link[name]), (UNAVAILABLE,) * 3)
                    rows.append((number(lambda: shard["index_"]), worker, name, *figures, unreported.get(name, "-")))
        print_table(("reactor", "worker", "queue", "capacity", "fill", "staged", "unreported"), rows, "no workers: callbacks run on the reactors")


class Leases(gdb.Command):
    """cpgring leases [ENGINE]: the leases of each handle, and each of them whose bytes are in the ring."""

    def __init__(self):
        super().__init__("cpgring leases", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, from_tty):
        pools, blocks = [], []
        for shard in shards_at(argument):
            for number_of, core in handles_of(shard):
                link = link_of(core)
                table = attempt(lambda: link["pump_"]["leases_"], None) if link is not None else None
                pool = attempt(lambda: shared_target(core["lease_pool_"]), None)
                if pool is None and table is not None:
                    pool = attempt(lambda: shared_target(table["pool_"]), None)
                if pool is None:
                    continue
                pools.append((number_of, number(lambda: atomic(pool["count_"])), number(lambda: atomic(pool["bytes_"])),
                              number(lambda: pool["bytes_max_"])))  # fmt: skip
                if table is not None:
                    blocks += self.blocks(number_of, table)
        print_table(("handle", "leases", "bytes", "limit"), pools, "no handle has a connection")
        if blocks:
            gdb.write("in the ring, oldest first:\n")
            print_table(("handle", "sequence", "size", "from", "state", "chunk"), blocks, "")

    def blocks(self, handle, table):
        rows = []
        block = attempt(lambda: table["in_ring_"]["oldest_"], None)
        seen = set()
        while block is not None and attempt(lambda: int(block), 0) not in (0, *seen):
            seen.add(int(block))
            one = block.dereference()
            sender = f"{number(lambda: one['node'])}:{number(lambda: one['pid'])}"
            rows.append((handle, number(lambda: one["sequence"]), number(lambda: one["size"]), sender, attempt(lambda: lease_state(one)),
                         number(lambda: one["chunk"])))  # fmt: skip
            block = attempt(lambda: one["newer"], None)
        return rows


# --- printers --------------------------------------------------------------------------------------------------------


class QueuePrinter:
    """A dispatch::spsc_queue in one line."""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        capacity, fill, staged = attempt(lambda: queue_figures(self.value), (UNAVAILABLE,) * 3)
        return f"queue of {capacity}: {fill} elements, {staged} staged"


class LeaseBlockPrinter:
    """A leasing::lease_block in one line."""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        size, sequence = number(lambda: self.value["size"]), number(lambda: self.value["sequence"])
        return f"lease of message {sequence}, {size} bytes: {attempt(lambda: lease_state(self.value))}"


def printer_for(value):
    name = attempt(lambda: value.type.strip_typedefs().unqualified().name, None) or ""
    if name.startswith(NAMESPACE + "dispatch::spsc_queue<") and name.endswith(">"):
        return QueuePrinter(value)
    if name == NAMESPACE + "leasing::lease_block":
        return LeaseBlockPrinter(value)
    return None


for command in (Prefix, Handles, Rings, Queues, Leases):
    command()
gdb.pretty_printers.append(printer_for)

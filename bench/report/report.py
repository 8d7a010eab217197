#!/usr/bin/python3
"""Makes results.json and report.html from the output of the suites.

report.py begin DIR          before the first suite: records the machine, its load and its CPU times
report.py end DIR [--quick]  after the last suite: reads DIR/suites/*/*.json and *.hgrm

Uses Debian's python3-matplotlib and python3-jinja2.
"""

import base64
import datetime
import io
import json
import pathlib
import platform
import re
import subprocess
import sys

import jinja2
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
KEYS = ("suite", "case", "unit", "better", "ours", "peer", "peer_name", "ratio", "runs", "spread")
OURS, PEER = "#1261a0", "#c4501b"
PACKAGES = ("corosync", "libcpg4", "libqb100", "liburing2", "g++", "libboost-dev", "libreaderwriterqueue-dev", "libbenchmark-dev")


def said(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def cpu_ticks():
    """Ticks of all CPUs since boot: those that the host took from this machine (steal), and all."""
    fields = [int(word) for word in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return fields[7], sum(fields)


def machine():
    info = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*:\s*(.*)", info)
    governor = pathlib.Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    memory = re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text())
    versions = said("dpkg-query", "--show", "--showformat", "${Package} ${Version}\n", *PACKAGES)
    return {
        "CPU": f"{len(re.findall('^processor', info, re.M))} x {model.group(1) if model else platform.machine()}",
        "memory": f"{int(memory.group(1)) / 2**20:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "governor": governor.read_text().strip() if governor.exists() else "not visible (usually a virtual machine)",
        "packages": ", ".join(versions.splitlines()),
        "cpgring": said("git", "-C", str(HERE), "describe", "--always", "--dirty"),
    }


def begin(out):
    state = {"machine": machine(), "ticks": cpu_ticks(), "load": pathlib.Path("/proc/loadavg").read_text().split()[0]}
    state["began"] = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    (out / "suites" / "machine.json").write_text(json.dumps(state))


def load_rows(out):
    suites = []
    for file in sorted((out / "suites").glob("*/*.json")):
        suite = json.loads(file.read_text())
        suite["service"] = file.parent.name
        suites.append(suite)
    order = [line.split()[0] for line in (out / "suites" / "seconds").read_text().splitlines()]
    suites.sort(key=lambda suite: (order.index(suite["suite"]), suite["service"]))
    return suites


def number(value):
    if value is None:
        return "–"
    size = abs(value)
    if size >= 1e6:
        return f"{value / 1e6:.2f} M"
    if size >= 1e4:
        return f"{value / 1e3:.1f} k"
    return f"{value:.0f}" if size >= 100 else f"{value:.3g}"


def drawing(figure):
    text = io.StringIO()
    figure.savefig(text, format="svg", bbox_inches="tight")
    plt.close(figure)
    svg = text.getvalue()
    return "data:image/svg+xml;base64," + base64.b64encode(svg[svg.index("<svg"):].encode()).decode()


def axes(title, x, y):
    figure, plot = plt.subplots(figsize=(7.2, 4.2))
    plot.set_title(title, fontsize=11)
    plot.set_xlabel(x)
    plot.set_ylabel(y)
    plot.grid(True, which="major", alpha=0.3)
    return figure, plot


def percentiles_of(file):
    """The points (1 / (1 - share), microseconds) of a .hgrm file."""
    points = []
    for line in file.read_text().splitlines():
        words = line.split()
        if len(words) == 4 and words[3] != "inf" and re.fullmatch(r"[\d.]+", words[0]):
            points.append((max(float(words[3]), 1.0), float(words[0])))
    return points


def plot_latency(title, curves):
    figure, plot = axes(title, "share of messages that are faster", "microseconds")
    most = 10.0
    for name, file, colour, style in curves:
        points = percentiles_of(file)
        if points:
            most = max(most, points[-1][0])
            plot.plot([x for x, _ in points], [y for _, y in points], style, color=colour, label=name)
    ticks = [t for t in (1, 2, 10, 100, 1000, 10000, 100000, 1000000) if t <= most * 1.01]
    plot.set_xscale("log")
    plot.set_yscale("log")
    plot.set_xticks(ticks, [{1: "0", 2: "50 %"}.get(t, f"{100 - 100 / t:.10g} %") for t in ticks])
    plot.minorticks_off()
    plot.legend(fontsize=8)
    return drawing(figure)


def plot_by(rows, pattern, title, x, y, ours_name="cpgring", keep=None):
    """Plots the rows whose case matches `pattern`: its first group is x; an optional second group distinguishes the lines."""
    lines = {}
    for row in rows:
        found = re.fullmatch(pattern, row["case"])
        if not found:
            continue
        groups = found.groups()
        kind = groups[1] if len(groups) > 1 else ""
        if keep and kind not in keep:
            continue
        lines.setdefault((kind, ours_name), []).append((float(groups[0]), row["ours"]))
        if row["peer"] is not None:
            lines.setdefault((kind, row["peer_name"]), []).append((float(groups[0]), row["peer"]))
    lines = {key: sorted(points) for key, points in lines.items() if len(points) > 1}
    if not lines:
        return None
    figure, plot = axes(title, x, y)
    kinds = list(dict.fromkeys(kind for kind, _ in lines))
    styles = ["o-", "s--", "^:", "d-."]
    for (kind, who), points in lines.items():
        label = f"{who}, {kind}" if kind else who
        plot.plot([p[0] for p in points], [p[1] for p in points], styles[kinds.index(kind) % len(styles)], color=OURS if who == ours_name else PEER, label=label)
    plot.set_xscale("log")
    plot.set_yscale("log")
    values = sorted({p[0] for points in lines.values() for p in points})
    plot.set_xticks(values, [f"{v:.0f}" for v in values], rotation=30 if len(values) > 6 else 0)
    plot.minorticks_off()
    plot.legend(fontsize=8)
    return drawing(figure)


def plots_of(suite, out):
    rows, name, folder = suite["rows"], suite["suite"], out / "suites" / suite["service"]
    drawn = []
    if name == "dispatch":
        drawn.append(plot_by(rows, r"(\d+) x (\d+), futex", "CPU for each waiting event, by handles; lines by burst", "handles", "ns of CPU an event", "cpgring, futex"))
        drawn.append(plot_by(rows, r"1 x (\d+), (futex|socket|epoll|1 worker)", "CPU for each waiting event, one handle, by burst", "events that wait", "ns of CPU an event"))
    elif name == "scale":
        drawn.append(plot_by(rows, r"(\d+) handles?, opening", "Opening and joining", "handles", "microseconds a handle"))
        drawn.append(plot_by(rows, r"(\d+) handles?, shared memory", "Shared memory", "handles", "KiB a handle"))
    elif name == "throughput":
        drawn.append(plot_by(rows, r"(\d+) bytes, ([^,]*handles?)", "Throughput by size", "bytes of a message", "messages a second"))
    elif name == "pingpong":
        colours = {"spin": ("cpgring, spin", "#0b3d66", "-"), "adaptive": ("cpgring, adaptive", OURS, "-"), "block": ("cpgring, block", "#6aa9d8", "-"),
                   "ONE": ("libcpg, ONE", PEER, "-"), "ALL": ("libcpg with epoll, ALL", "#e39a75", "-")}
        curves = [(label, folder / f"pingpong-{key}.hgrm", colour, style) for key, (label, colour, style) in colours.items()]
        drawn.append(plot_latency("From multicast to own delivery, one under way", [c for c in curves if c[1].exists()]))
    elif name == "openloop":
        rates = sorted({int(re.search(r"openloop-(\d+)-", file.name).group(1)) for file in folder.glob("openloop-*.hgrm")})
        for rate in rates:
            curves = [("cpgring", folder / f"openloop-{rate}-cpgring.hgrm", OURS, "-"), ("cpgring, block", folder / f"openloop-{rate}-block.hgrm", "#6aa9d8", "-"), ("libcpg with epoll", folder / f"openloop-{rate}-libcpg.hgrm", PEER, "-")]
            drawn.append(plot_latency(f"Open loop, {rate} messages a second, from the intended send time", curves))
    return [d for d in drawn if d]


def end(out, quick):
    state = json.loads((out / "suites" / "machine.json").read_text())
    steal, total = (now - then for now, then in zip(cpu_ticks(), state["ticks"]))
    suites = load_rows(out)
    several = len({suite["service"] for suite in suites}) > 1
    for suite in suites:
        if several and suite["service"] == "embedded":
            for row in suite["rows"]:
                row["case"] += ", embedded service"
    rows = [row for suite in suites for row in suite["rows"]]
    (out / "results.json").write_text(json.dumps([{key: row[key] for key in KEYS} for row in rows], indent=1) + "\n")

    seconds = [line.split() for line in (out / "suites" / "seconds").read_text().splitlines()]
    missing = [f"{suite} on {service}" for suite, service, _ in seconds if not (out / "suites" / service / f"{suite}.json").exists()]
    facts = dict(state["machine"], measured=state["began"], **{"load before": state["load"]})
    facts["taken by the host"] = f"{100 * steal / max(total, 1):.1f} % of CPU time during the run (steal)"
    facts["how to repeat"] = "scripts/bench" + (" --quick" if quick else "") + ", alone on the machine"
    page = jinja2.Environment(autoescape=True, loader=jinja2.FileSystemLoader(HERE), trim_blocks=True, lstrip_blocks=True).get_template("page.html")
    (out / "report.html").write_text(page.render(
        suites=[dict(suite, plots=plots_of(suite, out)) for suite in suites], facts=facts, number=number, quick=quick, missing=missing,
        targets=[row for row in rows if row["wanted"] is not None], seconds=sum(int(s) for _, _, s in seconds)))


def main(arguments):
    if len(arguments) < 2 or arguments[0] not in ("begin", "end"):
        print(__doc__, file=sys.stderr)
        return 64
    out = pathlib.Path(arguments[1])
    if arguments[0] == "begin":
        begin(out)
    else:
        end(out, "--quick" in arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

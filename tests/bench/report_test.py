#!/usr/bin/python3
"""Runs a suite that needs no service, and the report over it: results.json obeys its schema and the page is complete. report_test.py CPGRING"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
REPORT = ROOT / "bench" / "report" / "report.py"


def check(holds, what):
    if not holds:
        sys.exit(f"report_test: {what}")


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    check(done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def main():
    cpgring = pathlib.Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder)
        suites = out / "suites"
        for service in ("corosync", "embedded"):
            (suites / service).mkdir(parents=True)
        run(REPORT, "begin", out)
        table = run(cpgring, "bench", "spsc", "--quick", "--only", "there and back, boost", "--out", suites / "corosync")
        check("there and back, boost" in table, f"no table of the case:\n{table}")
        # Made-up results: a case that the peer can't run, a latency distribution, text that HTML must escape.
        rows = json.loads((suites / "corosync" / "spsc.json").read_text())["rows"]
        alone = dict(rows[0], suite="scale", case="10000 handles, <opening>", peer=None, ratio=None)
        (suites / "embedded" / "scale.json").write_text(json.dumps({"suite": "scale", "rows": [alone], "notes": ["<left out>"]}))
        hgrm = "Value Percentile TotalCount 1/(1-Percentile)\n\n 12.000 0.5 10 2.00\n 90.000 0.99 20 100.00\n 99.000 1.0 21 inf\n"
        (suites / "corosync" / "pingpong-ONE.hgrm").write_text(hgrm)
        (suites / "corosync" / "pingpong.json").write_text(json.dumps({"suite": "pingpong", "rows": [dict(rows[0], suite="pingpong")], "notes": []}))
        (suites / "seconds").write_text("spsc corosync 1\nscale embedded 2\npingpong corosync 1\nmodes corosync 0\n")
        run(REPORT, "end", out, "--quick")

        results = json.loads((out / "results.json").read_text())
        schema = json.loads((ROOT / "bench" / "report" / "results.schema.json").read_text())
        jsonschema.Draft7Validator.check_schema(schema)
        jsonschema.validate(results, schema)
        check([row["suite"] for row in results] == ["spsc", "scale", "pingpong"], f"not these suites: {results}")
        for wrong in (dict(results[0], better="sideways"), dict(results[0], ratio=-1), {k: v for k, v in results[0].items() if k != "spread"}):
            check(not jsonschema.Draft7Validator(schema).is_valid([wrong]), f"the schema accepts {wrong}")

        page = (out / "report.html").read_text()
        check("Did not run: modes on corosync" in page, "a suite that did not run is not named")
        check("&lt;opening&gt;" in page and "<opening>" not in page, "a name is not escaped")
        check("&lt;left out&gt;" in page, "a note is missing")
        check(page.count("data:image/svg+xml;base64,") == 1, "the one distribution is not drawn")
        check(not re.search(r'(src|href)="(?!data:|#)', page), "the page refers to an external resource")
        for fact in ("kernel", "governor", "packages", "how to repeat", "taken by the host"):
            check(fact in page, f"the page does not contain {fact}")


if __name__ == "__main__":
    main()

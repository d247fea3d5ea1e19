#!/usr/bin/env python3
"""Count what scripts/test ran: TAP lines inside every test, its own steps, skips with reasons.

tally.py RESULTS SECONDS: RESULTS holds meson's testlog.json files under the
suites' names, and "steps" with one "ok|not_ok|skip<TAB>text" a line."""
import json
import pathlib
import re
import sys

TAP = re.compile(r"^(not )?ok\b\s*\d*\s*-?\s*(.*)$")
SKIP = re.compile(r"#\s*skip\S*\s*(.*)", re.I)


def count_test(t, ret):
    """Add one meson test's results to ret: lists passed, failed, skipped."""
    name, saw_failure, seen, plan = t["name"], False, 0, None
    is_tap, why = False, None
    for line in (t.get("stdout") or "").splitlines():
        m = re.match(r"^1\.\.(\d+)", line)
        if m:
            is_tap, plan = True, int(m[1])
            if plan == 0:
                skip = SKIP.search(line)
                ret["skipped"].append((name, skip[1] if skip else "no reason given"))
                return
            continue
        m = re.match(r"^\s*# SKIP (.*)", line)
        if m:  # cmocka's skip() takes no reason: it comes on a line before
            why = m[1]
            continue
        m = TAP.match(line)
        if not m:
            continue
        is_tap = True
        seen += 1
        skip = SKIP.search(m[2])
        if skip and not m[1]:
            ret["skipped"].append((name, f"{skip[1]}: {why}" if why else skip[1] or m[2]))
        elif m[1]:
            saw_failure = True
            ret["failed"].append((name, m[2]))
        else:
            ret["passed"].append((name, m[2]))
            if why:
                ret["skipped"].append((name, f"a part of {m[2]}: {why}"))
        why = None
    if not is_tap:
        what = {"OK": "passed", "SKIP": "skipped"}.get(t["result"], "failed")
        ret[what].append((name, (t.get("stdout") or "").strip().splitlines()[-1:] or t["result"]))
    elif plan is None or seen < plan:
        ret["failed"].append((name, f"ended after {seen} of {plan} tests ({t['result']})"))
    elif t["result"] not in ("OK", "SKIP") and not saw_failure:
        ret["failed"].append((name, f"{t['result']} (exit status {t.get('returncode')})"))


def main():
    results, seconds = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    total = {"passed": [], "failed": [], "skipped": []}
    for log in sorted(results.glob("*.json")):
        suite = {"passed": [], "failed": [], "skipped": []}
        for line in log.read_text().splitlines():
            count_test(json.loads(line), suite)
        print(f"{log.stem}: " + ", ".join(f"{len(v)} {k}" for k, v in suite.items()))
        for k, v in suite.items():
            total[k] += [(f"{log.stem}/{n}", why) for n, why in v]
    steps = results / "steps"
    kinds = {"ok": "passed", "not_ok": "failed", "skip": "skipped"}
    for line in steps.read_text().splitlines() if steps.exists() else []:
        kind, text = line.split("\t", 1)
        total[kinds[kind]].append(("step", text))
    for name, why in total["skipped"]:
        print(f"skipped: {name}: {why if isinstance(why, str) else ' '.join(why)}")
    for name, why in total["failed"]:
        print(f"FAILED: {name}: {why if isinstance(why, str) else ' '.join(why)}")
    print(f"({seconds // 60} min {seconds % 60} s)")
    print(", ".join(f"{len(total[k])} {k}" for k in ("passed", "failed", "skipped")))
    return 1 if total["failed"] or not total["passed"] else 0


sys.exit(main())

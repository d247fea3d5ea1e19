#!/usr/bin/env python3
"""Fail if a folder includes from a folder it may not use, or an include escapes the tree.

check_layers.py ROOT.  The table below is docs/architecture.md's privilege map;
tests may include anything."""
import pathlib
import re
import sys

CORE = ["proto", "daemons"]
# folder -> folders it may include from (itself is implied); the longest match wins.
MAY = {
    "proto": [],
    "daemons": ["proto"],
    "hv/client": CORE,
    "hv/broker": CORE,  # hvd never sees a guest's innards
    "hv/boot": CORE,    # parsers of hostile images: bytes in, bytes out
    "hv/engine": CORE,  # engine.h, p2m.h, state.h: the seam
    "hv/engine/find.c": ["hv/engine", "hv/engine/soft", "hv/engine/kvm"],  # names them all
    "hv/engine/soft": CORE + ["hv/engine"],
    "hv/engine/kvm": CORE + ["hv/engine"],
    "hv/save": CORE,
    "hv/domain": CORE + ["hv/engine", "hv/boot", "hv/save"],
    "xenstored": CORE + ["hv/client"],
    "consoled": CORE + ["hv/client"],
    "backends": CORE + ["hv/client"],
    "apid": CORE + ["hv/client"],
    "cli": CORE,
    "supervisor": CORE,
}
# The one place that knows every engine by name.
EXCEPT = {"hv/engine/find.c": ["hv/engine/soft", "hv/engine/kvm"]}
SKIP = {"tests", "docs", "web", "scripts"}


def layer(path):
    """The longest key of MAY that path is under, or None."""
    parts = path.split("/")
    while parts:
        if "/".join(parts) in MAY:
            return "/".join(parts)
        parts.pop()
    return None


def check(root):
    bad, files = [], 0
    for f in sorted(root.rglob("*.[chS]")):
        rel = f.relative_to(root).as_posix()
        top = rel.split("/")[0]
        if top in SKIP or top.startswith((".", "build")):
            continue
        files += 1
        me = layer(rel)
        if me is None:
            bad.append(f"{rel}: in no folder of the architecture (tests/check_layers.py)")
            continue
        for n, line in enumerate(f.read_text(errors="replace").splitlines(), 1):
            m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not m:
                continue
            to = layer(m[1])
            if ".." in m[1] or not (root / m[1]).exists() and "/" not in m[1]:
                bad.append(f'{rel}:{n}: include "{m[1]}" is not rooted at the top')
            elif to is None or (to != me and to not in MAY[me] + EXCEPT.get(rel, [])):
                bad.append(f"{rel}:{n}: {me}/ may not include {m[1]}")
    return files, bad


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    files, bad = check(root)
    for b in bad:
        print(f"# {b}")
    print("1..1")
    print(f"{'not ok' if bad or not files else 'ok'} 1 - {files} files include only what their layer may")
    return 1 if bad or not files else 0


if __name__ == "__main__":
    sys.exit(main())

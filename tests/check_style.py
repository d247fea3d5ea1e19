#!/usr/bin/env python3
"""The mechanical part of our style, as TAP: formatting, sizes, lone headers, unfinished work.

check_style.py ROOT.  Sizes: a file above 600 lines or a function above 60 is
reported, a file above 800 or a function above 150 fails; a file whose first
ten lines contain the word "table" may be as long as its table."""
import pathlib
import re
import shutil
import subprocess
import sys

FILE_WARN, FILE_MAX, FUNC_WARN, FUNC_MAX = 600, 800, 60, 150
CLANG_FORMAT = "14."  # other versions lay out some constructs differently
# Spelled in halves so that this file does not find itself.
UNFINISHED = re.compile(r"\b(TO" "DO|FIX" "ME|X" "XX|HA" "CK|not implemented " "yet)\b")
PKGS = ["libevent", "json-c", "libmicrohttpd", "sqlite3", "libcrypto"]
SKIP = {"docs", "web", "node_modules"}

results = []


def report(ok, name, notes=(), skip=None):
    for n in notes:
        print(f"# {n}")
    tail = f" # SKIP {skip}" if skip else ""
    print(f"{'ok' if ok else 'not ok'} {len(results) + 1} - {name}{tail}", flush=True)
    results.append(ok)


def sources(root, pattern):
    for f in sorted(root.rglob(pattern)):
        top = f.relative_to(root).parts[0]
        if top not in SKIP and not top.startswith((".", "build")):
            yield f


def functions(lines):
    """(name, first line, length) of each function: a brace in column 0 to its partner."""
    start = None
    for n, line in enumerate(lines, 1):
        if line == "{":
            start = n
        elif line == "}" and start:
            head = " ".join(lines[max(0, start - 4):start - 1])
            name = re.findall(r"(\w+)\s*\(", head)
            yield (name[0] if name else "?", start, n - start)
            start = None


def check_sizes(root):
    bad, notes = [], []
    for f in [*sources(root, "*.c"), *sources(root, "*.h")]:
        rel, lines = f.relative_to(root), f.read_text(errors="replace").splitlines()
        if any("table" in l for l in lines[:10]):
            continue
        if len(lines) > FILE_WARN:
            (bad if len(lines) > FILE_MAX else notes).append(f"{rel}: {len(lines)} lines")
        for name, at, n in functions(lines):
            if n > FUNC_WARN:
                (bad if n > FUNC_MAX else notes).append(f"{rel}:{at}: {name}() has {n} lines")
    report(not bad, f"no file above {FILE_MAX} lines, no function above {FUNC_MAX}", bad + notes)


def check_opening(root):
    bad = [str(f.relative_to(root)) for p in ("*.c", "*.h") for f in sources(root, p)
           if not f.read_text(errors="replace").startswith("/*")]
    report(not bad, "every file opens with why it exists", bad)


def check_unfinished(root):
    bad = []
    for p in ("*.c", "*.h", "*.py", "*.sh", "*.S", "meson.build"):
        for f in sources(root, p):
            for n, line in enumerate(f.read_text(errors="replace").splitlines(), 1):
                if UNFINISHED.search(line):
                    bad.append(f"{f.relative_to(root)}:{n}: {line.strip()}")
    report(not bad, "nothing is marked as unfinished", bad)


def check_headers(root):
    cflags = subprocess.run(["pkg-config", "--cflags", *PKGS], capture_output=True, text=True).stdout.split()
    bad, n = [], 0
    for h in sources(root, "*.h"):
        n += 1
        r = subprocess.run(["cc", "-std=gnu11", "-D_GNU_SOURCE", f"-I{root}", *cflags, "-Werror", "-fsyntax-only",
                            "-include", str(h), "-x", "c", "/dev/null"], capture_output=True, text=True)
        if r.returncode:
            bad += [str(h.relative_to(root)), *r.stderr.splitlines()[:4]]
    report(not bad and n, f"each of {n} headers compiles alone", bad)


def check_format(root):
    name = "sources are laid out by .clang-format"
    tool = shutil.which("clang-format-14") or shutil.which("clang-format")
    if not tool:
        return report(True, name, skip="clang-format is not installed")
    version = re.search(r"version (\S+)", subprocess.run([tool, "--version"], capture_output=True, text=True).stdout)
    if not version or not version[1].startswith(CLANG_FORMAT):
        return report(True, name, skip=f"clang-format {version and version[1]} is not {CLANG_FORMAT}x")
    files = [str(f) for p in ("*.c", "*.h") for f in sources(root, p)]
    r = subprocess.run([tool, "--dry-run", "-Werror", *files], capture_output=True, text=True)
    spots = [l for l in r.stderr.splitlines() if ": error: " in l]
    bad = sorted({l.split(":")[0] for l in spots})
    report(r.returncode == 0, name, [f"{pathlib.Path(b).relative_to(root)}: run clang-format -i on it" for b in bad])


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    for check in (check_sizes, check_opening, check_unfinished, check_headers, check_format):
        check(root)
    print(f"1..{len(results)}")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())

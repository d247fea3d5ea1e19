#!/usr/bin/env python3
"""How far the installed units confine the daemons, as TAP: systemd-analyze's exposure, 0 (sealed) to 10.

check_units.py UNIT...  A daemon with a user of its own stays at 2.0 or below.  The few that run as root, because they
make jails or open anybody's images, need capabilities for it: they may not get worse than the worst is today."""
import pathlib
import re
import shutil
import subprocess
import sys

LIMIT_USER, LIMIT_ROOT = 2.0, 6.8


def exposure(unit):
    """The figure, or the tool's own words."""
    p = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    m = re.search(r"Overall exposure level for \S+: ([0-9.]+)", p.stdout)
    return float(m[1]) if m else p.stdout.strip()[-300:]


units = [pathlib.Path(a) for a in sys.argv[1:]]
if not shutil.which("systemd-analyze"):
    print("1..0 # SKIP units: systemd-analyze is not installed (package systemd)")
    sys.exit(0)
failed = 0
for i, unit in enumerate(units, 1):
    own_user = re.search(r"^User=(?!root$)", unit.read_text(encoding="utf-8"), re.M)
    limit, got = LIMIT_USER if own_user else LIMIT_ROOT, exposure(unit)
    bad = not isinstance(got, float) or got > limit
    failed += bad
    print(f"{'not ok' if bad else 'ok'} {i} - {unit.stem}'s exposure is {limit} or lower")
    print(f"# {got}")
print(f"1..{len(units)}")
sys.exit(failed > 0)

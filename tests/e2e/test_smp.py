#!/usr/bin/env python3
"""Several vCPUs on the soft engine, without a host: soft_boot and a program inside.

Boots Debian's kernel with four vCPUs, runs tests/guest/smp_check there and looks at
what it printed; and compares the guest's clock with the host's over some seconds."""
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from harness import BUILD, SCRIPTS, Skip, guest_files

results = []


def report(ok, name, note=""):
    results.append(ok)
    if note:
        print(f"# {note}")
    print(f"{'ok' if ok else 'not ok'} {len(results)} - {name}", flush=True)


def boot(kernel, initrd, cmdline, vcpus, seconds):
    return subprocess.Popen(
        [BUILD / "tests/tools/soft_boot", "-c", str(vcpus), "-m", "256", "-t", str(seconds), kernel, initrd,
         f"console=hvc0 quiet dz.quick {cmdline}"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")


def check_smp(kernel, tmp):
    initrd = tmp / "smp.gz"
    subprocess.run([SCRIPTS / "make-initramfs", initrd, "--exe", BUILD / "tests/guest/smp_check"], check=True)
    p = boot(kernel, initrd, "dz.run=smp_check", 4, 400)
    out, err = p.communicate()
    lines = re.findall(r"^(ok|BAD) (.*?)\r?$", out, re.M)
    if "smp_check: 4 processors" not in out or len(lines) != 6:
        print("\n".join("# " + x for x in (out + err).splitlines()[-20:]))
    report("smp_check: 4 processors" in out, "four vCPUs are up in the guest")
    report(len(lines) == 6, "every check inside the guest ran")
    for verdict, name in lines:
        report(verdict == "ok", name)
    report(p.returncode == 0, "the guest powers off")


def check_clock(kernel, initrd, tmp):
    """Rates are compared, not instants: the console's delay is not the clock's. The
    smallest delay of the early and of the late lines cancels what the host's load adds."""
    script = tmp / "ticks"
    script.write_text("#!/bin/sh\nfor i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20\n"
                      "do read up rest </proc/uptime; echo \"TICK $up\"; sleep 0.5; done\n")
    script.chmod(0o755)
    subprocess.run([SCRIPTS / "make-initramfs", initrd, "--exe", script], check=True)
    p = boot(kernel, initrd, "dz.run=ticks", 1, 120)
    late = []
    for line in p.stdout:
        m = re.match(r"TICK ([\d.]+)", line)
        if m:
            late.append((time.monotonic(), time.monotonic() - float(m[1])))
    p.wait()
    report(len(late) == 20, "the guest told the time twenty times")
    if len(late) == 20:
        drift = min(d for _, d in late[10:]) - min(d for _, d in late[:10])
        span = late[15][0] - late[5][0]
        # Wide enough for a host with other work: a wrong rate of 1 % is still seen.
        report(abs(drift) <= 0.01 * span + 0.03, "the guest's clock runs with the host's",
               f"drift {drift * 1000:.1f} ms in {span:.1f} s, read in steps of 10 ms")


def main():
    with tempfile.TemporaryDirectory() as d:
        tmp = pathlib.Path(d)
        try:
            kernel, _ = guest_files(tmp)
        except Skip as e:
            print(f"1..0 # SKIP {e}")
            return 0
        check_smp(kernel, tmp)
        check_clock(kernel, tmp / "clock.gz", tmp)
    print(f"1..{len(results)}")
    return not all(results)


if __name__ == "__main__":
    sys.exit(main())

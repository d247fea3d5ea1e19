#!/usr/bin/env python3
"""Debian 12 from its own disk: scripts/make-guest's image, booted, used, ended.

The kernel, the initramfs and the userland are Debian's; what the guest wrote
is checked with fsck and checksums on the host.  The image is made once and
kept in the build folder."""
import hashlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

from harness import BUILD, SCRIPTS, Skip, run, wait_until

PASSWORD = "let-me-in"


def setup(stack):
    folder = stack.dir / "deb"
    env = dict(os.environ, DOMZERO_CACHE=str(BUILD / "guest-cache"))
    out = subprocess.run([SCRIPTS / "make-guest", "--password", PASSWORD, "--size", "1G", folder],
                         capture_output=True, text=True, env=env)
    if "can't be reached" in out.stderr or "has no source" in out.stderr:
        raise Skip(f"no Debian image: {out.stderr.strip().splitlines()[-1]}")
    assert out.returncode == 0, f"make-guest: {out.stdout}{out.stderr}"
    return {"folder": folder, "disk": folder / "disk.img", "cfg": folder / "deb.cfg"}


def boot(stack, ctx):
    start, seen = time.monotonic(), len(re.findall("deb login:", stack.log_text("deb")))
    stack.dz("create", ctx["cfg"])
    stack.wait_log("deb", "deb login:", count=seen + 1, timeout=300)
    print(f"# create to login: {time.monotonic() - start:.1f} s")


def login(stack):
    c = stack.console("deb")
    c.send("\n")
    c.expect("login: |root@deb:~# ")
    if "root@deb" not in c.text:
        c.send("root\n")
        c.expect("Password: ")
        c.send(PASSWORD + "\n")
        c.expect(r"root@deb:~# ")
    return c


def ask(c, command, timeout=120):
    """What a command prints, and its status; the marks can't be the echo of what was typed."""
    c.text = ""
    c.send(f"{command}; echo en''d=$?\n")
    c.expect(r"end=\d+", timeout)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", c.text).replace("\r", "")
    return text, int(re.search(r"end=(\d+)", text)[1])


def fsck(disk):
    return subprocess.run(["/sbin/fsck.ext4", "-f", "-n", disk], capture_output=True, text=True)


def test_debian_boots_to_login_with_what_the_seed_says(stack, ctx):
    boot(stack, ctx)
    c = login(stack)
    text, status = ask(c, "cat /etc/hostname; findmnt -n -o SOURCE,FSTYPE /; systemctl is-system-running --wait")
    assert status == 0 and "\ndeb\n" in text and "/dev/xvda ext4" in text and "running" in text, text
    text, status = ask(c, "systemctl is-active ssh; ls /etc/ssh/ssh_host_ed25519_key")
    assert status == 0 and "\nactive" in text, text
    c.leave()


def blkback_pids(stack):
    return [int(line.split()[0]) for line in stack.processes() if "blkback --domid" in line]


def test_killed_backends_are_not_seen_and_checksums_match(stack, ctx):
    c = login(stack)
    c.text = ""
    c.send("for i in 1 2 3 4 5 6 7 8; do dd if=/dev/urandom of=/root/f$i bs=64k count=80 oflag=direct 2>&1 | "
           "grep -v rec; done; sync; echo en''d=$?\n")
    kills, end = 0, time.monotonic() + 120
    while not re.search(r"end=\d", c.text):
        assert time.monotonic() < end, c.text[-600:]
        c.read(0.3)
        pids = blkback_pids(stack)
        if kills < 5 and "copied" in c.text and pids:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            kills += 1
            wait_until("a new blkback", lambda: blkback_pids(stack) and blkback_pids(stack) != pids, 10)
    assert kills and c.text.count("copied") == 8 and "end=0" in c.text, c.text[-900:]
    ctx["sums"], status = ask(c, "echo 3 >/proc/sys/vm/drop_caches; sha256sum /root/f?")
    assert status == 0
    text, status = ask(c, "dmesg | grep -iE 'I/O error|EXT4-fs error|ext4.*abort'")
    assert status == 1, text
    c.leave()


def test_after_dz_shutdown_the_file_system_is_clean_and_the_data_there(stack, ctx):
    stack.dz("shutdown", "-w", "deb", timeout=120)
    stack.wait_gone("deb")
    r = fsck(ctx["disk"])
    assert r.returncode == 0, r
    for n in (1, 8):
        out = stack.dir / f"f{n}"
        subprocess.run(["/sbin/debugfs", "-R", f"dump /root/f{n} {out}", ctx["disk"]], check=True, capture_output=True)
        got = hashlib.sha256(pathlib.Path(out).read_bytes()).hexdigest()
        assert f"{got}  /root/f{n}" in ctx["sums"], (n, got, ctx["sums"])


def test_after_a_hard_destroy_under_load_the_journal_makes_it_clean(stack, ctx):
    boot(stack, ctx)
    c = login(stack)
    text, status = ask(c, "echo kept >/root/kept; sync /root/kept /root")
    assert status == 0, text
    c.send("i=0; while :; do i=$((i+1)); cp -r /etc /root/load$i; sync; echo ro''und=$i; done\n")
    c.expect("round=2", 120)
    stack.dz("destroy", "deb")
    c.close()
    stack.wait_gone("deb")
    replay = subprocess.run(["/sbin/e2fsck", "-p", ctx["disk"]], capture_output=True, text=True)
    assert replay.returncode in (0, 1), replay
    r = fsck(ctx["disk"])
    assert r.returncode == 0, r
    kept = subprocess.run(["/sbin/debugfs", "-R", "cat /root/kept", ctx["disk"]], capture_output=True, text=True)
    assert kept.stdout == "kept\n", kept


if __name__ == "__main__":
    sys.exit(run(sys.modules["__main__"], setup=setup))

#!/usr/bin/env python3
"""A guest's disks: Debian's unmodified xen-blkfront against our block backend.

What the guest wrote is compared with what the image holds on the host."""
import fcntl
import hashlib
import os
import re
import signal
import subprocess
import sys

from harness import SCRIPTS, TOP, Skip, guest_files, run, wait_until

MIB = 1 << 20
CMDLINE = "console=hvc0 quiet dz.run=disk-check"


def setup(stack):
    stack.kernel, _ = guest_files(stack.dir)
    out = subprocess.run([SCRIPTS / "guest-kernel", "--module", "xen-blkfront"], capture_output=True, text=True)
    if out.returncode:
        raise Skip(f"no xen-blkfront: {out.stderr.strip()}")
    stack.initrd = stack.dir / "disk.gz"
    subprocess.run([SCRIPTS / "make-initramfs", stack.initrd, "--exe", TOP / "tests/guest/disk-check",
                    "--file", f"{out.stdout.strip()}=lib/xen-blkfront.ko"], check=True)
    os.chmod(stack.initrd, 0o644)
    return {}


def image(stack, name, mib=64):
    path = stack.dir / name
    path.write_bytes(os.urandom(MIB))
    os.truncate(path, mib * MIB)
    return path


def create(stack, name, disks, ok=True, cmdline=CMDLINE, on_poweroff="destroy"):
    cfg = stack.write_cfg(name, kernel=stack.kernel, ramdisk=str(stack.initrd), cmdline=cmdline, disk=disks,
                          on_poweroff=on_poweroff)
    return stack.dz("create", cfg, ok=ok)


def said(stack, name, word):
    m = re.search(rf"{word} (.*?)\r?\n", stack.log_text(name))
    assert m, f"no {word} in {stack.log_text(name)[-800:]!r}"
    return m[1]


def blkback_pids(stack):
    found = []
    for p in [line.split()[0] for line in stack.processes() if "blkback --domid" in line]:
        found.append(int(p))
    return found


def test_a_guest_sees_its_disks_and_what_it_writes_is_in_the_image(stack, ctx):
    disk, ro = image(stack, "disk.img"), image(stack, "ro.img", 8)
    first = hashlib.sha256(disk.read_bytes()[:MIB]).hexdigest()
    before = hashlib.sha256(ro.read_bytes()).hexdigest()
    create(stack, "disky", [f"file:{disk},xvda,w", f"{ro},raw,xvdb,ro"])
    stack.wait_log("disky", "DISK-END")
    text = stack.log_text("disky")
    assert "DISK-ERR" not in text, text[-1500:]
    assert f"DISK-SEEN xvda {64 * 2048} ro=0" in text and f"DISK-SEEN xvdb {8 * 2048} ro=1" in text, text[-1500:]
    assert said(stack, "disky", "DISK-HOST") == first
    data = said(stack, "disky", "DISK-DATA")
    assert said(stack, "disky", "DISK-BACK") == data
    assert "DISK-MKFS ok" in text and "DISK-RO ok" in text, text[-1500:]
    stack.wait_gone("disky")
    content = disk.read_bytes()
    assert content[0x438:0x43a] == b"\x53\xef", "no ext2 magic in the image"
    small = content[16 * MIB:18 * MIB]
    assert len(set(small)) > 200, "the small writes are not in the image"
    assert hashlib.sha256(ro.read_bytes()).hexdigest() == before


def test_nothing_of_the_devices_is_left(stack, ctx):
    wait_until("the end of the backends", lambda: not blkback_pids(stack), 10)
    assert not stack.xs("list", "/local/domain/0/backend/vbd", ok=False).out.strip()


def test_an_image_that_is_in_use_is_refused(stack, ctx):
    held = image(stack, "held.img", 4)
    with open(held, "rb") as f:
        fcntl.flock(f, fcntl.LOCK_SH)
        r = create(stack, "late", [f"{held},raw,xvda,w"], ok=False)
    assert r.code == 1 and "in use" in r.err, r
    assert stack.domain("late") is None or stack.domain("late")["state"] != "running"


def test_a_missing_image_and_a_wrong_name_are_told(stack, ctx):
    r = create(stack, "gone", [f"{stack.dir}/none.img,raw,xvda,w"], ok=False)
    assert r.code == 1 and "No such file" in r.err, r
    r = create(stack, "odd", [f"{stack.dir}/disk.img,raw,floppy,w"], ok=False)
    assert r.code == 1 and "floppy" in r.err, r
    r = create(stack, "cow", [f"{stack.dir}/disk.img,qcow2,xvda,w"], ok=False)
    assert r.code == 1 and "raw" in r.err, r


def test_a_disk_comes_to_a_running_guest_and_leaves_it(stack, ctx):
    first, late = image(stack, "first.img", 4), image(stack, "late.img", 8)
    create(stack, "hot", [f"{first},raw,xvda,w"], cmdline=CMDLINE + " dz.hot")
    stack.wait_log("hot", "HOT-READY")
    d = stack.domain("hot")
    back = f"/local/domain/0/backend/vbd/{d['domid']}"
    stack.dz("block-attach", "hot", f"{late},raw,xvdb,r")
    assert [x["vdev"] for x in stack.domain("hot")["config"]["disks"]] == ["xvda", "xvdb"]
    stack.wait_log("hot", "HOT-SEEN")
    seen = said(stack, "hot", "HOT-SEEN").split()
    assert seen[:2] == [str(8 * 2048), hashlib.sha256(late.read_bytes()[:MIB]).hexdigest()], seen
    rows = [x.split() for x in stack.dz("block-list", "hot").out.splitlines()]
    assert rows[1:] == [["xvda", "w", "raw", str(first)], ["xvdb", "r", "raw", str(late)]], rows
    assert len(stack.dz("network-list", "hot").out.splitlines()) == 1
    r = stack.dz("block-attach", "hot", f"{late},raw,xvdb,r", ok=False)
    assert r.code == 1 and "already" in r.err, r
    r = stack.dz("block-attach", "hot", f"{stack.dir}/none.img,raw,xvdc,r", ok=False)
    assert r.code == 1 and "No such file" in r.err, r
    r = stack.dz("block-detach", "hot", "xvdq", ok=False)
    assert r.code == 1 and "no such disk" in r.err, r
    stack.dz("block-detach", "hot", "xvdb")
    assert [x["vdev"] for x in stack.domain("hot")["config"]["disks"]] == ["xvda"]
    assert stack.xs("list", back).out.split() == ["51712"], stack.xs("ls", back).out
    assert stack.xs("exists", f"/local/domain/{d['domid']}/device/vbd/51728", ok=False).code
    stack.wait_log("hot", "HOT-GONE")
    stack.wait_gone("hot")


def check_walls(pid):
    status = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status").read().splitlines())
    for cap in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[cap], 16) == 0, (cap, status[cap])
    assert status["Seccomp"].strip() == "2" and status["NoNewPrivs"].strip() == "1"
    assert set(map(int, status["Uid"].split())) & {0} == set(), status["Uid"]
    assert sorted(os.listdir(f"/proc/{pid}/root")) == ["hv", "open", "xs"]
    for ns in ("mnt", "net", "ipc", "pid"):
        assert os.readlink(f"/proc/{pid}/ns/{ns}") != os.readlink(f"/proc/self/ns/{ns}"), ns


def test_killing_the_backend_under_load_is_not_seen_by_the_guest(stack, ctx):
    disk = image(stack, "load.img")
    create(stack, "loaded", [f"file:{disk},xvda,w"], cmdline=CMDLINE + " dz.load")
    stack.wait_log("loaded", "DISK-LOAD begins")
    kills = 0
    check_walls(blkback_pids(stack)[0])
    for n in range(1, 9):
        stack.wait_log("loaded", "DISK-ROUND \\d", count=n * 3)
        killed = blkback_pids(stack)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
            kills += 1
        # The old one is listed until it is dead; the new one is due after a pause that grows.
        wait_until("a new blkback", lambda: blkback_pids(stack) not in ([], killed), 10)
    before = blkback_pids(stack)
    stack.kill_daemon("blkd")
    assert blkback_pids(stack) == before, "the backend did not outlive blkd"
    stack.wait_log("loaded", "DISK-ROUND \\d", count=27)
    for pid in before:
        os.kill(pid, signal.SIGKILL)  # and the new blkd looks after it
    wait_until("a new blkback", lambda: blkback_pids(stack) not in ([], before), 10)
    stack.wait_log("loaded", "DISK-END")
    text = stack.log_text("loaded")
    assert kills >= 8 and "DISK-ERR" not in text and "DISK-ROUND 40" in text, text[-1500:]
    stack.wait_gone("loaded")


if __name__ == "__main__":
    sys.exit(run(sys.modules["__main__"], setup=setup))

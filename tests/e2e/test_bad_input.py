#!/usr/bin/env python3
"""Bad input from an operator: one clear error, and nothing left behind."""
import os
import re
import socket
import subprocess
import sys

from harness import BUILD, SCRIPTS, Result, Skip, Stack, guest_files, own_mounts, run, wait_until

SAMPLE = """name = "domu1"
memory = 1024  # 1 GB of memory for DomU
vcpus = 2  # 2 virtual CPUs
disk = ['file:/var/lib/xen/images/domu1.img,hda,w']  # Virtual disk image
vif = ['bridge=xenbr0']  # Network interface
kernel = "%s"  # Paravirtualized kernel (for PV guests)
ramdisk = "%s"  # Initial RAM disk for PV guests
"""


def setup(stack):
    stack.kernel, stack.initrd = guest_files(stack.dir)
    return {"clean": left_behind(stack)}


def left_behind(stack):
    """Guests, their nodes, processes and logs: whatever a failed create may have left, as text."""
    tree = stack.xs("ls", "/").out
    rows = stack.dz("list", "-a").out.splitlines()[2:]
    guests = [p for p in stack.processes() if "dz-domain" in p]
    return rows + guests + re.findall(r"^ +[1-9]\d* = .*$", tree, re.M) + sorted(
        p.name for p in (stack.dir / "console").glob("guest-*"))


def refused(stack, says, *args, **settings):
    """create must fail with one line that matches says, and leave nothing."""
    settings = {"kernel": stack.kernel, "ramdisk": stack.initrd, **settings}
    cfg = stack.write_cfg("cfg", **settings)
    before = left_behind(stack)
    r = stack.dz("create", "-q", *args, cfg, ok=False)
    assert r.code == 1, r
    lines = [l for l in r.err.splitlines() if not re.search("warning", l)]
    assert len(lines) == 1 and re.search(says, lines[0], re.I), r.err
    after = left_behind(stack)
    assert before == after, f"left behind: {set(after) - set(before)}"


def test_a_broken_file_is_named_with_its_line(stack, ctx):
    cfg = stack.dir / "broken.cfg"
    cfg.write_text('name = "x"\nkernel = "/k\nmemory = 5\n')
    r = stack.dz("create", "-q", cfg, ok=False)
    assert r.code == 1 and "broken.cfg:2:" in r.err and "closing" in r.err, r
    cfg.write_bytes(b"name = 'x\0y'\n")
    assert "NUL" in stack.dz("create", "-q", cfg, ok=False).err
    r = stack.dz("create", "-q", "/nonexistent.cfg", ok=False)
    assert r.code == 1 and "/nonexistent.cfg" in r.err, r
    assert left_behind(stack) == ctx["clean"]


def test_a_kernel_that_is_none_is_refused(stack, ctx):
    text = stack.dir / "text"
    text.write_text("this is not a kernel\n" * 100)
    os.chmod(text, 0o644)
    refused(stack, r"kernel|image|ELF", kernel=str(text))
    refused(stack, r"no such file", kernel=str(stack.dir / "missing"))
    refused(stack, r"director|not a (regular )?file|kernel", kernel=str(stack.dir))
    empty = stack.dir / "empty"
    empty.write_bytes(b"")
    os.chmod(empty, 0o644)
    refused(stack, r"empty|kernel|image|short|small", kernel=str(empty))


def test_a_truncated_kernel_is_refused(stack, ctx):
    cut = stack.dir / "cut"
    data = open(stack.kernel, "rb").read()
    cut.write_bytes(data[:len(data) // 2])
    os.chmod(cut, 0o644)
    refused(stack, r"kernel|image|truncat|short|corrupt", kernel=str(cut))


def test_a_missing_ramdisk_is_refused(stack, ctx):
    refused(stack, r"no such file", ramdisk=str(stack.dir / "missing.gz"))


def test_too_little_memory_is_refused(stack, ctx):
    refused(stack, r"memory|MiB", memory=4)


def test_more_memory_than_the_host_has_is_refused(stack, ctx):
    refused(stack, r"memory|MiB", memory=16000000)


def test_names_that_can_not_be_are_refused(stack, ctx):
    for name in ("a/b", "n" * 300, "../../etc/cron.d/x", "7", "new\nline", "-rf\x1b[2J"):
        refused(stack, r"name", name=name)


def test_a_taken_name_is_refused_and_the_first_lives(stack, ctx):
    cfg = stack.write_cfg("twice", kernel=stack.kernel, ramdisk=stack.initrd)
    stack.dz("create", "-q", "-p", cfg)
    domid = stack.dz("domid", "twice").out
    refused(stack, r"taken|exists|in use|already", name="twice")
    assert stack.dz("domid", "twice").out == domid
    stack.dz("destroy", "twice")
    (stack.console_log("twice")).unlink(missing_ok=True)
    assert left_behind(stack) == ctx["clean"]


def test_the_manuals_file_names_the_missing_image_and_says_how_to_go_on(stack, ctx):
    cfg = stack.dir / "domu1.cfg"
    cfg.write_text(SAMPLE % (stack.kernel, stack.initrd))
    r = stack.dz("create", "-q", cfg, ok=False)
    assert r.code == 1 and "/var/lib/xen/images/domu1.img: No such file" in r.err and "--ignore-devices" in r.err, r
    stack.console_log("domu1").unlink(missing_ok=True)  # it was built before its disk was looked for
    wait_until("nothing to be left", lambda: left_behind(stack) == ctx["clean"], 10)
    stack.dz("create", "-q", "-p", "--ignore-devices", cfg)
    row = stack.dz("list", "domu1").out.splitlines()[1].split()
    assert row[2] == "1024" and stack.domain("domu1")["max_vcpus"] == 2, row
    stack.dz("destroy", "domu1")
    (stack.console_log("domu1")).unlink(missing_ok=True)
    assert left_behind(stack) == ctx["clean"]


def test_words_on_the_command_line_win_over_the_file(stack, ctx):
    cfg = stack.write_cfg("words", kernel="/nonexistent", ramdisk=stack.initrd)
    stack.dz("create", "-q", "-p", cfg, f"kernel='{stack.kernel}'", "memory=77")
    assert stack.domain("words")["config"]["memory_mib"] == 77
    stack.dz("destroy", "words")
    (stack.console_log("words")).unlink(missing_ok=True)


def test_domains_that_do_not_exist_are_said_so(stack, ctx):
    for args in (("destroy", "ghost"), ("shutdown", "ghost"), ("pause", "4711"), ("console", "ghost"),
                 ("list", "ghost"), ("rename", "ghost", "x"), ("mem-set", "ghost", "100")):
        r = stack.dz(*args, ok=False)
        assert r.code == 1 and "invalid domain identifier" in r.err, (args, r)
    r = stack.dz("domid", "ghost", ok=False)
    assert r.code == 1 and r.err.startswith("Can't get domid of domain name 'ghost'"), r
    r = stack.dz("domname", "4711", ok=False)
    assert r.code == 1 and r.err.startswith("Can't get domain name of domain id '4711'"), r


def test_misused_commands_get_the_usage(stack, ctx):
    for args in ((), ("frobnicate",), ("create",), ("list", "--frob"), ("rename", "a"), ("shutdown",),
                 ("shutdown", "-a", "x"), ("mem-set", "a", "lots"), ("console", "-t", "serial", "a")):
        r = stack.dz(*args, ok=False)
        assert r.code == 2, (args, r)
        assert r.err or "usage" in r.out, (args, r)
    assert stack.dz("help").out.count("\n") > 20
    assert "--ignore-devices" in stack.dz("help", "create").out


def test_a_port_in_use_stops_the_start_with_a_reason(stack, ctx):
    busy = socket.socket()
    busy.bind(("127.0.0.1", 0))
    busy.listen()
    port = busy.getsockname()[1]
    other = stack.dir / "other"
    r = Result(subprocess.run([SCRIPTS / "stack", "start", "--dir", other, "--build", BUILD, "--tcp", str(port)],
                              capture_output=True, text=True, timeout=60))
    assert r.code != 0 and re.search("in use", r.err) and str(port) in r.err, r
    left = [p for p in stack.processes() if str(other) in p]
    busy.close()
    assert not left, left
    assert not (other / "run" / "supervisor.pid").exists()


def fill(folder):
    """Write until the disk is full; returns the file."""
    path = folder / "fill"
    with open(path, "wb", buffering=0) as f:
        try:
            while True:
                f.write(bytes(4096))
        except OSError:
            return path


def small_disks(top):
    for name, size in (("state", "1200k"), ("console", "64k")):
        (top / name).mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=755,size={size}", "dz-test", top / name], check=True)


def test_a_full_disk_under_the_database_is_said_and_nothing_is_made(stack, ctx):
    if "DZ_OWN_MOUNTS" not in os.environ:
        raise Skip("this host allows no mount namespace")
    with Stack(before=small_disks) as full:
        full.kernel, full.initrd = stack.kernel, stack.initrd
        cfg = full.write_cfg("full", kernel=stack.kernel, ramdisk=stack.initrd)
        before = left_behind(full)
        filler = fill(full.dir / "state")
        r = full.dz("create", "-q", cfg, ok=False)
        assert r.code == 1 and re.search("no space left", r.err) and r.err.count("\n") == 1, r
        assert left_behind(full) == before
        filler.unlink()
        full.dz("create", "-q", "-p", cfg)
        full.dz("destroy", "full")


def test_a_full_disk_under_the_logs_stops_no_guest(stack, ctx):
    if "DZ_OWN_MOUNTS" not in os.environ:
        raise Skip("this host allows no mount namespace")
    with Stack(before=small_disks) as full:
        cfg = full.write_cfg("full", kernel=stack.kernel, ramdisk=stack.initrd, cmdline="console=hvc0")
        filler = fill(full.dir / "console")
        full.dz("create", "-q", cfg)
        wait_until("consoled to say so", lambda: "No space left" in (full.dir / "log/consoled.log").read_text())
        filler.unlink()
        wait_until("consoled to write again", lambda: "is written again" in (full.dir / "log/consoled.log").read_text())
        # Its boot may have ended meanwhile, and what found no room is counted in
        # the log, not kept; what it says from now on is there.
        c = full.console("full")
        c.ask("echo room-$((1+1))", r"room-2")
        c.leave()
        full.wait_log("full", "room-2")
        full.dz("destroy", "full")


def test_a_second_start_finds_the_first(stack, ctx):
    r = stack.script("start")
    assert r.code == 0 and "run already" in r.out, r


if __name__ == "__main__":
    own_mounts()
    sys.exit(run(sys.modules["__main__"], setup=setup))

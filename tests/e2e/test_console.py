#!/usr/bin/env python3
"""The real consoled and xenstored, with guests that are only consoles."""
import ctypes
import glob
import os
import pathlib
import pty
import random
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

from fakehvd import EXTRA_PORT, EXTRA_REF, OUT_CONS, OUT_PROD, Extra, FakeHvd, XenStore
from harness import BUILD, Skip, title, wait_until

GUESTS = int(os.environ.get("CONSOLE_GUESTS", "5000"))
KILLS = int(os.environ.get("CONSOLE_KILLS", "150"))


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: a test that is cut leaves nothing


class Rig:
    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="dz-console."))
        (self.dir / "run").mkdir()
        (self.dir / "xs").mkdir()
        self.logs = self.dir / "logs"
        self.env = dict(os.environ, DOMZERO_RUN_DIR=str(self.dir / "run"), XENSTORED_RUNDIR=str(self.dir / "xs"),
                        XENSTORED_PATH=str(self.dir / "xs/socket"), DOMZERO_LOG_DIR=str(self.logs),
                        DOMZERO_STATE_DIR=str(self.dir), DOMZERO_HV=f"bundled:{self.dir}/run/hvd.sock")
        self.out = open(self.dir / "daemons.out", "ab")
        self.hvd = FakeHvd(self.dir / "run/hvd.sock")
        self.start_xenstored()
        self.daemon = None
        self.next_domid = 1

    def spawn(self, *args):
        return subprocess.Popen(args, env=self.env, stdout=self.out, stderr=self.out, preexec_fn=die_with_parent)

    def start_xenstored(self):
        self.xenstored = self.spawn(BUILD / "xenstored/xenstored")
        sock = self.dir / "xs/socket"

        def there():
            try:
                return XenStore(sock)
            except OSError:
                return None
        self.xs = wait_until("xenstored", there)

    def start(self, *args):
        self.daemon = self.spawn(BUILD / "consoled/consoled", *args)
        wait_until("consoled's socket", lambda: self.ask(b"TAIL nobody 1\n"))

    def stop(self, sig=signal.SIGTERM):
        if self.daemon:
            self.daemon.send_signal(sig)
            self.code = self.daemon.wait(20)
        self.daemon = None

    def restart(self, *args):
        self.stop()
        self.start(*args)

    def ask(self, line):
        """Everything the socket answers to one request."""
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(5)
                s.connect(str(self.dir / "run/consoled.sock"))
                s.sendall(line)
                return b"".join(iter(lambda: s.recv(65536), b""))
        except OSError:
            return b""

    def guest(self, name):
        domid, self.next_domid = self.next_domid, self.next_domid + 1
        g = self.hvd.create(domid, name)
        self.xs.console(domid, name)
        return g

    def log(self, name):
        try:
            return (self.logs / name).read_bytes()
        except FileNotFoundError:
            return b""

    def logged(self, name, want, timeout=10):
        wait_until(lambda: f"{want!r} in {name}, which is {self.log(name)[-300:]!r}",
                   lambda: want in self.log(name), timeout, 0.01)

    def gone(self, g):
        self.hvd.destroy(g.domid)
        self.xs.rm(f"/local/domain/{g.domid}")

    def close(self):
        self.stop()
        self.xenstored.kill()
        self.xenstored.wait()
        self.hvd.stop()
        shutil.rmtree(self.dir)


def attach(rig, g, mode, scrollback=0):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10)
    s.connect(str(rig.dir / "run/consoled.sock"))
    s.sendall(f"ATTACH {g.domid} 0 {mode} {scrollback}\n".encode())
    return s


def until(s, want):
    got = b""
    while want not in got:
        more = s.recv(4096)
        assert more, f"closed after {got!r}, wanted {want!r}"
        got += more
    return got


def tty_of(rig, g):
    return wait_until("the tty node", lambda: rig.xs.read(f"/local/domain/{g.domid}/console/tty"))


# ---- the tests ----

def test_a_new_guest_s_console_is_found_logged_and_has_a_terminal(rig):
    g = rig.guest("web-1")
    g.print(b"Linux version\r\n")
    rig.logged("guest-web-1.log", b"Linux version\r\n")
    assert tty_of(rig, g).startswith("/dev/pts/")
    assert os.stat(tty_of(rig, g)).st_rdev
    rig.gone(g)


def test_guests_that_were_there_before_the_daemon_are_found(rig):
    rig.stop()
    g = rig.guest("early")
    g.print(b"printed before\n")
    rig.start()
    rig.logged("guest-early.log", b"printed before\n")
    rig.gone(g)


def test_viewers_attach_type_and_take_the_pen(rig):
    g = rig.guest("shell")
    g.print(b"login: ")
    rig.logged("guest-shell.log", b"login: ")
    a, b = attach(rig, g, "rw", 100), attach(rig, g, "rw")
    assert until(a, b"login: ").startswith(b"OK rw\n")
    assert until(b, b"\n") == b"OK ro\n"
    a.sendall(b"root\r")
    wait_until("what was typed", lambda: g.typed() == b"root\r", 5)
    c = attach(rig, g, "force")
    assert until(c, b"\n") == b"OK rw\n"
    g.print(b"# ")
    for s in (a, b, c):
        until(s, b"# ")
        s.close()
    rig.gone(g)


def test_xenconsole_attaches_through_the_terminal(rig):
    client = sorted(glob.glob("/usr/lib/xen-*/bin/xenconsole"))
    if not client:
        raise Skip("xenconsole is not installed (xen-utils-4.17)")
    shim = BUILD / "tests/bench/xenconsoled-shim.so"  # it asks Xen whether the domain exists
    if not shim.exists():
        raise Skip("built without Xen's headers (libxen-dev)")
    g = rig.guest("old-friend")
    (rig.dir / f"dom{g.domid}.con").touch()
    env = dict(rig.env, LD_PRELOAD=str(shim), XS_CON_DIR=str(rig.dir))
    g.print(b"seen before anyone came\r\n")
    rig.logged("guest-old-friend.log", b"came\r\n")
    tty_of(rig, g)
    os.makedirs(os.path.realpath("/var/lock"), exist_ok=True)  # where it keeps its lock; not in every container
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(client[-1], [client[-1], str(g.domid)], env)
    try:
        got = b""
        end = time.monotonic() + 10
        while b"came\r\n" not in got and time.monotonic() < end:
            if select.select([fd], [], [], 0.2)[0]:
                try:
                    got += os.read(fd, 4096)
                except OSError:
                    break  # it ended: what it said is in got
        assert b"came\r\n" in got, got
        os.write(fd, b"hello\r")
        wait_until("the keys in the guest", lambda: g.typed() == b"hello\r", 5)
        g.print(b"and back\r\n")
        while b"and back" not in got and time.monotonic() < end:
            got += os.read(fd, 4096)
        os.write(fd, b"\x1d")  # Ctrl-]
        wait_until("xenconsole to leave", lambda: os.waitpid(pid, os.WNOHANG)[0], 5)
        pid = 0
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(fd)
    rig.gone(g)


def test_a_crash_is_marked_with_its_reason_after_the_last_words(rig):
    g = rig.guest("crasher")
    tty_of(rig, g)
    g.put(b"Kernel panic - not syncing\n")
    rig.hvd.shutdown(g.domid, 3, "panic: no init")
    rig.logged("guest-crasher.log", b"Kernel panic - not syncing\n--- domain crashed: panic: no init ---\n")
    rig.restart()  # told once, also over a restart
    rig.gone(g)
    time.sleep(0.3)
    assert rig.log("guest-crasher.log").count(b"---\n") == 1, rig.log("guest-crasher.log")


def test_poweroff_reboot_and_a_killed_process_are_marked(rig):
    for reason, want in ((0, b"--- domain powered off ---\n"), (1, b"--- domain rebooting ---\n")):
        g = rig.guest(f"ends-{reason}")
        tty_of(rig, g)
        rig.hvd.shutdown(g.domid, reason)
        rig.logged(f"guest-ends-{reason}.log", want)
        rig.gone(g)
    g = rig.guest("killed")
    tty_of(rig, g)
    rig.hvd.process_died(g.domid)
    rig.logged("guest-killed.log", b"--- domain crashed: its process died ---\n")
    rig.gone(g)


def test_what_a_destroyed_guest_left_in_the_ring_is_logged(rig):
    g = rig.guest("short")
    tty_of(rig, g)
    g.put(b"x" * 2000 + b"\n")
    rig.gone(g)
    rig.logged("guest-short.log", b"x\n--- domain destroyed ---\n")


def test_a_guest_with_broken_indexes_hurts_only_itself(rig):
    good, bad = rig.guest("good"), rig.guest("bad")
    tty_of(rig, bad)
    bad.set_index(OUT_PROD, bad.index(OUT_CONS) + 2049)
    os.eventfd_write(bad.notify, 1)
    rig.logged("guest-bad.log", b"cut off ---\n")
    good.print(b"fine\n")
    rig.logged("guest-good.log", b"fine\n")
    rig.gone(good)
    rig.gone(bad)


def test_xenstored_and_the_hypervisor_may_go_away_and_come_back(rig):
    g = rig.guest("steady")
    tty_of(rig, g)
    rig.hvd.stop()
    rig.xenstored.kill()
    rig.xenstored.wait()
    g.print(b"nobody is there\n")
    rig.logged("guest-steady.log", b"nobody is there\n")
    rig.hvd.start()
    rig.start_xenstored()
    h = rig.guest("after")
    h.print(b"found\n")
    rig.logged("guest-after.log", b"found\n", 20)
    g.print(b"still\n")
    rig.logged("guest-steady.log", b"still\n")
    rig.gone(g)
    rig.gone(h)


def test_the_hypervisor_s_messages_are_logged_once_over_restarts(rig):
    rig.hvd.dmesg += b"(hv) first\n"
    rig.logged("hypervisor.log", b"(hv) first\n")
    rig.stop(signal.SIGKILL)
    rig.hvd.dmesg += b"(hv) second\n"
    rig.start()
    rig.logged("hypervisor.log", b"(hv) first\n(hv) second\n")
    assert rig.log("hypervisor.log") == b"(hv) first\n(hv) second\n"


def test_logrotate_with_sighup_loses_no_byte(rig):
    g = rig.guest("rotated")
    stop = threading.Event()
    sent = 0

    def flood():
        nonlocal sent
        while not stop.is_set():
            sent += g.put(b"".join(b"%07d\n" % (sent // 8 + i) for i in range(50))[sent % 8:])
            time.sleep(0.0002)
    t = threading.Thread(target=flood)
    t.start()
    for i in range(10):
        time.sleep(0.05)
        try:
            os.rename(rig.logs / "guest-rotated.log", rig.logs / f"moved.{i}")
        except FileNotFoundError:
            continue
        rig.daemon.send_signal(signal.SIGHUP)
    stop.set()
    t.join()
    wait_until("the ring to be empty", lambda: g.index(OUT_CONS) == g.index(OUT_PROD))

    def whole():
        return b"".join(rig.log(f"moved.{i}") for i in range(10)) + rig.log("guest-rotated.log")
    wait_until("all bytes", lambda: len(whole()) == sent)
    assert whole() == b"".join(b"%07d\n" % i for i in range(sent // 8 + 1))[:sent]
    rig.gone(g)


def test_a_daemon_killed_under_floods_loses_and_doubles_nothing(rig):
    rng = random.Random(7)
    rig.restart("--log-rate=0", "--log-size=3000000", "--log-files=99")
    guests = [rig.guest(f"flood{i}") for i in range(3)]
    sent = [0] * 3
    stop = threading.Event()

    def flood():
        while not stop.is_set():
            i = rng.randrange(3)
            at, n = sent[i], rng.randrange(1, 1500)
            sent[i] += guests[i].put(b"".join(b"%d%08d\n" % (i, at // 10 + k) for k in range(n // 10 + 2))[at % 10:at % 10 + n])
    t = threading.Thread(target=flood)
    t.start()
    for _ in range(KILLS):
        time.sleep(rng.random() * 0.04)
        rig.stop(signal.SIGKILL)
        rig.daemon = rig.spawn(BUILD / "consoled/consoled", "--log-rate=0", "--log-size=3000000", "--log-files=99")
    stop.set()
    t.join()
    wait_until("the rings to be empty", lambda: all(g.index(OUT_CONS) == g.index(OUT_PROD) for g in guests))

    def whole(i):
        return b"".join(rig.log(f"guest-flood{i}.log.{k}") for k in range(99, 0, -1)) + rig.log(f"guest-flood{i}.log")
    for i in range(3):
        wait_until(lambda: f"{sent[i]} bytes, there are {len(whole(i))}", lambda: len(whole(i)) >= sent[i])
        want = b"".join(b"%d%08d\n" % (i, k) for k in range(sent[i] // 10 + 1))[:sent[i]]
        assert whole(i) == want, f"guest {i}: {len(whole(i))} bytes logged, {sent[i]} printed"
    print(f"# {KILLS} kills, {sum(sent)} bytes")
    for g in guests:
        rig.gone(g)


def test_json_logs_hold_what_the_guest_printed(rig):
    import json
    rig.restart("--log-format=json")
    g = rig.guest("json")
    g.print(b'say "hi"\r\n\xff\n')
    rig.logged("guest-json.log", b'"}\n')
    wait_until("both lines", lambda: rig.log("guest-json.log").count(b"\n") == 2)
    lines = [json.loads(x) for x in rig.log("guest-json.log").splitlines()]
    assert [x["line"] for x in lines] == ['say "hi"', "\ufffd"] and lines[0]["guest"] == "json"
    rig.gone(g)
    rig.restart()


def test_a_further_console_is_a_device_with_its_own_log_and_viewers(rig):
    g = rig.guest("two")
    e = rig.hvd.extras[g.domid] = Extra(g)
    front, back = f"/local/domain/{g.domid}/device/console/1", f"/local/domain/0/backend/console/{g.domid}/1"

    def state_is(want):
        def read():
            try:
                return rig.xs.read(f"{back}/state") == want
            except AssertionError:
                return False
        wait_until(lambda: f"backend state {want}", read, 10)
    rig.xs.write(f"{front}/type", "xenconsoled")
    rig.xs.write(f"{front}/ring-ref", str(EXTRA_REF))
    rig.xs.write(f"{front}/port", str(EXTRA_PORT))
    rig.xs.write(f"{front}/state", "3")
    time.sleep(0.3)  # a guest alone can't make a device
    assert not e.granted()
    rig.xs.write(f"{back}/frontend-id", str(g.domid))
    rig.xs.write(f"{front}/state", "1")
    state_is("2")
    rig.xs.write(f"{front}/state", "3")
    state_is("4")
    assert e.granted() == 24
    e.print(b"second console\n")
    rig.logged("guest-two@1.log", b"second console\n")
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(str(rig.dir / "run/consoled.sock"))
        s.sendall(f"ATTACH {g.domid} 1 rw 100\nkeys".encode())
        until(s, b"second console\n")
        wait_until("the keys", lambda: e.typed() == b"keys", 5)
    rig.stop(signal.SIGKILL)
    e.put(b"while away\n")
    rig.start()
    rig.logged("guest-two@1.log", b"second console\nwhile away\n")
    rig.xs.write(f"{front}/state", "5")
    state_is("6")
    wait_until("the grant to come back", lambda: not e.granted())
    for _ in range(300):  # XSA-350: states as fast as they can be written
        for state in "135":
            rig.xs.write(f"{front}/state", state)
    rig.xs.write(f"{front}/state", "1")
    state_is("2")
    rig.xs.write(f"{front}/state", "3")
    state_is("4")
    e.print(b"and again\n")
    rig.logged("guest-two@1.log", b"while away\nand again\n")
    g.print(b"fine\n")
    rig.logged("guest-two.log", b"fine\n")
    rig.gone(g)


def test_thousands_of_guests_share_one_process(rig):
    need = GUESTS * 2 + 1500
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < need:
        raise Skip(f"{GUESTS} guests need {need} descriptors, the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rig.restart("--pty=no")
    pid = rig.daemon.pid

    def fds():
        return len(os.listdir(f"/proc/{pid}/fd"))

    def rss():
        return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])
    fds0, rss0, t0 = fds(), rss(), time.monotonic()
    guests = [rig.guest(f"many{i}") for i in range(GUESTS)]
    for i, g in enumerate(guests):
        g.put(b"I am %d\n" % i)
    wait_until("every log", lambda: all(g.index(OUT_CONS) == g.index(OUT_PROD) for g in guests), 120)
    took = time.monotonic() - t0
    for i in range(GUESTS):
        rig.logged(f"guest-many{i}.log", b"I am %d\n" % i)
    used, mem = fds() - fds0, rss() - rss0
    print(f"# {GUESTS} guests in {took:.1f} s: {used / GUESTS:.2f} descriptors and {mem / GUESTS:.1f} KiB each")
    assert used <= 2 * GUESTS + 520, used  # two for each event channel; logs are shared
    t0 = time.monotonic()
    rig.stop(signal.SIGKILL)
    for g in guests:
        g.put(b"again\n")
    rig.start("--pty=no")
    pid = rig.daemon.pid
    wait_until("every ring after a restart", lambda: all(g.index(OUT_CONS) == g.index(OUT_PROD) for g in guests), 120)
    print(f"# found again in {time.monotonic() - t0:.1f} s")
    for i in (0, GUESTS // 2, GUESTS - 1):
        rig.logged(f"guest-many{i}.log", b"I am %d\nagain\n" % i)
    for g in guests:
        rig.gone(g)
    for g in guests:
        g.close()
    wait_until("descriptors to come back", lambda: fds() < fds0 + 520, 60)


def test_every_thread_runs_under_a_system_call_filter(rig):
    tasks = list(pathlib.Path(f"/proc/{rig.daemon.pid}/task").iterdir())
    assert len(tasks) >= 3, tasks
    for t in tasks:
        assert "Seccomp:\t2" in (t / "status").read_text(), t


def test_the_daemon_ends_in_order_and_leaves_no_descriptor_or_file_behind(rig):
    rig.restart()
    g = rig.guest("last")
    tty_of(rig, g)
    g.print(b"bytes\n")
    rig.stop()
    assert rig.code == 0
    assert rig.log("guest-last.log") == b"bytes\n"
    rig.start()
    rig.gone(g)


def main():
    tests = [(n, f) for n, f in sorted(globals().items(), key=lambda kv: getattr(getattr(kv[1], "__code__", None), "co_firstlineno", 0))
             if n.startswith("test_")]
    print(f"1..{len(tests)}", flush=True)
    only, failed = sys.argv[1:], 0
    rig = Rig()
    rig.start()
    for n, (name, f) in enumerate(tests, 1):
        if only and not any(o in name for o in only):
            print(f"ok {n} - {title(f)} # SKIP not chosen")
            continue
        t0 = time.monotonic()
        try:
            if rig.daemon is None or rig.daemon.poll() is not None:
                rig.start()
            f(rig)
            print(f"ok {n} - {title(f)}\n# {time.monotonic() - t0:.1f} s", flush=True)
        except Skip as e:
            print(f"ok {n} - {title(f)} # SKIP {e}", flush=True)
        except Exception:  # noqa: BLE001
            failed += 1
            for line in traceback.format_exc().splitlines():
                print(f"# {line}")
            print(f"not ok {n} - {title(f)}", flush=True)
    if failed:
        for line in (rig.dir / "daemons.out").read_text(errors="replace").splitlines()[-40:]:
            print(f"# {line}")
    rig.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

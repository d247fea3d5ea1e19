#!/usr/bin/env python3
"""A guest's network: Debian's unmodified xen-netfront against netback, in a
network namespace of its own.

What went over TCP is compared on both sides, while the backend is killed."""
import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

from harness import SCRIPTS, TOP, Skip, guest_files, run, wait_until

MAC = "00:16:3e:01:02:03"
MIB = 1 << 20


def own_net():
    """Go on in a network namespace; the host's is not touched."""
    if os.geteuid() == 0 and "DZ_OWN_NET" not in os.environ and \
            subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode == 0:
        os.environ["DZ_OWN_NET"] = "1"
        # The archive can't be reached from there; setup() says what went wrong.
        subprocess.run([SCRIPTS / "guest-kernel", "--module", "xen-netfront"], capture_output=True)
        os.execvp("unshare", ["unshare", "-n", sys.executable, *sys.argv])


def setup(stack):
    if "DZ_OWN_NET" not in os.environ:
        raise Skip("no network namespace can be made")
    made = subprocess.run(["ip", "tuntap", "add", "mode", "tap", "name", "probe"], capture_output=True, text=True)
    if made.returncode:
        raise Skip(f"no TAP can be made: {made.stderr.strip()}")
    subprocess.run(["ip", "tuntap", "del", "mode", "tap", "name", "probe"], check=True)
    for words in ("set lo up", "add testbr0 type bridge", "set testbr0 up"):
        subprocess.run(["ip", "link", *words.split()], check=True)
    subprocess.run(["ip", "addr", "add", "10.77.0.1/24", "dev", "testbr0"], check=True)
    stack.kernel, _ = guest_files(stack.dir)
    out = subprocess.run([SCRIPTS / "guest-kernel", "--module", "xen-netfront"], capture_output=True, text=True)
    if out.returncode:
        raise Skip(f"no xen-netfront: {out.stderr.strip()}")
    stack.initrd = stack.dir / "net.gz"
    subprocess.run([SCRIPTS / "make-initramfs", stack.initrd, "--exe", TOP / "tests/guest/net-check",
                    "--exe", TOP / "tests/guest/net-spoof",
                    "--file", f"{out.stdout.strip()}=lib/xen-netfront.ko"], check=True)
    os.chmod(stack.initrd, 0o644)
    return {}


def netback_pids(stack):
    return [int(line.split()[0]) for line in stack.processes() if "netback --domid" in line]


def kill_backend(stack):
    """The one netback; netd starts another at once."""
    pids = netback_pids(stack)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_until("a new netback", lambda: netback_pids(stack) not in ([], pids), 10)


def has_link(name):
    return subprocess.run(["ip", "link", "show", name], capture_output=True).returncode == 0


def listen(port):
    s = socket.create_server(("10.77.0.1", port))
    s.settimeout(170)
    return s


def serve(s, data, pause):
    conn, _ = s.accept()
    with conn:
        for at in range(0, len(data), MIB // 4):
            conn.sendall(data[at:at + MIB // 4])
            time.sleep(pause)


def create(stack, name, vif, ok=True, cmdline="quiet dz.run=net-check"):
    cfg = stack.write_cfg(name, kernel=stack.kernel, ramdisk=str(stack.initrd), on_poweroff="destroy", vif=[vif],
                          cmdline=f"console=hvc0 {cmdline}")
    return stack.dz("create", cfg, ok=ok)


def test_a_vif_without_its_bridge_is_refused_with_what_to_do(stack, ctx):
    r = create(stack, "lost", "bridge=nobr0", ok=False)
    assert r.code == 1 and "no bridge nobr0" in r.err and "ip link add nobr0 type bridge" in r.err, r
    assert stack.domain("lost") is None or stack.domain("lost")["state"] != "running"


def test_a_guest_pings_and_moves_bytes_both_ways_while_its_backend_is_killed(stack, ctx):
    kills = 0
    down = random.Random(1).randbytes(16 * MIB)
    s, t, got = listen(5000), listen(5001), hashlib.sha256()
    feeder = threading.Thread(target=serve, args=(s, down, 0.05), daemon=True)
    feeder.start()
    create(stack, "nety", f"mac={MAC},bridge=testbr0")
    tap = f"vif{stack.dz('domid', 'nety').out.strip()}.0"
    assert has_link(tap)
    stack.wait_log("nety", "NET-PING ok")
    while feeder.is_alive() and kills < 6:
        time.sleep(0.4)
        kill_backend(stack)
        kills += 1
    stack.wait_log("nety", "NET-GOT")
    conn, _ = t.accept()
    conn.settimeout(120)
    n = 0
    while True:
        part = conn.recv(65536)
        if not part:
            break
        got.update(part)
        n += len(part)
        if n // (2 * MIB) > (n - len(part)) // (2 * MIB):
            kill_backend(stack)
            kills += 1
    conn.close()
    stack.wait_log("nety", "NET-END")
    text = stack.log_text("nety")
    assert f"NET-MAC {MAC}" in text and "NET-ERR" not in text, text[-1500:]
    assert f"NET-GOT {hashlib.sha256(down).hexdigest()}" in text, text[-1500:]
    assert f"NET-DATA {got.hexdigest()}" in text, text[-1500:]
    assert kills >= 4, kills
    stack.wait_gone("nety")
    wait_until("the end of the TAP", lambda: not has_link(tap), 10)
    wait_until("the end of the backend", lambda: not netback_pids(stack), 10)


def test_what_a_guest_says_with_anothers_address_is_dropped(stack, ctx):
    create(stack, "forger", "mac=00:16:3e:01:02:04,ip=10.77.0.3,bridge=testbr0", cmdline="quiet dz.run=net-spoof")
    stack.wait_log("forger", "NET-END")
    text = stack.log_text("forger")
    assert "NET-OWN passes" in text and "NET-AGAIN passes" in text, text[-1500:]
    assert "NET-IP dropped" in text and "NET-MAC dropped" in text, text[-1500:]
    stack.wait_gone("forger")
    wait_until("the end of the rules",
               lambda: "domzero_" not in subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout,
               10)


if __name__ == "__main__":
    own_net()
    sys.exit(run(sys.modules["__main__"], setup=setup))

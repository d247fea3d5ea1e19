#!/usr/bin/env python3
"""apid from outside, on real daemons: every answer fits the OpenAPI document, guests come and go without a
trace, hostile clients harm nobody, a killed apid goes on where it was."""
import concurrent.futures
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import harness
from apiclient import CRASH, DOC, IDLE, Api, tiny_kernel, validator
from harness import BUILD, Skip, wait_until


class Ctx:
    def __init__(self, stack):
        self.dir = stack.dir
        self.idle = tiny_kernel(stack.dir / "idle.elf", IDLE)
        self.crash = tiny_kernel(stack.dir / "crash.elf", CRASH)
        self.api = Api(stack.dir / "run/apid.sock")

    def cfg(self, named, **more):
        return {"name": named, "kernel": self.idle, "memory_mib": 16, **more}

    def create(self, name, **more):
        return self.api.ok("POST", "/v1/domains?start=true&wait=30", self.cfg(name, **more))

    def destroy(self, name):
        return self.api.ok("POST", f"/v1/domains/{name}/destroy?wait=30")


class Apid:
    """One more apid on the same hypervisor, with a state and settings of its own."""

    def __init__(self, stack, name, *args):
        self.dir = stack.dir / name
        self.dir.mkdir(exist_ok=True)
        self.sock = self.dir / "s"
        self.log = (stack.dir / "log" / f"{name}.log").open("w")
        env = {**stack.env, "DOMZERO_STATE_DIR": str(self.dir)}
        self.p = subprocess.Popen([BUILD / "apid/apid", f"--socket={self.sock}", *args], env=env, stderr=self.log)
        wait_until(f"{name} to serve", lambda: self.sock.exists() or self.p.poll() is not None)
        self.api = Api(self.sock)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.p.terminate()
        self.p.wait(30)
        self.log.close()

    def fds(self):
        return len(os.listdir(f"/proc/{self.p.pid}/fd"))


def tree(stack):
    """The XenStore, but for what consoled and crash reports leave in the folders of all."""
    return stack.xs("ls", "-f", "-p").out.splitlines()


def raw(where, data, wait=5):
    """Send bytes, return what comes until the peer closes or falls silent."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(wait)
    s.connect(str(where))
    got = b""
    try:
        s.sendall(data)
        while True:
            part = s.recv(65536)
            if not part:
                break
            got += part
    except (TimeoutError, ConnectionError):
        pass
    s.close()
    return got


# ---- the document ----
def test_the_document_that_is_served_is_the_one_in_the_tree(stack, ctx):
    assert ctx.api.ok("GET", "/openapi.json") == DOC


def test_reading_answers_fit_the_document(stack, ctx):
    host = ctx.api.ok("GET", "/v1/host")
    wait_until("the parts to be seen", lambda: set(ctx.api.ok("GET", "/v1/host")["parts"].values()) == {"up"})
    assert host["control_domain"]["name"] == "Domain-0"
    d = ctx.api.ok("GET", "/v1/host/dmesg")
    assert ctx.api.ok("GET", f"/v1/host/dmesg?offset={d['next_offset']}")["next_offset"] >= d["next_offset"]
    for path in ("/v1/domains", "/v1/tasks", "/v1/events", "/metrics"):
        ctx.api.ok("GET", path)
    ctx.api.problem("not-found", "GET", "/v1/domains/none")
    ctx.api.problem("not-found", "GET", "/v1/tasks/00000000-0000-4000-8000-000000000000")
    ctx.api.problem("not-found", "GET", "/v2")
    ctx.api.problem("method-not-allowed", "PUT", "/v1/domains")
    assert set(ctx.api.headers["Allow"].split(", ")) == {"GET", "POST"}
    ctx.api.problem("bad-request", "GET", "/v1/domains?color=red")
    ctx.api.problem("bad-request", "GET", "/v1/domains?limit=0")
    ctx.api.problem("bad-request", "GET", "/v1/domains?limit=5&limit=6")
    ctx.api.problem("unsupported-media-type", "POST", "/v1/domains", raw="name=x",
                    headers={"Content-Type": "application/x-www-form-urlencoded"})


def test_metrics_are_well_formed_and_every_family_is_described(stack, ctx):
    ctx.create("metered")
    text = ctx.api.ok("GET", "/metrics")
    described = set(re.findall(r"^# TYPE (\w+) (?:counter|gauge)$", text, re.M))
    for line in text.splitlines():
        if not line.startswith("#"):
            m = re.fullmatch(r'(\w+)(\{\w+="(?:[^"\\]|\\.)*"(?:,\w+="(?:[^"\\]|\\.)*")*\})? -?[0-9.e+-]+', line)
            assert m and m[1] in described, line
    assert re.search(r'xen_domain_memory_bytes\{.*name="metered".*\} 16777216', text)
    ctx.destroy("metered")


# ---- definitions ----
def test_a_definition_is_kept_changed_under_its_revision_and_deleted(stack, ctx):
    d = ctx.api.ok("POST", "/v1/domains", ctx.cfg("kept", metadata={"owner": {"a": 1}}, maxmem_mib=32))
    tag = ctx.api.headers["ETag"]
    assert d["state"] == "shutoff" and d["domid"] is None and d["persistent"]
    for ident in (d["uuid"], d["uuid"].upper(), "kept"):
        assert ctx.api.ok("GET", f"/v1/domains/{ident}")["uuid"] == d["uuid"]
    new = ctx.api.ok("PATCH", "/v1/domains/kept", {"memory_mib": 24, "metadata": {"owner": {"b": 2}}},
                     headers={"If-Match": tag})
    assert new["config"]["memory_mib"] == 24 and new["config"]["metadata"] == {"owner": {"a": 1, "b": 2}}
    ctx.api.problem("precondition-failed", "PATCH", "/v1/domains/kept", {"memory_mib": 20},
                    headers={"If-Match": tag})
    ctx.api.problem("invalid-config", "PATCH", "/v1/domains/kept", {"memory_mib": 64})
    ctx.api.problem("name-taken", "POST", "/v1/domains", ctx.cfg("kept"))
    ctx.api.problem("uuid-taken", "POST", "/v1/domains", ctx.cfg("other", uuid=d["uuid"]))
    ctx.api.ok("PATCH", "/v1/domains/kept", {"name": "renamed"})
    ctx.api.problem("wrong-state", "POST", "/v1/domains/renamed/shutdown")
    ctx.api.problem("wrong-state", "POST", "/v1/domains/renamed/destroy")
    assert ctx.api("DELETE", "/v1/domains/renamed")[0] == 204
    ctx.api.problem("not-found", "GET", "/v1/domains/renamed")


def test_lists_come_in_pages_with_filters_and_chosen_fields(stack, ctx):
    names = [f"page{i}" for i in range(7)]
    for n in names:
        ctx.api.ok("POST", "/v1/domains", ctx.cfg(n))
    got, cursor = [], ""
    while cursor is not None:
        page = ctx.api.ok("GET", f"/v1/domains?name=page*&limit=3&fields=name{'&cursor=' + cursor if cursor else ''}")
        assert all(set(d) == {"uuid", "name"} for d in page["domains"]) and len(page["domains"]) <= 3
        got += [d["name"] for d in page["domains"]]
        cursor = page["next_cursor"]
    assert sorted(got) == names
    assert not ctx.api.ok("GET", "/v1/domains?name=page*&state=running,paused")["domains"]
    ctx.api.problem("bad-request", "GET", "/v1/domains?fields=color")
    for n in names:
        ctx.api.ok("DELETE", f"/v1/domains/{n}")


# ---- guests ----
LAYOUT = """
/local/domain/N =  (n0,rN)
/local/domain/N/vm = /vm/U (n0,rN)
/local/domain/N/name = NAME (n0,rN)
/local/domain/N/cpu =  (n0,rN)
/local/domain/N/cpu/0 =  (n0,rN)
/local/domain/N/cpu/0/availability = online (n0,rN)
/local/domain/N/cpu/1 =  (n0,rN)
/local/domain/N/cpu/1/availability = offline (n0,rN)
/local/domain/N/memory =  (n0,rN)
/local/domain/N/memory/static-max = 32768 (n0,rN)
/local/domain/N/memory/target = 16384 (n0,rN)
/local/domain/N/memory/videoram = 0 (n0,rN)
/local/domain/N/device =  (n0,rN)
/local/domain/N/device/suspend =  (n0,rN)
/local/domain/N/device/suspend/event-channel =  (nN)
/local/domain/N/control =  (n0,rN)
/local/domain/N/control/shutdown =  (nN)
/local/domain/N/control/feature-poweroff =  (nN)
/local/domain/N/control/feature-reboot =  (nN)
/local/domain/N/control/feature-suspend =  (nN)
/local/domain/N/control/sysrq =  (nN)
/local/domain/N/control/platform-feature-multiprocessor-suspend = 1 (n0,rN)
/local/domain/N/control/platform-feature-xs_reset_watches = 1 (n0,rN)
/local/domain/N/data =  (nN)
/local/domain/N/drivers =  (nN)
/local/domain/N/feature =  (nN)
/local/domain/N/attr =  (nN)
/local/domain/N/error =  (nN)
/local/domain/N/domid = N (n0,rN)
/local/domain/N/store =  (n0,rN)
/local/domain/N/store/port = 1 (n0,rN)
/local/domain/N/store/ring-ref = 1044476 (n0,rN)
/local/domain/N/console =  (n0,rN)
/local/domain/N/console/backend = /local/domain/0/backend/console/N/0 (n0,rN)
/local/domain/N/console/backend-id = 0 (nN,r0)
/local/domain/N/console/limit = 1048576 (n0,rN)
/local/domain/N/console/type = xenconsoled (n0,rN)
/local/domain/N/console/output = pty (n0,rN)
/local/domain/N/console/tty = TTY (n0,rN)
/local/domain/N/console/port = 2 (n0,rN)
/local/domain/N/console/ring-ref = 1044479 (n0,rN)
/local/domain/0/backend/console/N =  (n0)
/local/domain/0/backend/console/N/0 =  (n0,rN)
/local/domain/0/backend/console/N/0/frontend = /local/domain/N/console (n0,rN)
/local/domain/0/backend/console/N/0/frontend-id = N (n0,rN)
/local/domain/0/backend/console/N/0/online = 1 (n0,rN)
/local/domain/0/backend/console/N/0/state = 1 (n0,rN)
/local/domain/0/backend/console/N/0/protocol = vt100 (n0,rN)
/vm/U =  (n0,rN)
/vm/U/name = NAME (n0,rN)
/vm/U/uuid = U (n0,rN)
/vm/U/start_time = TIME (n0,rN)
/libxl/N =  (n0)
/libxl/N/device =  (n0)
/libxl/N/device/console =  (n0)
/libxl/N/device/console/0 =  (n0)
/libxl/N/device/console/0/frontend = /local/domain/N/console (n0)
/libxl/N/device/console/0/backend = /local/domain/0/backend/console/N/0 (n0)
/libxl/N/device/console/0/frontend-id = N (n0)
/libxl/N/device/console/0/online = 1 (n0)
/libxl/N/device/console/0/state = 1 (n0)
/libxl/N/device/console/0/protocol = vt100 (n0)
/libxl/N/type = pvh (n0)
/libxl/N/dm-version = qemu_xen (n0)
"""


def test_a_guest_gets_exactly_the_nodes_that_libxl_writes(stack, ctx):
    before = tree(stack)
    d = ctx.create("nodes", maxmem_mib=32, maxvcpus=2)
    n, uuid = str(d["domid"]), d["uuid"]
    wait_until("the console's terminal", lambda: ctx.api.ok("GET", "/v1/domains/nodes")["console"]["tty"])
    seen = set()
    for line in set(tree(stack)) - set(before):
        m = re.fullmatch(r'(\S+) = "(.*)"\s+\(([^)]*)\)', line)
        path, value, perms = m[1].replace(uuid, "U"), m[2].replace(uuid, "U"), m[3]
        if path.endswith("/start_time"):
            assert abs(float(value) - time.time()) < 60
            value = "TIME"
        value = "TTY" if path.endswith("/tty") else value
        value = "NAME" if value == "nodes" else value
        path = re.sub(rf"/{n}(?=/|$)", "/N", path) if path.startswith(("/local", "/libxl")) else path
        value = re.sub(rf"/{n}(?=/|$)", "/N", value)
        if path.endswith(("/domid", "/frontend-id")):
            value = value.replace(n, "N")
        seen.add(f"{path} = {value} ({re.sub(f'{n}(?=,|$)', 'N', perms)})".replace("rN0", f"r{n}0"))
    want = {l for l in LAYOUT.strip().splitlines()}
    if n in ("1", "2"):  # ports and vCPU numbers look like the domid
        want = {l.replace("cpu/1", "cpu/N") if n == "1" else l for l in want}
    seen.discard("/local/domain/0/backend/console =  (n0)")  # the first guest's stays for all
    assert seen == want, (seen - want, want - seen)
    ctx.destroy("nodes")
    assert [l for l in tree(stack) if "/backend/console =" not in l] == \
        [l for l in before if "/backend/console =" not in l]
    assert not stack.guest_pids(d["domid"])


def test_pause_and_unpause_are_seen_at_once(stack, ctx):
    ctx.create("pausing")
    for verb, state in (("pause", "paused"), ("pause", "paused"), ("unpause", "running")):
        t = ctx.api.ok("POST", f"/v1/domains/pausing/{verb}?wait=10")
        assert t["state"] == "succeeded"
        assert ctx.api.ok("GET", "/v1/domains/pausing")["state"] == state
    ctx.api.problem("wrong-state", "DELETE", "/v1/domains/pausing")
    ctx.api.problem("wrong-state", "POST", "/v1/domains/pausing/start?wait=5")
    ctx.destroy("pausing")
    ctx.api.problem("not-found", "GET", "/v1/domains/pausing")
    d = ctx.api.ok("POST", "/v1/domains?start=true&paused=true&wait=30", ctx.cfg("pausing"))
    assert d["state"] == "paused"
    ctx.destroy("pausing")


def test_each_vcpu_has_a_time_of_its_own(stack, ctx):
    spin = tiny_kernel(stack.dir / "spin.elf", b"\xeb\xfe")  # jmp to itself; the second vCPU is never started
    ctx.api.ok("POST", "/v1/domains?start=true&wait=30", ctx.cfg("spins", kernel=spin, vcpus=2))
    def times():
        return [v["cpu_seconds"] for v in ctx.api.ok("GET", "/v1/domains/spins/vcpus")["vcpus"]]
    wait_until("some time to be used", lambda: times()[0] > 0.1)
    one, two = times()
    assert two < one / 2, (one, two)
    rpc = ctx.api.rpc("domain.vcpus", {"id": "spins"})["result"]["vcpus"]
    assert [v["id"] for v in rpc] == [0, 1] and rpc[0]["cpu_seconds"] >= one
    rows = [l.split() for l in stack.dz("vcpu-list", "spins").out.splitlines()[1:]]
    assert [r[2] for r in rows] == ["0", "1"] and float(rows[0][5]) > 2 * float(rows[1][5]), rows
    ctx.destroy("spins")
    ctx.api.problem("not-found", "GET", "/v1/domains/spins/vcpus")


def test_memory_and_vcpus_of_a_running_guest_change_in_xenstore(stack, ctx):
    d = ctx.create("sizes", maxmem_mib=32, maxvcpus=3)
    base = f"/local/domain/{d['domid']}"
    d = ctx.api.ok("PATCH", "/v1/domains/sizes", {"memory_mib": 24, "vcpus": 2})
    assert d["target_memory_mib"] == 24
    assert stack.xs("read", f"{base}/memory/target").out.strip() == str(24 * 1024)
    assert [stack.xs("read", f"{base}/cpu/{i}/availability").out.strip() for i in range(3)] == \
        ["online", "online", "offline"]
    ctx.api.problem("wrong-state", "PATCH", "/v1/domains/sizes", {"maxmem_mib": 64})
    ctx.api.ok("PATCH", "/v1/domains/sizes", {"name": "resized"})
    assert stack.xs("read", f"{base}/name").out.strip() == "resized"
    ctx.api.ok("POST", "/v1/domains/resized/sysrq?wait=5", {"key": "h"})
    assert stack.xs("read", f"{base}/control/sysrq").out.strip() == "h"
    ctx.destroy("resized")


def test_a_guest_that_crashes_says_why_in_the_api_in_xenstore_and_in_events(stack, ctx):
    last = ctx.api.ok("GET", "/v1/events?limit=10000")["last_id"]
    d = ctx.create("crasher", kernel=ctx.crash)
    wait_until("the crash", lambda: ctx.api.ok("GET", "/v1/domains/crasher")["state"] == "crashed"
               and ctx.api.ok("GET", "/v1/domains/crasher")["domid"] is None)
    end = ctx.api.ok("GET", "/v1/domains/crasher")["last_end"]
    assert end["reason"] == "crash" and end["detail"], end
    why = stack.xs("read", f"/vm/{d['uuid']}/crash-reason").out.strip()
    assert why == f"crash: {end['detail']}"
    assert stack.xs("exists", f"/local/domain/{d['domid']}", ok=False).code
    types = [e["type"] for e in ctx.api.ok("GET", f"/v1/events?after={last}&domain={d['uuid']}&type=domain.*")["events"]]
    assert types == ["domain.defined", "domain.started", "domain.crashed", "domain.stopped"], types
    ctx.create("crasher")  # the name is free again
    ctx.destroy("crasher")
    stack.xs("rm", f"/vm/{d['uuid']}")


def test_on_crash_preserve_keeps_the_guest(stack, ctx):
    ctx.api.ok("POST", "/v1/domains?start=true&wait=30", {"name": "kept", "kernel": ctx.crash, "memory_mib": 16,
                                                          "on_crash": "preserve"})
    wait_until("the crash", lambda: ctx.api.ok("GET", "/v1/domains/kept")["state"] == "crashed")
    kept = ctx.api.ok("GET", "/v1/domains/kept")
    assert kept["domid"] and "crashed" in kept["flags"] and stack.guest_pids(kept["domid"])
    ctx.destroy("kept")
    ctx.api.problem("not-found", "GET", "/v1/domains/kept")


def crashing(a, ctx, name, **more):
    a.api.ok("POST", "/v1/domains?start=true&wait=30", {"name": name, "kernel": ctx.crash, "memory_mib": 16,
                                                        "on_crash": "restart", **more})


def ends(a, name):
    return [t for t in a.api.ok("GET", "/v1/tasks?limit=100")["tasks"]
            if t["type"] == "domain.end" and t["domain_name"] == name]


def test_a_guest_that_keeps_crashing_is_restarted_five_times_and_then_left_with_the_reason(stack, ctx):
    with Apid(stack, "loop", "--restart-pause=20") as a:
        wait_until("the hypervisor to be seen", lambda: a.api.ok("GET", "/v1/host")["parts"]["hvd"] == "up")
        crashing(a, ctx, "loops")
        wait_until("an end to it", lambda: len(ends(a, "loops")) == 6 and all(t["ended_at"] for t in ends(a, "loops")))
        d = a.api.ok("GET", "/v1/domains/loops")
        assert d["state"] == "crashed" and d["domid"] is None, d
        assert "not restarted: 6 crashes in a row" in d["last_end"]["detail"], d["last_end"]
        assert {t["state"] for t in ends(a, "loops")} == {"succeeded"}
        events = a.api.ok("GET", f"/v1/events?limit=1000&domain={d['uuid']}")["events"]
        assert sum(e["type"] == "domain.started" for e in events) == 6
        a.api.ok("DELETE", "/v1/domains/loops")


def test_between_two_restarts_a_guest_can_be_destroyed_and_a_killed_apid_goes_on(stack, ctx):
    with Apid(stack, "pause", "--restart-pause=60000") as a:
        wait_until("the hypervisor to be seen", lambda: a.api.ok("GET", "/v1/host")["parts"]["hvd"] == "up")
        for name in ("gone", "stays"):
            crashing(a, ctx, name)
            wait_until("the pause", lambda: any(t["step"] == "waiting before the restart" for t in ends(a, name)))
            d = a.api.ok("GET", f"/v1/domains/{name}")
            assert d["state"] == "crashed" and d["domid"] is None and len(d["tasks"]) == 1, d
        a.api.ok("POST", "/v1/domains/gone/destroy?wait=30")
        a.api.problem("not-found", "GET", "/v1/domains/gone")
        assert [t["state"] for t in ends(a, "gone")] == ["succeeded"]
        a.p.kill()
        a.p.wait()
    (a.dir / "s").unlink()
    with Apid(stack, "pause") as a:
        wait_until("the hypervisor to be seen", lambda: a.api.ok("GET", "/v1/host")["parts"]["hvd"] == "up")
        wait_until("it to wait on", lambda: a.api.ok("GET", "/v1/domains/stays")["tasks"])
        assert not a.api.ok("GET", "/v1/domains/stays")["domid"]
        assert a.api.ok("POST", "/v1/domains/stays/start?wait=30")["state"] == "succeeded"  # no need to wait then
        assert ("succeeded", "resumed") in [(t["state"], t["recovery"]) for t in ends(a, "stays")]
        a.api("POST", "/v1/domains/stays/destroy?wait=30")
        wait_until("the reports to go", lambda: not [l for l in tree(stack) if "crash-reason" in l])


def test_a_crash_report_goes_with_the_record_that_a_new_guest_replaces(stack, ctx):
    ctx.api.ok("POST", "/v1/domains?start=true&wait=30", {"name": "again", "kernel": ctx.crash, "memory_mib": 16})
    wait_until("the report", lambda: ctx.api.ok("GET", "/v1/domains/again")["domid"] is None)
    old = ctx.api.ok("GET", "/v1/domains/again")["uuid"]
    assert stack.xs("read", f"/vm/{old}/crash-reason").out.startswith("crash")
    new = ctx.create("again")["uuid"]
    wait_until("its end", lambda: stack.xs("exists", f"/vm/{old}", ok=False).code)
    assert stack.xs("read", f"/vm/{new}/name").out == "again\n"
    ctx.destroy("again")


def test_killing_one_guests_process_ends_exactly_that_guest(stack, ctx):
    a, b = ctx.create("victim"), ctx.create("bystander")
    os.kill(stack.guest_pids(a["domid"])[0], signal.SIGKILL)
    wait_until("the end", lambda: ctx.api.ok("GET", "/v1/domains/victim")["domid"] is None)
    victim = ctx.api.ok("GET", "/v1/domains/victim")
    assert victim["state"] == "crashed" and "signal 9" in victim["last_end"]["detail"]
    assert ctx.api.ok("GET", "/v1/domains/bystander")["domid"] == b["domid"]
    assert stack.xs("exists", f"/local/domain/{a['domid']}", ok=False).code
    ctx.destroy("bystander")
    ctx.api.ok("DELETE", "/v1/domains/victim")


def test_a_destroy_never_waits_behind_a_shutdown(stack, ctx):
    d = ctx.create("deaf")
    s = ctx.api.ok("POST", "/v1/domains/deaf/shutdown", {"timeout": 600})
    wait_until("the request", lambda: stack.xs("read", f"/local/domain/{d['domid']}/control/shutdown").out.strip()
               == "poweroff")
    assert ctx.api.ok("GET", f"/v1/tasks/{s['id']}")["state"] == "running"
    ctx.destroy("deaf")
    assert ctx.api.ok("GET", f"/v1/tasks/{s['id']}/wait?timeout=10")["state"] == "succeeded"


def test_a_guest_that_does_not_listen_is_given_up_or_forced(stack, ctx):
    ctx.create("deaf")
    p = ctx.api.problem("timeout", "POST", "/v1/domains/deaf/shutdown?wait=30", {"timeout": 0.2})
    assert "force" in p["detail"] and p["task"]
    assert ctx.api.ok("POST", "/v1/domains/deaf/shutdown?wait=30", {"timeout": 0.2, "force": True})["state"] == "succeeded"
    ctx.api.problem("not-found", "GET", "/v1/domains/deaf")
    d = ctx.create("deaf")
    ctx.api.ok("POST", "/v1/domains/deaf/reboot?wait=30", {"timeout": 0.2, "force": True})
    again = ctx.api.ok("GET", "/v1/domains/deaf")
    assert again["uuid"] == d["uuid"] and again["domid"] != d["domid"] and again["state"] == "running"
    ctx.destroy("deaf")


def test_what_cannot_be_started_leaves_nothing_behind(stack, ctx):
    before = tree(stack)
    fifo = ctx.dir / "fifo"
    if not fifo.exists():
        os.mkfifo(fifo)
    (ctx.dir / "empty").write_bytes(b"")
    (ctx.dir / "text").write_bytes(b"no kernel " * 500)
    for code, more in (("bad-kernel", {"kernel": "/nonexistent/vmlinuz"}), ("bad-kernel", {"kernel": str(fifo)}),
                       ("bad-kernel", {"kernel": "/"}), ("bad-kernel", {"kernel": "/dev/zero"}),
                       ("bad-kernel", {"kernel": str(ctx.dir / "empty")}), ("bad-kernel", {"kernel": str(ctx.dir / "text")}),
                       ("bad-kernel", {"kernel": "/../../etc/passwd"}), ("bad-kernel", {"ramdisk": "/nonexistent"}),
                       ("out-of-memory", {"memory_mib": 16777216}),
                       ("no-backend", {"disks": [{"vdev": "xvda", "target": "/x"}]}), ("no-backend", {"vifs": [{}]}),
                       ("invalid-config", {"name": "a/b"}), ("invalid-config", {"name": "x" * 300}),
                       ("invalid-config", {"name": "a\nb"}), ("invalid-config", {"name": ""}),
                       ("invalid-config", {"vcpus": 4, "maxvcpus": 2}), ("invalid-config", {"engine": "abacus"})):
        p = ctx.api.problem(code, "POST", "/v1/domains?start=true&wait=30", ctx.cfg("none", **more))
        assert len(p["detail"]) > 15 and "root:" not in json.dumps(p), p
    assert tree(stack) == before
    assert not ctx.api.ok("GET", "/v1/domains?fields=name")["domains"]
    ctx.create("none", disks=[{"vdev": "xvda", "target": "/x"}], vifs=[{}], ignore_devices=True)
    ctx.destroy("none")


def test_of_many_creates_with_one_name_exactly_one_wins(stack, ctx):
    def go(_):
        return ctx.api("POST", "/v1/domains?start=true&wait=30", ctx.cfg("same"))[0]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        got = sorted(pool.map(go, range(16)))
    assert got == [201] + [409] * 15, got
    ctx.destroy("same")


def test_starts_destroys_and_shutdowns_at_once_end_in_order(stack, ctx):
    def life(i):
        name = f"storm{i}"
        t = ctx.api.ok("POST", "/v1/domains?start=true", ctx.cfg(name))  # 202: being made
        ctx.api("POST", f"/v1/domains/{name}/shutdown", {"timeout": 30})
        ctx.api("POST", f"/v1/domains/{name}/destroy?wait=30")
        return ctx.api.ok("GET", f"/v1/tasks/{t['id']}/wait?timeout=30")["state"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert set(pool.map(life, range(24))) <= {"succeeded", "failed"}
    for d in ctx.api.ok("GET", "/v1/domains")["domains"]:
        ctx.api("POST", f"/v1/domains/{d['uuid']}/destroy?wait=30")
    wait_until("no domain", lambda: not ctx.api.ok("GET", "/v1/domains")["domains"])
    left = [l for l in tree(stack) if re.match(r"/local/domain/[1-9]|/libxl/|/vm/", l)]
    assert not left, left


# ---- idempotency, JSON-RPC ----
def test_an_idempotency_key_acts_once(stack, ctx):
    key = {"Idempotency-Key": "key-1"}
    first = ctx.api("POST", "/v1/domains", ctx.cfg("once"), headers=key)
    again = ctx.api("POST", "/v1/domains", ctx.cfg("once"), headers=key)
    assert first == again and first[0] == 201
    ctx.api.problem("idempotency-mismatch", "POST", "/v1/domains", ctx.cfg("twice"), headers=key)
    ctx.api.ok("DELETE", "/v1/domains/once")
    p = ctx.api("POST", "/v1/domains", ctx.cfg("a/b"), headers={"Idempotency-Key": "key-2"})
    assert p == ctx.api("POST", "/v1/domains", ctx.cfg("a/b"), headers={"Idempotency-Key": "key-2"}) and p[0] == 422


def test_a_request_whose_apid_was_killed_is_led_to_its_task(stack, ctx):
    ctx.create("waits")
    key = {"Idempotency-Key": "key-3"}
    ask = ("POST", "/v1/domains/waits/shutdown?wait=60", {"timeout": 300})
    lost = []

    def first():
        try:
            lost.append(ctx.api(*ask, headers=key))
        except (OSError, http.client.HTTPException) as e:
            lost.append(e)
    thread = threading.Thread(target=first)
    thread.start()
    wait_until("the task", lambda: ctx.api.ok("GET", "/v1/domains/waits")["tasks"])
    task = ctx.api.ok("GET", "/v1/domains/waits")["tasks"][0]
    status, again = ctx.api(*ask, headers=key)  # beside the first
    assert status == 202 and again["id"] == task, (status, again)
    stack.kill_daemon("apid")
    thread.join()
    assert isinstance(lost[0], Exception), lost
    status, again = ctx.api(*ask, headers=key)
    assert status == 202 and again["id"] == task and ctx.api.headers["Location"] == f"/v1/tasks/{task}", (status, again)
    assert len([t for t in ctx.api.ok("GET", "/v1/tasks?limit=50")["tasks"] if t["type"] == "domain.shutdown"
                and t["domain_name"] == "waits"]) == 1
    ctx.destroy("waits")


def test_json_rpc_speaks_as_its_specification_says(stack, ctx):
    api = ctx.api
    assert api.rpc("host.get")["result"]["uuid"] == api.ok("GET", "/v1/host")["uuid"]
    assert api.rpc("domain.create", {**ctx.cfg("byrpc"), "start": True, "wait": 30})["result"]["state"] == "running"
    assert api.rpc("domain.pause", {"id": "byrpc", "wait": 10})["result"]["state"] == "succeeded"
    assert api.rpc("domain.destroy", {"id": "byrpc", "wait": 10})["result"]["state"] == "succeeded"
    e = api.rpc("domain.get", {"id": "byrpc"})["error"]
    assert e["code"] == -32004 and e["data"]["code"] == "not-found"
    assert api.rpc("no.such")["error"]["code"] == -32601
    assert api.rpc("domain.get")["error"]["code"] == -32602
    assert api.rpc("domain.get", {"id": 5})["error"]["code"] == -32602
    assert api.rpc("host.get", {"x": 5})["error"]["code"] == -32602
    assert api.rpc("host.get", [])["error"]["code"] == -32602
    json_type = {"Content-Type": "application/json"}
    for text, code in (("{", -32700), ("[]", -32600), ("1", -32600), ('{"jsonrpc":"2.0"}', -32600),
                       ('{"jsonrpc":"1.0","method":"host.get","id":1}', -32600),
                       ('{"jsonrpc":"2.0","method":1,"id":1}', -32600), (f"[{','.join(['1'] * 101)}]", -32600)):
        status, got = api("POST", "/v1/rpc", raw=text, headers=json_type)
        assert status == 200 and got["error"]["code"] == code and got["id"] is None, (text, got)
    assert api("POST", "/v1/rpc", {"jsonrpc": "2.0", "method": "host.get"})[0] == 204
    assert api("POST", "/v1/rpc", [{"jsonrpc": "2.0", "method": "nonsense"}] * 3)[0] == 204
    status, got = api("POST", "/v1/rpc", [{"jsonrpc": "2.0", "method": "host.get", "id": "a"},
                                          {"jsonrpc": "2.0", "method": "host.get"}, 7,
                                          {"jsonrpc": "2.0", "method": "task.wait", "id": None,
                                           "params": {"task": "00000000-0000-4000-8000-000000000000", "timeout": 0}},
                                          {"jsonrpc": "2.0", "method": "domain.list", "id": 1.5, "params": {"limit": 1}}])
    assert [x["id"] for x in got] == ["a", None, None, 1.5], got
    assert [x.get("error", {}).get("code") for x in got] == [None, -32600, -32004, None]


# ---- events ----
def test_an_event_stream_resumes_where_it_was_over_a_kill_of_apid(stack, ctx):
    def stream(headers, until, act=None):
        c = ctx.api.connection(30)
        c.request("GET", "/v1/events?type=domain.*", headers={"Accept": "text/event-stream", **headers})
        r = c.getresponse()
        assert r.status == 200 and r.getheader("Content-Type") == "text/event-stream", r.status
        assert r.readline() == b"retry: 1000\n"
        if act:
            act()
        got, ident = [], None
        while len(got) < until:
            line = r.readline().decode().rstrip("\n")
            if line.startswith("id: "):
                ident = line[4:]
            elif line.startswith("data: "):
                e = json.loads(line[6:])
                validator({"$ref": "#/components/schemas/Event"}).validate(e)
                assert e["id"] == ident
                got.append(e)
        c.close()
        return got
    first = stream({}, 1, lambda: ctx.api.ok("POST", "/v1/domains", ctx.cfg("ev1")))
    assert first[0]["type"] == "domain.defined" and first[0]["data"]["name"] == "ev1"
    ctx.api.ok("DELETE", "/v1/domains/ev1")
    stack.kill_daemon("apid")
    ctx.api.ok("POST", "/v1/domains", ctx.cfg("ev2"))
    rest = stream({"Last-Event-ID": first[0]["id"]}, 2)
    assert [(e["type"], e["data"]["name"]) for e in rest] == [("domain.undefined", "ev1"), ("domain.defined", "ev2")]
    seqs = [int(e["id"].split("-")[1]) for e in first + rest]
    assert seqs == sorted(set(seqs))
    ctx.api.ok("DELETE", "/v1/domains/ev2")
    ctx.api.problem("events-gone", "GET", "/v1/events?after=00000000-1")
    ctx.api.problem("bad-request", "GET", "/v1/events?after=x")


# ---- kills ----
def test_a_killed_apid_goes_on_with_what_it_was_doing(stack, ctx):
    d = ctx.api.ok("POST", "/v1/domains?start=true&persistent=true&wait=30", ctx.cfg("survivor"))
    s = ctx.api.ok("POST", "/v1/domains/survivor/shutdown", {"timeout": 600})
    wait_until("the request", lambda: stack.xs("read", f"/local/domain/{d['domid']}/control/shutdown").out.strip())
    stack.kill_daemon("apid")
    wait_until("the task to go on", lambda: ctx.api.ok("GET", f"/v1/tasks/{s['id']}")["recovery"] == "resumed")
    again = ctx.api.ok("GET", "/v1/domains/survivor")
    assert again["domid"] == d["domid"] and again["tasks"] == [s["id"]]
    ctx.destroy("survivor")
    assert ctx.api.ok("GET", f"/v1/tasks/{s['id']}/wait?timeout=10")["state"] == "succeeded"
    assert ctx.api.ok("GET", "/v1/domains/survivor")["state"] == "shutoff"
    ctx.api.ok("DELETE", "/v1/domains/survivor")


def test_a_guest_that_ends_while_apid_is_away_is_cleared_when_it_is_back(stack, ctx):
    d = ctx.create("away")
    pid = stack.guest_pids(d["domid"])[0]
    os.kill(stack.daemon_pid("apid"), signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    stack.kill_daemon("apid")
    wait_until("the end", lambda: ctx.api("GET", "/v1/domains/away")[1].get("domid") is None)
    assert ctx.api.ok("GET", "/v1/domains/away")["state"] == "crashed"
    assert stack.xs("exists", f"/local/domain/{d['domid']}", ok=False).code
    ctx.api.ok("DELETE", "/v1/domains/away")


def test_kills_in_the_middle_of_creates_leave_whole_guests_or_none(stack, ctx):
    for i in range(6):
        threads = []
        for k in range(6):
            def go(name=f"cut{i}x{k}"):
                try:
                    ctx.api("POST", "/v1/domains?start=true&wait=20", ctx.cfg(name))
                except (OSError, ValueError, AssertionError):
                    pass  # the connection ends with the process
            threads.append(threading.Thread(target=go))
            threads[-1].start()
        time.sleep(0.004 * i)
        stack.kill_daemon("apid")
        for t in threads:
            t.join()

    def settled():
        return not [t for t in ctx.api.ok("GET", "/v1/tasks?limit=100")["tasks"] if t["state"] in ("pending", "running")]
    wait_until("all tasks to end", settled)
    domains = ctx.api.ok("GET", "/v1/domains")["domains"]
    assert all(d["state"] == "running" for d in domains), domains
    ids = {str(d["domid"]) for d in domains}
    lines = tree(stack)
    in_store = {m[1] for m in (re.match(r"/local/domain/([1-9]\d*) =", l) for l in lines) if m}
    assert in_store == ids, (in_store, ids)
    assert {m[1] for m in (re.match(r"/vm/([^/ ]+) =", l) for l in lines) if m} == {d["uuid"] for d in domains}
    recovered = {t["recovery"] for t in ctx.api.ok("GET", "/v1/tasks?limit=1000")["tasks"]}
    print(f"# {len(domains)} of 36 guests came up; tasks were {recovered - {None}}")
    for d in domains:
        ctx.destroy(d["uuid"])
    assert not any(stack.guest_pids(n) for n in ids)


# ---- hostile clients ----
def test_hostile_json_is_refused_and_costs_nothing(stack, ctx):
    t = {"Content-Type": "application/json"}
    for body in (b"[" * 1000000, b'{"a":' * 100000, b'{"name":"a","name":"b"}', b'{"name":"a","kernel":"/k","vcpus":1e400}',
                 b'{"name":"\xff","kernel":"/k"}', b'{"name":"\\ud800"}', b"\0", b"nul", b'{"name":"a\\u0000b"}'):
        assert ctx.api("POST", "/v1/domains", raw=body, headers=t)[0] == 400
    got = raw(ctx.api.where, b"POST /v1/domains HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
              b"Content-Length: 1073741824\r\n\r\n" + b"x" * 65536)
    assert b" 413 " in got.split(b"\r\n")[0], got[:200]
    chunked = b"POST /v1/domains HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    raw(ctx.api.where, chunked + (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 40)
    ctx.api.ok("GET", "/v1/host")


def test_hostile_framing_is_refused(stack, ctx):
    both = b"POST /v1/rpc HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert b" 400 " in raw(ctx.api.where, both, 2).split(b"\r\n")[0]
    twice = b"POST /v1/rpc HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"
    assert b" 400 " in raw(ctx.api.where, twice, 2).split(b"\r\n")[0]
    huge = b"POST /v1/rpc HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nx"
    assert b" 200 " not in raw(ctx.api.where, huge, 2)
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(30)
    s.connect(str(ctx.api.where))
    many = b"GET /v1/tasks?limit=1 HTTP/1.1\r\nHost: localhost\r\n\r\n" * 10000
    sender = threading.Thread(target=lambda: s.sendall(many))
    sender.start()
    got = 0
    while got < 10000:
        part = s.recv(1 << 20)
        assert part, f"cut after {got} answers"
        got += part.count(b"next_cursor")  # one an answer; a cut one is not worth the test's trouble
        if got > 9900:
            break
    sender.join()
    s.close()
    for line in (b"GET " + b"/" * 100000, b"\0" * 5000, b"GET / HTTP/9.9", b"A" * 40000):
        raw(ctx.api.where, line + b"\r\n\r\n", 1)
    ctx.api.ok("GET", "/v1/host")


def test_odd_addresses_lead_nowhere(stack, ctx):
    for path in ("/v1/domains/..%2f..%2fetc%2fpasswd", "/v1/../v1/host", "//v1/host", "/v1/host/", "/v1/domains//console",
                 "/v1/domains/%2e%2e", "/etc/passwd", "/v1/domains/a/b/c/d/e/f/g/h/i/j/k"):
        assert ctx.api("GET", path)[0] in (400, 404), path
    for path in ("/v1/domains/%00", "/v1/domains/%", "/v1/domains/%zz", "/v1/domains/%ff", "/v1/domains?name=%00"):
        ctx.api.problem("bad-request", "GET", path)
    ctx.api.problem("uri-too-long", "GET", "/v1/domains/" + "a" * 9000)
    ctx.api.problem("bad-request", "GET", "/v1/domains/" + "a" * 65)


def test_slow_clients_are_cut_off_and_do_not_stop_others(stack, ctx):
    with Apid(stack, "slow", "--request-timeout=2") as a:
        wait_until("the parts to be seen", lambda: set(a.api.ok("GET", "/v1/host")["parts"].values()) == {"up"})
        base = a.fds()
        socks = []
        for i in range(100):
            s = socket.socket(socket.AF_UNIX)
            s.connect(str(a.sock))
            s.sendall(b"POST /v1/rpc HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n"[: 5 + i % 80])
            if i % 3 == 0:
                s.sendall(b"\r\n{")
            socks.append(s)
        end = time.monotonic() + 15
        while socks and time.monotonic() < end:
            a.api.ok("GET", "/v1/host")
            for s in list(socks):
                try:
                    s.sendall(b"x")  # one byte more, again and again
                except OSError:
                    s.close()
                    socks.remove(s)
            time.sleep(0.3)
        assert not socks, f"{len(socks)} slow clients live"
        wait_until("descriptors back", lambda: a.fds() <= base + 2)


def test_more_connections_than_allowed_wait_and_harm_nobody_else(stack, ctx):
    with Apid(stack, "many", "--connections=64", "--request-timeout=3", "--tcp=127.0.0.1:18499") as a:
        Api(("127.0.0.1", 18499)).ok("GET", "/v1/host")
        wait_until("the parts to be seen", lambda: set(a.api.ok("GET", "/v1/host")["parts"].values()) == {"up"})
        base = a.fds()
        socks = []
        for _ in range(1000):
            s = socket.socket()
            s.settimeout(0.5)
            try:
                s.connect(("127.0.0.1", 18499))
                socks.append(s)
            except OSError:
                s.close()
                break
        a.api.ok("GET", "/v1/host")  # the unix socket has room of its own
        assert a.fds() < base + 100
        for s in socks:
            s.close()
        wait_until("room again", lambda: a.fds() <= base + 3)
        Api(("127.0.0.1", 18499)).ok("GET", "/v1/host")


def test_300_keep_alive_connections_do_not_stall(stack, ctx):
    conns = [ctx.api.connection(10) for _ in range(300)]
    start = time.monotonic()
    for _ in range(3):
        for c in conns:
            assert ctx.api("GET", "/v1/tasks?limit=1", conn=c)[0] == 200
    print(f"# 900 requests over 300 connections in {time.monotonic() - start:.2f} s")
    for c in conns:
        c.close()


def test_the_tcp_port_is_for_root_and_the_group_and_not_for_web_pages(stack, ctx):
    with Apid(stack, "tcp", "--tcp=127.0.0.1:18498") as a:
        t = Api(("127.0.0.1", 18498))
        wait_until("the port", lambda: t.ok("GET", "/v1/host")["uuid"])
        t.problem("forbidden", "GET", "/v1/host", headers={"Host": "evil.example"})
        t.problem("forbidden", "GET", "/v1/host", headers={"Origin": "http://evil.example"})
        r = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "curl", "-s", "-m", "10",
                            "http://127.0.0.1:18498/v1/domains"], capture_output=True, text=True)
        assert json.loads(r.stdout)["code"] == "forbidden", r
        r = subprocess.run([BUILD / "apid/apid", f"--socket={a.dir}/s2", "--tcp=127.0.0.1:18498"],
                           env={**stack.env, "DOMZERO_STATE_DIR": str(a.dir / "x")}, capture_output=True, text=True, timeout=20)
        assert r.returncode == 1 and r.stderr.count("\n") == 1 and "in use" in r.stderr, r
        r = subprocess.run([BUILD / "apid/apid", f"--socket={a.dir}/s3", "--tcp=0.0.0.0:1"], env=stack.env, capture_output=True, text=True, timeout=20)
        assert r.returncode == 1 and "loopback" in r.stderr, r


def test_a_full_disk_is_told_and_nothing_is_half_done(stack, ctx):
    d = ctx.dir / "full"
    d.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", d], capture_output=True).returncode:
        raise Skip("can't mount a small file system")
    try:
        with Apid(stack, "full") as a:
            wait_until("the hypervisor to be seen", lambda: a.api.ok("GET", "/v1/host")["parts"]["hvd"] == "up")
            with open(d / "filler", "wb", buffering=0) as f:
                try:
                    while True:
                        f.write(b"x" * 4096)
                except OSError:
                    pass
            got = [a.api("POST", "/v1/domains?start=true&wait=20", ctx.cfg(f"full{i}", metadata={"x": "y" * 8000}))
                   for i in range(3)]
            assert got[-1][1].get("code") == "disk-full", got
            assert "space" in got[-1][1]["detail"]
            (d / "filler").unlink()
            a.api.ok("POST", "/v1/domains", ctx.cfg("fits"))
            names = {x["name"] for x in a.api.ok("GET", "/v1/domains")["domains"]}
            up = {x["name"] for x in a.api.ok("GET", "/v1/domains?state=running")["domains"]}
            assert names == up | {"fits"}, (names, up)
            for n in up:
                a.api.ok("POST", f"/v1/domains/{n}/destroy?wait=30")
    finally:
        subprocess.run(["umount", d])
    assert not [l for l in tree(stack) if re.match(r"/local/domain/[1-9]", l)]


# ---- dz and an apid that ends ----
def test_dz_reads_again_what_an_ended_apid_did_not_answer_and_changes_nothing_twice(stack, ctx):
    path, asked = str(stack.dir / "cut.sock"), []
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()

    def serve():
        task = b'{"id":"t","state":"failed","progress":0,"problem":{"detail":"seen twice"}}'
        for answer in (None, b'{"domains":[]}', None, task):
            conn = server.accept()[0]
            head = conn.recv(65536)
            asked.append((head.split(b" ")[0], re.findall(rb"Idempotency-Key: (\w{32})\r", head)))
            if answer:
                conn.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))
            conn.close()
        server.close()
    thread = threading.Thread(target=serve)
    thread.start()
    r = stack.dz(f"--api={path}", "list", "-a", "-j")
    assert json.loads(r.out) == [] and asked == [(b"GET", [])] * 2, (r, asked)
    cfg = stack.write_cfg("cut", kernel=ctx.idle, memory=16)
    r = stack.dz(f"--api={path}", "create", "-q", cfg, ok=False)
    thread.join()
    assert r.code == 1 and "seen twice" in r.err, r
    assert [m for m, _ in asked] == [b"GET", b"GET", b"POST", b"POST"] and asked[2] == asked[3] and asked[3][1], asked


# ---- the console ----
def test_the_console_is_attached_by_an_upgrade_and_its_log_is_text_or_json(stack, ctx):
    ctx.create("tty")
    ctx.api.problem("upgrade-required", "GET", "/v1/domains/tty/console")
    wait_until("consoled", lambda: ctx.api.ok("GET", "/v1/domains/tty")["console"]["tty"])
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10)
    s.connect(str(ctx.api.where))
    s.sendall(b"GET /v1/domains/tty/console?mode=rw HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
              b"Upgrade: domzero-console\r\n\r\n")
    head = b""
    while b"\r\n\r\n" not in head:
        part = s.recv(4096)
        assert part, head
        head += part
    assert head.startswith(b"HTTP/1.1 101 ") and b"Console-Mode: rw" in head, head
    s.sendall(b"hello")  # nobody reads it: the guest only halts
    ctx.destroy("tty")
    while s.recv(4096):
        pass  # the guest is gone and so is the console
    s.close()
    ctx.create("tty")
    assert isinstance(ctx.api.ok("GET", "/v1/domains/tty/console/log"), str)
    assert set(ctx.api.ok("GET", "/v1/domains/tty/console/log?bytes=10&lines=1", headers={"Accept": "application/json"})) == {"text"}
    ctx.destroy("tty")


if __name__ == "__main__":
    sys.exit(harness.run(sys.modules[__name__], setup=Ctx))

#!/usr/bin/env python3
"""One guest's life through the whole chain: dz, apid, hvd, xenstored, consoled.

The kernel is Debian's, unmodified; everything is looked at from outside, with
dz, Debian's xenstore tools, curl and the log files."""
import json
import re
import sys
import time

from harness import guest_files, run, wait_until

CMDLINE = "console=hvc0 quiet"


def setup(stack):
    stack.kernel, stack.initrd = guest_files(stack.dir)
    return {}


def create(stack, name, cmdline=CMDLINE, **settings):
    cfg = stack.write_cfg(name, kernel=stack.kernel, ramdisk=stack.initrd, cmdline=cmdline, **settings)
    return stack.dz("create", cfg)


def test_an_unmodified_debian_kernel_boots_to_userland(stack, ctx):
    start = time.monotonic()
    create(stack, "alpha", memory=256)
    stack.wait_log("alpha", "GUEST-READY")
    print(f"# create to userland: {time.monotonic() - start:.1f} s")
    ctx["domid"] = stack.dz("domid", "alpha").out.strip()


def test_a_dynamically_linked_glibc_program_runs_in_the_guest(stack, ctx):
    assert re.search(r"GUEST-GLIBC ok \(\d", stack.log_text("alpha")), stack.log_text("alpha")[-800:]


def test_the_guest_reads_its_own_name_from_xenstore(stack, ctx):
    assert f"GUEST-XENSTORE name=alpha domid={ctx['domid']}" in stack.log_text("alpha"), \
        stack.log_text("alpha")[-800:]


def test_dz_list_has_the_columns_of_xl(stack, ctx):
    lines = stack.dz("list").out.splitlines()
    assert lines[0] == "Name                                        ID   Mem VCPUs\tState\tTime(s)", lines[0]
    assert re.match(r"Domain-0 {33} +0 +\d+ +\d+     r----- +[\d.]+$", lines[1]), lines[1]
    row = [l for l in lines if l.startswith("alpha ")]
    assert len(row) == 1 and re.match(rf"alpha {{36}}{int(ctx['domid']):5d} {{1,5}}2[45]\d     1     "
                                      r"[r-][b-]---- +[\d.]+$", row[0]), row
    long = json.loads(stack.dz("list", "-l", "alpha").out)
    assert long[0]["domid"] == int(ctx["domid"]) and long[0]["config"]["c_info"]["name"] == "alpha"
    assert "alpha" in stack.dz("vcpu-list").out


def test_xenstore_has_what_libxl_writes(stack, ctx):
    n = ctx["domid"]
    uuid = stack.domain("alpha")["uuid"]
    want = {
        f"/local/domain/{n}/vm": f"/vm/{uuid}", f"/local/domain/{n}/name": "alpha",
        f"/local/domain/{n}/domid": n, f"/local/domain/{n}/cpu/0/availability": "online",
        f"/local/domain/{n}/memory/static-max": "262144", f"/local/domain/{n}/memory/target": "262144",
        f"/local/domain/{n}/store/port": r"\d+", f"/local/domain/{n}/store/ring-ref": r"\d+",
        f"/local/domain/{n}/console/port": r"\d+", f"/local/domain/{n}/console/ring-ref": r"\d+",
        f"/local/domain/{n}/console/type": "xenconsoled", f"/local/domain/{n}/console/tty": r"/dev/pts/\d+",
        f"/local/domain/{n}/console/limit": "1048576", f"/local/domain/{n}/control/feature-poweroff": "1",
        f"/local/domain/{n}/control/platform-feature-multiprocessor-suspend": "1",
        f"/vm/{uuid}/name": "alpha", f"/vm/{uuid}/uuid": uuid, f"/libxl/{n}/type": "pvh",
        f"/local/domain/0/backend/console/{n}/0/frontend-id": n, "/local/domain/0/name": "Domain-0",
    }
    for path, value in want.items():
        got = stack.xs("read", path).out.rstrip("\n")
        assert re.fullmatch(value, got), f"{path} is {got!r}, not {value!r}"
    perms = stack.xs("ls", "-p", f"/local/domain/{n}").out
    assert re.search(rf'^name = "alpha" +\. +\(n0,r{n}\)$', perms, re.M) or \
        re.search(rf'^name = "alpha".*\(n0,r{n}\)', perms, re.M), perms[:600]
    assert re.search(rf'^data = "".*\(n{n}\)', perms, re.M), perms[:1500]


def test_its_shell_answers_on_the_console_and_ctrl_bracket_leaves(stack, ctx):
    c = stack.console("alpha")
    c.ask("echo sum=$((40+2))", r"sum=42")
    assert c.leave() == 0
    stack.wait_log("alpha", "sum=42")


def test_two_viewers_see_the_same_and_one_writes(stack, ctx):
    a, b = stack.console("alpha"), None
    try:
        a.ask("echo first", r"\nfirst")
        b = stack.console("alpha", "--read-only")
        time.sleep(0.5)
        a.ask("echo for-$((1+1))-both", r"for-2-both")
        b.expect(r"for-2-both")
    finally:
        a.leave()
        if b:
            b.leave()


def test_a_paused_guest_uses_no_time_and_goes_on(stack, ctx):
    stack.dz("pause", "alpha")
    assert "p" in stack.dz("list", "alpha").out.splitlines()[1].split()[4]
    before = stack.domain("alpha")["cpu_seconds"]
    time.sleep(1)
    assert stack.domain("alpha")["cpu_seconds"] - before < 0.05
    stack.dz("unpause", "alpha")
    assert "p" not in stack.dz("list", "alpha").out.splitlines()[1].split()[4]
    c = stack.console("alpha")
    c.ask("echo awake-$((2*3))", r"awake-6")
    c.leave()


def test_names_and_domids_turn_into_each_other(stack, ctx):
    assert stack.dz("domname", ctx["domid"]).out == "alpha\n"
    stack.dz("rename", "alpha", "beta")
    assert stack.dz("domid", "beta").out.strip() == ctx["domid"]
    assert stack.dz("domid", "alpha", ok=False).code == 1
    assert stack.xs("read", f"/local/domain/{ctx['domid']}/name").out == "beta\n"
    stack.dz("rename", "beta", "alpha")


def test_the_memory_target_and_sysrq_reach_the_guest(stack, ctx):
    stack.dz("mem-set", "alpha", "200")
    target = stack.xs("read", f"/local/domain/{ctx['domid']}/memory/target").out.strip()
    assert target == str(200 * 1024), target
    stack.dz("sysrq", "alpha", "h")
    # "quiet" keeps it off the console; the guest's own log has it.
    c = stack.console("alpha")
    c.ask("dmesg | grep -c 'sysrq: HELP'", r"\n[1-9]")
    c.leave()


def test_info_uptime_dmesg_and_the_api_know_of_it(stack, ctx):
    info = stack.dz("info").out
    assert re.search(r"^xen_version +: 4\.17", info, re.M) and re.search(r"^engine +: \w+", info, re.M), info
    assert re.search(rf"^alpha +{ctx['domid']} \d+:\d\d:\d\d$", stack.dz("uptime").out, re.M)
    assert stack.dz("dmesg").out.strip()
    status, body = stack.curl("/v1/domains/alpha/console/log?lines=5", "-H", "Accept: application/json")
    assert status == 200 and body["text"], (status, body)
    assert stack.curl("/openapi.json")[1]["openapi"].startswith("3.1")


def test_shutdown_powers_it_off_and_leaves_nothing(stack, ctx):
    pids = stack.guest_pids(ctx["domid"])
    assert pids, "no process of this domain was found"
    uuid = stack.domain("alpha")["uuid"]
    stack.dz("shutdown", "-w", "alpha", timeout=120)
    stack.wait_gone("alpha")
    assert "GUEST-DOWN" in stack.log_text("alpha")
    for path in (f"/local/domain/{ctx['domid']}", f"/vm/{uuid}", f"/libxl/{ctx['domid']}",
                 f"/local/domain/0/backend/console/{ctx['domid']}"):
        assert stack.xs("exists", path, ok=False).code != 0, f"{path} is still there"
    wait_until("its processes to end", lambda: not stack.guest_pids(ctx["domid"]), 10)
    assert stack.domain("alpha") is None


def test_a_reboot_starts_it_anew_under_the_same_name(stack, ctx):
    create(stack, "again")
    stack.wait_log("again", "GUEST-READY")
    first, uuid = stack.dz("domid", "again").out.strip(), stack.domain("again")["uuid"]
    stack.dz("reboot", "again")
    stack.wait_log("again", "GUEST-READY", count=2)
    second = stack.dz("domid", "again").out.strip()
    assert second != first and stack.domain("again")["uuid"] == uuid
    assert stack.xs("exists", f"/local/domain/{first}", ok=False).code != 0
    stack.dz("destroy", "again")
    assert stack.dz("domid", "again", ok=False).code == 1
    assert not stack.guest_pids(second)


def test_a_guest_that_powers_itself_off_is_gone(stack, ctx):
    create(stack, "brief", cmdline=CMDLINE + " dz.then=poweroff")
    stack.wait_log("brief", "GUEST-POWEROFF")
    stack.wait_gone("brief")


def test_a_panic_ends_as_crashed_with_its_reason(stack, ctx):
    create(stack, "panics", cmdline=CMDLINE + " dz.then=panic", on_crash="preserve")
    wait_until("the state crashed", lambda: (stack.domain("panics") or {}).get("state") == "crashed", 180)
    d = stack.domain("panics")
    assert "crashed" in d["flags"] and stack.dz("list", "panics").out.splitlines()[1].split()[4][4] == "c"
    assert d["last_end"]["reason"] == "crash", d["last_end"]
    log = stack.log_text("panics")
    assert "Kernel panic" in log and re.search(r"crash", log.rpartition("Kernel panic")[2], re.I), log[-500:]
    assert stack.xs("read", f"/vm/{d['uuid']}/crash-reason").out.strip()
    stack.dz("destroy", "panics")
    assert stack.domain("panics") is None


def test_a_second_vcpu_comes_up_and_works(stack, ctx):
    create(stack, "pair", vcpus=2)
    stack.wait_log("pair", "GUEST-READY")
    assert re.search(r"Linux \S+, 2 vCPU", stack.log_text("pair")), stack.log_text("pair")[-400:]
    assert "GUEST-GLIBC ok" in stack.log_text("pair")
    # What hvd knows of a guest may be a second old.
    wait_until("two vCPUs", lambda: stack.dz("list", "pair").out.splitlines()[1].split()[3] == "2", 5)
    assert len(stack.dz("vcpu-list", "pair").out.splitlines()) == 3
    stack.dz("destroy", "pair")


if __name__ == "__main__":
    sys.exit(run(sys.modules["__main__"], setup=setup))

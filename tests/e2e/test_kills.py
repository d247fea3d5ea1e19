#!/usr/bin/env python3
"""kill -9 of each part, with a guest that must not notice."""
import os
import re
import signal
import sys

from harness import guest_files, run, wait_until

CMDLINE = "console=hvc0 quiet"


def setup(stack):
    stack.kernel, stack.initrd = guest_files(stack.dir)
    for name, settings in (("keeps", {}), ("victim", {"on_crash": "preserve"})):
        cfg = stack.write_cfg(name, kernel=stack.kernel, ramdisk=stack.initrd, cmdline=CMDLINE, **settings)
        stack.dz("create", "-q", cfg)
    for name in ("keeps", "victim"):
        stack.wait_log(name, "GUEST-READY")
    return {"domid": stack.dz("domid", "keeps").out.strip(), "n": 0}


def answers(stack, ctx):
    """The guest's shell answers, dz and XenStore still know it."""
    ctx["n"] += 1
    c = stack.console("keeps")
    c.ask(f"echo alive-$(({ctx['n']}+1000))", rf"alive-{ctx['n'] + 1000}")
    assert c.leave() == 0
    assert stack.dz("domid", "keeps").out.strip() == ctx["domid"]
    assert stack.xs("read", f"/local/domain/{ctx['domid']}/name").out == "keeps\n"
    # Its own requests go through too.
    c = stack.console("keeps")
    c.ask("xenstore-read name", r"\nkeeps")
    c.leave()


def test_killing_a_guests_process_crashes_exactly_that_domain(stack, ctx):
    domid = stack.dz("domid", "victim").out.strip()
    pids = stack.guest_pids(domid)
    assert pids, "no process of this domain was found"
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_until("the state crashed", lambda: (stack.domain("victim") or {}).get("state") in ("crashed", "dying"), 30)
    d = stack.domain("victim")
    assert d["last_end"]["reason"] in ("killed", "crash"), d
    answers(stack, ctx)
    stack.dz("destroy", "victim")
    assert stack.domain("victim") is None
    assert stack.xs("exists", f"/local/domain/{domid}", ok=False).code != 0
    assert not stack.guest_pids(domid)


def test_consoled_comes_back_with_every_byte(stack, ctx):
    before = stack.log_text("keeps")
    stack.kill_daemon("consoled")
    answers(stack, ctx)
    assert stack.log_text("keeps").startswith(before)


def test_no_line_is_lost_or_doubled_while_consoled_is_killed(stack, ctx):
    c = stack.console("keeps")
    c.send("for i in $(seq 3000); do echo tick-$i.; done\n")
    c.expect(r"tick-20\.")
    stack.kill_daemon("consoled")
    c.close()
    stack.wait_log("keeps", r"tick-3000\.", timeout=60)
    ticks = [int(n) for n in re.findall(r"tick-(\d+)\.", stack.log_text("keeps"))]
    assert ticks == list(range(1, 3001)), [n for n in range(1, 3001) if ticks.count(n) != 1][:20]


def test_apid_comes_back_and_knows_its_domains(stack, ctx):
    uuid = stack.domain("keeps")["uuid"]
    stack.kill_daemon("apid")
    assert stack.domain("keeps")["uuid"] == uuid
    answers(stack, ctx)


def test_xenstored_comes_back_with_every_node(stack, ctx):
    stack.xs("write", "/test/kept", "yes")
    before = stack.xs("ls", "/local").out
    stack.kill_daemon("xenstored")
    assert stack.xs("read", "/test/kept").out == "yes\n"
    assert stack.xs("ls", "/local").out == before
    answers(stack, ctx)


def test_hvd_comes_back_and_adopts_its_guests(stack, ctx):
    pids = stack.guest_pids(ctx["domid"])
    stack.kill_daemon("hvd")
    assert stack.guest_pids(ctx["domid"]) == pids
    wait_until("hvd to be reached again",
               lambda: stack.dz("list", "keeps", ok=False).code == 0, 15)
    answers(stack, ctx)


def test_a_new_guest_can_be_made_after_all_that(stack, ctx):
    cfg = stack.write_cfg("later", kernel=stack.kernel, ramdisk=stack.initrd, cmdline=CMDLINE + " dz.then=poweroff")
    stack.dz("create", "-q", cfg)
    stack.wait_log("later", "GUEST-POWEROFF")
    stack.wait_gone("later")


def test_shutdown_still_reaches_the_old_guest(stack, ctx):
    stack.dz("shutdown", "-w", "keeps", timeout=120)
    stack.wait_gone("keeps")
    assert "GUEST-DOWN" in stack.log_text("keeps")


if __name__ == "__main__":
    sys.exit(run(sys.modules["__main__"], setup=setup))

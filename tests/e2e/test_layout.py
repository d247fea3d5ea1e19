#!/usr/bin/env python3
"""XenStore node by node beside what libxl writes: paths, values, permissions.

Linux's frontends and xl's users look nodes up by path, and a permission too
many lets a guest lie to dom0; so nothing may differ, be missing or be added,
except values that differ from boot to boot."""
import pathlib
import re
import sys

from harness import guest_files, run, wait_until

WANTED = (pathlib.Path(__file__).parent / "libxl_pvh.txt").read_text().splitlines()
CMDLINE = "console=hvc0 quiet dz.quick"


def setup(stack):
    stack.kernel, stack.initrd = guest_files(stack.dir)
    return {}


def tree(stack):
    """{path: (value, permissions)} of the whole store."""
    found = {}
    for line in stack.xs("ls", "-f", "-p", "/").out.splitlines():
        m = re.fullmatch(r'(/\S*) = "(.*)"[ .]+(\([^)]*\))', line)
        assert m, line
        found[m[1]] = m[2], m[3]
    return found


def wanted(**words):
    """The same of libxl's list; without words, what is left when no guest is."""
    found = {}
    for line in WANTED:
        if line.startswith("#") or not words and re.search("@[NU]", line):
            continue
        for word, value in words.items():
            line = line.replace(f"@{word}", value)
        m = re.fullmatch(r'(/\S*) = "(.*)" (\([^)]*\))', line)
        found[m[1]] = m[2], m[3]
    return found


def compare(got, want):
    wrong = [f"{p} is missing" for p in want if p not in got] + [f"{p} is too many" for p in got if p not in want]
    for path in want.keys() & got.keys():
        (value, perms), (has, has_perms) = want[path], got[path]
        same = re.fullmatch(value[1:], has) if value.startswith("~") else value == has
        if not same:
            wrong.append(f"{path} is {has!r}, not {value!r}")
        if perms != has_perms:
            wrong.append(f"{path} has {has_perms}, not {perms}")
    return sorted(wrong)


def settled(stack, domid):
    """The guest has written what Linux writes at its start (the last is control/sysrq's watch)."""
    wait_until("the guest's own nodes", lambda: stack.xs(
        "exists", f"/local/domain/{domid}/control/feature-poweroff", ok=False).code == 0)


def check(stack, name):
    d = stack.domain(name)
    settled(stack, d["domid"])
    wrong = compare(tree(stack), wanted(N=str(d["domid"]), U=d["uuid"], G=name))
    assert not wrong, "\n".join(wrong)
    return d["domid"]


def test_a_running_guest_has_exactly_the_nodes_of_libxl(stack, ctx):
    cfg = stack.write_cfg("g1", kernel=stack.kernel, ramdisk=stack.initrd, cmdline=CMDLINE, memory=128)
    stack.dz("create", "-q", cfg)
    stack.wait_log("g1", "GUEST-READY")
    ctx["first"] = check(stack, "g1")


def test_a_rename_changes_the_names_only(stack, ctx):
    stack.dz("rename", "g1", "g2")
    check(stack, "g2")
    stack.dz("rename", "g2", "g1")


def test_a_reboot_leaves_no_node_of_the_old_domid(stack, ctx):
    stack.dz("reboot", "g1")
    stack.wait_log("g1", "GUEST-READY", count=2)
    assert check(stack, "g1") != ctx["first"]


def test_a_daemon_started_again_changes_no_node(stack, ctx):
    before = tree(stack)
    for name in ("consoled", "apid", "xenstored", "hvd"):
        stack.kill_daemon(name)
        check(stack, "g1")
    after = tree(stack)
    assert before == after, compare(after, before)


def test_destroy_leaves_only_what_is_the_hosts(stack, ctx):
    stack.dz("destroy", "g1")
    wrong = compare(tree(stack), wanted())
    assert not wrong, "\n".join(wrong)


if __name__ == "__main__":
    sys.exit(run(sys.modules["__main__"], setup=setup))

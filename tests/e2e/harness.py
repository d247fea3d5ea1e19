"""What the end-to-end tests share: a private stack of daemons, guests, TAP.

A Stack is the real daemons under dz-supervise, in a folder of its own, with
nothing of the host's touched; leaving it ends everything and says what was
left.  Tests are functions whose names are sentences, run in file order."""
import inspect
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("DOMZERO_BUILD", TOP / "build"))
SCRIPTS = TOP / "scripts"
BOOT_TIMEOUT = int(os.environ.get("DOMZERO_BOOT_TIMEOUT", "180"))


class Skip(Exception):
    """This test can't run here; the text says why."""


def wait_until(what, cond, timeout=30, every=0.05):
    """Poll until cond() is true and return it; TimeoutError names what was waited for."""
    end = time.monotonic() + timeout
    while True:
        got = cond()
        if got:
            return got
        if time.monotonic() > end:
            raise TimeoutError(f"waited {timeout} s for: {what() if callable(what) else what}")
        time.sleep(every)


def guest_files(tmp):
    """(kernel, initramfs) for a guest, in a folder that every user may read."""
    os.chmod(tmp, 0o755)
    out = subprocess.run([SCRIPTS / "guest-kernel"], capture_output=True, text=True)
    if out.returncode:
        raise Skip(f"no guest kernel: {out.stderr.strip()}")
    kernel = tmp / "vmlinuz"
    shutil.copyfile(out.stdout.strip(), kernel)
    subprocess.run([SCRIPTS / "make-initramfs", tmp / "initramfs.gz"], check=True)
    for f in (kernel, tmp / "initramfs.gz"):
        os.chmod(f, 0o644)
    return str(kernel), str(tmp / "initramfs.gz")


class Result:
    def __init__(self, p):
        self.code, self.out, self.err = p.returncode, p.stdout, p.stderr

    def __repr__(self):
        return f"status {self.code}, out {self.out!r}, err {self.err!r}"


class Stack:
    def __init__(self, *args, before=None):
        """before(dir): called before the daemons start, for tests that prepare their folders."""
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="dz-e2e."))
        os.chmod(self.dir, 0o755)
        self.args = args
        if before:
            before(self.dir)
        self.env = dict(os.environ)
        self.running = False
        self.left = []

    def __enter__(self):
        r = self.script("start", *self.args)
        if r.code:
            self.show_logs()
            shutil.rmtree(self.dir, ignore_errors=True)
            raise RuntimeError(f"the stack did not start: {r.err}{r.out}")
        for line in self.script("env").out.splitlines():
            m = re.match(r"export (\w+)=(.*)", line)
            self.env[m[1]] = m[2]
        self.running = True
        return self

    def __exit__(self, kind, *_):
        if self.running:
            r = self.script("stop")
            if r.code:
                self.left.append(f"stop failed: {r.err}")
            self.left += [f"still running: {p}" for p in self.processes()]
        if kind:
            self.show_logs()
        shutil.rmtree(self.dir, ignore_errors=True)
        for text in self.left:
            print(f"# {text}", flush=True)

    def script(self, verb, *args):
        return Result(subprocess.run([SCRIPTS / "stack", verb, "--dir", self.dir, "--build", BUILD, *args],
                                     capture_output=True, text=True, timeout=120))

    def show_logs(self):
        for log in sorted(self.dir.glob("log/*.log")):
            for line in log.read_text(errors="replace").splitlines()[-15:]:
                print(f"# {log.name}: {line}")
        for log in sorted(self.dir.glob("console/*.log")):
            for line in log.read_text(errors="replace").splitlines()[-15:]:
                print(f"# {log.name}: {line!r}")

    def processes(self):
        """Command lines of this stack's processes: by their environment, and guests by their program."""
        found = []
        for p in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                mine = f"DOMZERO_RUN_DIR={self.dir}/".encode() in (p / "environ").read_bytes()
                words = (p / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if (mine or str(BUILD / "hv/domain/dz-domain") in words) and int(p.name) != os.getpid() and words:
                found.append(f"{p.name} {words}")
        return found

    # ---- tools ----
    def dz(self, *args, ok=True, timeout=300, cwd=None):
        r = Result(subprocess.run([BUILD / "cli" / "dz", *map(str, args)], env=self.env, capture_output=True,
                                  text=True, errors="replace", timeout=timeout, cwd=cwd))
        if ok and r.code:
            raise AssertionError(f"dz {' '.join(map(str, args))}: {r}")
        return r

    def xs(self, verb, *args, ok=True):
        r = Result(subprocess.run([f"xenstore-{verb}", *args], env=self.env, capture_output=True, text=True,
                                  errors="replace", timeout=30))
        if ok and r.code:
            raise AssertionError(f"xenstore-{verb} {' '.join(args)}: {r}")
        return r

    def curl(self, path, *args):
        """(status, parsed body or None) of a request to apid."""
        out = subprocess.run(["curl", "-s", "-m", "60", "--unix-socket", self.dir / "run/apid.sock",
                              "-w", "\n%{http_code}", *args, f"http://localhost{path}"],
                             capture_output=True, text=True).stdout
        body, _, status = out.rpartition("\n")
        return int(status or 0), json.loads(body) if body.strip().startswith(("{", "[")) else None

    def domain(self, name):
        """The API's object of a domain, or None."""
        status, body = self.curl(f"/v1/domains/{name}")
        return body if status == 200 else None

    # ---- guests ----
    def write_cfg(self, file, **settings):
        path = self.dir / f"{file}.cfg"
        settings = {"name": file, "type": "pvh", "memory": 192, "vcpus": 1, **settings}
        text = "".join(f"{k} = {json.dumps(v)}\n" for k, v in settings.items())
        path.write_text(re.sub(r"\\u00(..)", r"\\x\1", text))
        return path

    def console_log(self, name):
        return self.dir / "console" / f"guest-{name}.log"

    def log_text(self, name):
        log = self.console_log(name)
        return log.read_text(errors="replace") if log.exists() else ""

    def wait_log(self, name, pattern, count=1, timeout=None):
        def seen():
            return len(re.findall(pattern, self.log_text(name))) >= count
        wait_until(lambda: f"{pattern!r} x{count} in the log of {name}; its end: {self.log_text(name)[-600:]!r}",
                   seen, timeout or BOOT_TIMEOUT, 0.1)

    def wait_gone(self, name, timeout=60):
        wait_until(f"the end of {name}", lambda: self.dz("domid", name, ok=False).code == 1, timeout, 0.1)

    def daemon_pid(self, name):
        """The pid of a supervised daemon, from the supervisor's log."""
        text = (self.dir / "log" / "supervisor.log").read_text()
        return int(re.findall(rf"{name} started, pid (\d+)", text)[-1])

    def guest_pids(self, domid):
        """Processes of one domain: "dz-domain DOMID NAME" that descend from this stack's supervisor."""
        found = []
        for p in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                words = (p / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if len(words) > 1 and words[0].endswith(b"dz-domain") and words[1] == str(domid).encode() \
                    and self.is_mine(int(p.name)):
                found.append(int(p.name))
        return found

    def is_mine(self, pid):
        """True if pid descends from this stack's supervisor."""
        top = int((self.dir / "run" / "supervisor.pid").read_text())
        while pid > 1:
            if pid == top:
                return True
            try:
                stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
            except OSError:
                return False
            pid = int(stat.rpartition(")")[2].split()[1])
        return False

    def kill_daemon(self, name):
        """kill -9, and wait until the supervisor has it ready again."""
        log = self.dir / "log" / "supervisor.log"
        before = len(re.findall(rf"{name} is ready", log.read_text()))
        os.kill(self.daemon_pid(name), signal.SIGKILL)
        wait_until(f"{name} to come back", lambda: len(re.findall(rf"{name} is ready", log.read_text())) > before)

    def console(self, dom, *args):
        return Console(self, dom, *args)


class Console:
    """dz console on a pseudo-terminal."""

    def __init__(self, stack, dom, *args):
        self.pid, self.fd = pty.fork()
        self.text = ""
        if self.pid == 0:
            os.execve(BUILD / "cli" / "dz", ["dz", "console", *args, str(dom)], stack.env)

    def read(self, timeout):
        if select.select([self.fd], [], [], timeout)[0]:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                return False
            self.text += data.decode(errors="replace")
            return bool(data)
        return True

    def send(self, text):
        os.write(self.fd, text.encode())

    def expect(self, pattern, timeout=60):
        end = time.monotonic() + timeout
        while not re.search(pattern, self.text):
            left = end - time.monotonic()
            if left <= 0 or not self.read(min(left, 1)):
                raise AssertionError(f"{pattern!r} is not in {self.text[-500:]!r}")

    def ask(self, command, pattern, timeout=60):
        """Send a command; again if nothing comes, for a shell that was not listening yet."""
        end = time.monotonic() + timeout
        while True:
            self.send(command + "\n")
            try:
                return self.expect(pattern, 10)
            except AssertionError:
                if time.monotonic() > end:
                    raise

    def leave(self):
        """Ctrl-]; returns the exit status."""
        self.send("\x1d")
        end = time.monotonic() + 10
        while self.read(0.2) and time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)

    def close(self):
        os.kill(self.pid, signal.SIGTERM)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def own_mounts():
    """Go on in a mount namespace of its own: what tests mount goes with them."""
    if os.geteuid() == 0 and "DZ_OWN_MOUNTS" not in os.environ and \
            subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0:
        os.environ["DZ_OWN_MOUNTS"] = "1"
        os.execvp("unshare", ["unshare", "-m", sys.executable, *sys.argv])


def run(module, *stack_args, setup=None):
    """Run every test_ function of a module on one stack, with TAP output."""
    tests = sorted((f for n, f in inspect.getmembers(module, inspect.isfunction) if n.startswith("test_")),
                   key=lambda f: f.__code__.co_firstlineno)
    print(f"1..{len(tests) + 1}", flush=True)
    failed, n, last = 0, 0, f"{len(tests) + 1} - stopping leaves no process"
    only = sys.argv[1:]
    if os.geteuid() != 0:
        for n, f in enumerate(tests, 1):
            print(f"ok {n} - {title(f)} # SKIP needs root: guests get users and namespaces of their own")
        print(f"ok {last} # SKIP needs root")
        return 0
    try:
        with Stack(*stack_args) as stack:
            ctx = setup(stack) if setup else None
            for n, f in enumerate(tests, 1):
                if only and not any(o in f.__name__ for o in only):
                    print(f"ok {n} - {title(f)} # SKIP not chosen", flush=True)
                    continue
                failed += not run_one(n, f, stack, ctx)
            if failed:
                stack.show_logs()
        print(f"{'not ok' if stack.left else 'ok'} {last}")
        failed += bool(stack.left)
    except Skip as e:
        for n, f in enumerate(tests, 1):
            print(f"ok {n} - {title(f)} # SKIP {e}")
        print(f"ok {last} # SKIP {e}")
    except Exception as e:  # noqa: BLE001 - whatever it was, the rest did not run
        for line in traceback.format_exc().splitlines():
            print(f"# {line}")
        for k in range(n + 1, len(tests) + 1):
            print(f"not ok {k} - {title(tests[k - 1])}: {str(e).splitlines()[0] if str(e) else e!r}")
            failed += 1
        print(f"not ok {last}: it never came to that")
    return 1 if failed else 0


def title(f):
    return f.__name__[5:].replace("_", " ")


def run_one(n, f, stack, ctx):
    start = time.monotonic()
    try:
        f(stack, ctx)
        print(f"ok {n} - {title(f)}\n# {time.monotonic() - start:.1f} s", flush=True)
        return True
    except Skip as e:
        print(f"ok {n} - {title(f)} # SKIP {e}", flush=True)
        return True
    except Exception:  # noqa: BLE001
        for line in traceback.format_exc().splitlines():
            print(f"# {line}")
        print(f"not ok {n} - {title(f)}", flush=True)
        return False

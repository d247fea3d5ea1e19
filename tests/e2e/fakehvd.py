"""A hypervisor without guests: serves hvd's client protocol (proto/hv_msg.h) on
a socket, with console pages and event channels that the test itself drives."""
import array
import errno
import fcntl
import mmap
import os
import pathlib
import selectors
import socket
import struct
import threading
import time

MAGIC = 0x31765A44
(ERROR, OK, EVENT, DOMINFO, DOMINFO_REPLY, DOMLIST, DOMLIST_REPLY, SUBSCRIBE, MAP_PAGE, MAP_PAGE_REPLY) = (
    1, 2, 3, 16, 17, 18, 19, 20, 21, 22)
PORT_BIND, PORT_BIND_REPLY, PORT_CLOSE, HOSTINFO, DMESG, DMESG_REPLY = 25, 26, 27, 42, 44, 45
GUEST_OPEN, GUEST_OPEN_REPLY = 23, 24
F_ADD_SEALS, F_SEAL_SHRINK, F_SEAL_GROW = 1033, 2, 4
EXTRA_REF, EXTRA_PORT = 8, 9
RUNNING, SHUTDOWN, DYING = 1, 8, 16
EV_CREATED, EV_SHUTDOWN, EV_DYING, EV_DESTROYED = 0, 1, 2, 3
IN_CONS, IN_PROD, OUT_CONS, OUT_PROD = 3072, 3076, 3080, 3084  # <xen/io/console.h>
CONSOLE_GFN, CONSOLE_PORT = 0xFEFFF, 2


def text(s):
    b = s.encode()
    return struct.pack("<H", len(b)) + b


class Guest:
    """A domain as far as its console goes."""

    def __init__(self, domid, name, page):
        self.domid, self.name, self.page = domid, name, page
        self.flags, self.reason, self.detail = RUNNING, 0, ""
        self.born = time.time_ns()
        self.words = page.cast("I")  # stores of a whole word, as a CPU does them
        self.notify = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.kick = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def close(self):
        for fd in (self.notify, self.kick):
            os.close(fd)

    def index(self, at):
        return self.words[at // 4]

    def set_index(self, at, value):
        self.words[at // 4] = value & 0xFFFFFFFF

    def put(self, data):
        """Into the ring as far as there is room; how many bytes."""
        prod = self.index(OUT_PROD)
        data = data[:2048 - ((prod - self.index(OUT_CONS)) & 0xFFFFFFFF)]
        at = prod % 2048
        first = data[:2048 - at]
        self.page[1024 + at:1024 + at + len(first)] = first
        self.page[1024:1024 + len(data) - len(first)] = data[len(first):]
        self.set_index(OUT_PROD, prod + len(data))
        os.eventfd_write(self.notify, 1)
        return len(data)

    def print(self, data, timeout=20):
        """All of it, waiting for room."""
        end = time.monotonic() + timeout
        while data:
            n = self.put(data)
            data = data[n:]
            if not n:
                assert time.monotonic() < end, f"guest {self.domid}'s console is stuck"
                time.sleep(0.0005)

    def typed(self):
        """What was put into the in ring."""
        cons, prod = self.index(IN_CONS), self.index(IN_PROD)
        got = bytes(self.page[i % 1024] for i in range(cons, cons + ((prod - cons) & 0xFFFFFFFF)))
        self.set_index(IN_CONS, prod)
        os.eventfd_write(self.notify, 1)
        return got

    def info(self):
        return (struct.pack("<H16sII", self.domid, bytes(16), self.flags, self.reason) + text(self.detail) +
                struct.pack("<QQIIQQ", 1, 1, 1, 1, 0, self.born) + text("soft"))


class Extra(Guest):
    """A further console of a guest: its page is guest RAM, granted as ref 8; port 9."""

    def __init__(self, guest):
        self.ram = os.memfd_create("ram", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self.gnttab = os.memfd_create("gnttab", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        for fd in (self.ram, self.gnttab):
            os.ftruncate(fd, 4096)
            fcntl.fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW)
        self.grants = memoryview(mmap.mmap(self.gnttab, 4096))
        struct.pack_into("=HHI", self.grants, 8 * 8, 1, 0, 0)  # GTF_permit_access, dom0, frame 0
        super().__init__(guest.domid, guest.name, memoryview(mmap.mmap(self.ram, 4096)))

    def granted(self):
        """The flags' in-use bits: GTF_reading 8, GTF_writing 16."""
        return struct.unpack_from("=H", self.grants, 8 * 8)[0] & 24


class FakeHvd:
    def __init__(self, path):
        self.path, self.guests, self.dmesg = pathlib.Path(path), {}, b""
        # All special pages in one file, sparse: page N is guest N's.
        self.memfd = os.memfd_create("special", os.MFD_CLOEXEC)
        os.ftruncate(self.memfd, 65536 * 4096)
        self.pages = memoryview(mmap.mmap(self.memfd, 65536 * 4096))
        self.extras = {}  # domid: Extra
        self.lock = threading.RLock()
        self.subscribers = set()
        self.sel = selectors.DefaultSelector()
        self.cookie = 0
        self.listener = None
        self.stopping = False
        self.start()

    # ---- what tests do ----
    def start(self):
        self.path.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(self.path))
        self.listener.listen(64)
        self.path.chmod(0o666)
        self.stopping = False
        self.sel.register(self.listener, selectors.EVENT_READ)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def stop(self):
        self.stopping = True
        self.thread.join()
        for key in list(self.sel.get_map().values()):
            self.sel.unregister(key.fileobj)
            key.fileobj.close()
        self.subscribers.clear()

    def create(self, domid, name):
        with self.lock:
            g = self.guests[domid] = Guest(domid, name, self.pages[domid * 4096:(domid + 1) * 4096])
        self.event(EV_CREATED, domid)
        return g

    def shutdown(self, domid, reason, detail=""):
        g = self.guests[domid]
        g.reason, g.detail, g.flags = reason, detail, SHUTDOWN
        self.event(EV_SHUTDOWN, domid, reason)

    def process_died(self, domid):
        self.guests[domid].flags = DYING
        self.event(EV_DYING, domid)

    def destroy(self, domid):
        with self.lock:
            g = self.guests.pop(domid)
        self.event(EV_DESTROYED, domid)
        return g

    # ---- the protocol ----
    def event(self, kind, domid, reason=0):
        with self.lock:
            for s in list(self.subscribers):
                self.send(s, EVENT, 0, struct.pack("<IHI", kind, domid, reason), flags=socket.MSG_DONTWAIT)

    def send(self, s, kind, seq, body=b"", fds=(), status=0, flags=0):
        data = struct.pack("<IHHIiI", MAGIC, kind, 0, seq, status, len(body)) + body
        anc = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            s.sendmsg([data], anc, socket.MSG_NOSIGNAL | flags)
        except BlockingIOError:
            self.subscribers.discard(s)  # too slow: it will find out, come back and resync
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it went away

    def error(self, s, seq, err):
        self.send(s, ERROR, seq, text(os.strerror(err)), status=-err)

    def serve(self):
        while not self.stopping:
            for key, _ in self.sel.select(0.05):
                if key.fileobj is self.listener:
                    s, _ = self.listener.accept()
                    self.sel.register(s, selectors.EVENT_READ)
                    continue
                s = key.fileobj
                try:
                    data = s.recv(65536)
                except OSError:
                    data = b""
                if data:
                    with self.lock:
                        self.request(s, data)
                else:
                    self.subscribers.discard(s)
                    self.sel.unregister(s)
                    s.close()

    def request(self, s, data):
        _, kind, _, seq, _, _ = struct.unpack_from("<IHHIiI", data)
        body = data[20:]
        if kind == SUBSCRIBE:
            self.subscribers.add(s)
            return self.send(s, OK, seq)
        if kind == DOMLIST:
            first, n = struct.unpack("<HI", body)
            found = [g.info() for d, g in sorted(self.guests.items()) if d >= first][:min(n, 64)]
            return self.send(s, DOMLIST_REPLY, seq, struct.pack("<I", len(found)) + b"".join(found))
        if kind == DMESG:
            off, n = struct.unpack("<QI", body)
            part = self.dmesg[off:off + n]
            return self.send(s, DMESG_REPLY, seq, struct.pack("<QI", min(off, len(self.dmesg)) + len(part), len(part)) + part)
        if kind == PORT_CLOSE:
            return self.send(s, OK, seq)
        if kind not in (DOMINFO, MAP_PAGE, PORT_BIND, GUEST_OPEN):
            return self.error(s, seq, errno.EOPNOTSUPP)
        g = self.guests.get(struct.unpack_from("<H", body)[0])
        if not g:
            return self.error(s, seq, errno.ESRCH)
        if kind == DOMINFO:
            return self.send(s, DOMINFO_REPLY, seq, g.info())
        if kind == MAP_PAGE:
            if struct.unpack_from("<Q", body, 2)[0] != CONSOLE_GFN:
                return self.error(s, seq, errno.ENOENT)
            return self.send(s, MAP_PAGE_REPLY, seq, struct.pack("<I", g.domid), [self.memfd])
        extra = self.extras.get(g.domid)
        if kind == GUEST_OPEN:
            if not extra:
                return self.error(s, seq, errno.EPERM)
            return self.send(s, GUEST_OPEN_REPLY, seq, struct.pack("<QI", 1, 1), [extra.ram, extra.gnttab])
        port = struct.unpack_from("<I", body, 2)[0]
        if port == EXTRA_PORT and extra:
            g = extra
        elif port != CONSOLE_PORT:
            return self.error(s, seq, errno.ENOENT)
        self.cookie += 1
        return self.send(s, PORT_BIND_REPLY, seq, struct.pack("<Q", self.cookie), [g.notify, g.kick])


class XenStore:
    """Just enough of a client to lay out many guests quickly."""

    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.connect(str(path))
        self.f = self.s.makefile("rb")

    def request(self, op, body):
        self.s.sendall(struct.pack("<IIII", op, 1, 0, len(body)) + body)
        kind, _, _, n = struct.unpack("<IIII", self.f.read(16))
        reply = self.f.read(n)
        assert kind == op, reply
        return reply

    def write(self, path, value):
        self.request(11, path.encode() + b"\0" + value.encode())

    def read(self, path):
        return self.request(2, path.encode() + b"\0").decode()

    def rm(self, path):
        self.request(13, path.encode() + b"\0")

    def console(self, domid, name):
        """What a toolstack writes for a console, ring and port last."""
        base = f"/local/domain/{domid}"
        self.write(f"{base}/name", name)
        self.write(f"{base}/console/type", "xenconsoled")
        self.write(f"{base}/console/limit", "1048576")
        self.write(f"{base}/console/tty", "")
        self.write(f"{base}/console/port", str(CONSOLE_PORT))
        self.write(f"{base}/console/ring-ref", str(CONSOLE_GFN))

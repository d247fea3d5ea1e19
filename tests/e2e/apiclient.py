"""A client of apid that checks every answer against the OpenAPI document, and guests of a few bytes."""
import http.client
import json
import re
import socket
import struct
import warnings

import jsonschema

from harness import TOP

DOC = json.loads((TOP / "proto/openapi.json").read_text())
warnings.simplefilter("ignore", DeprecationWarning)  # RefResolver: Debian 12's jsonschema has nothing newer


def validator(schema):
    resolver = jsonschema.RefResolver(base_uri="", referrer=DOC)
    return jsonschema.Draft202012Validator(schema, resolver=resolver,
                                           format_checker=jsonschema.draft202012_format_checker)


def operation(method, path):
    for template, item in DOC["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method.lower() in item:
            return item[method.lower()]
    return None


def resolve(o):
    while "$ref" in o:
        at = DOC
        for step in o["$ref"][2:].split("/"):
            at = at[step]
        o = at
    return o


def check_answer(method, target, status, ctype, body):
    """AssertionError unless the document says that this operation may answer so."""
    op = operation(method, target.partition("?")[0])
    if op is None:
        assert status in (400, 403, 404, 405, 414), (method, target, status)
        answer = resolve(DOC["components"]["responses"]["Problem"])
    else:
        answer = resolve(op["responses"].get(str(status)) or op["responses"]["default"])
        if str(status) not in op["responses"]:
            assert status >= 400, f"{method} {target}: {status} is not in the document"
    content = answer.get("content")
    if not content:
        assert not body, f"{method} {target}: {status} has a body: {body[:200]!r}"
        return
    media = ctype.partition(";")[0]
    assert media in content, f"{method} {target}: {status} came as {ctype!r}: {body[:200]!r}"
    if "json" in media:
        validator(content[media]["schema"]).validate(json.loads(body))


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=60):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Api:
    """where: the unix socket's path, or (address, port)."""

    def __init__(self, where):
        self.where = where
        self.headers = {}

    def connection(self, timeout=60):
        if isinstance(self.where, tuple):
            return http.client.HTTPConnection(*self.where, timeout=timeout)
        return UnixConnection(self.where, timeout)

    def __call__(self, method, target, body=None, headers=None, raw=None, conn=None):
        c = conn or self.connection()
        h = dict(headers or {})
        data = raw
        if body is not None:
            data = json.dumps(body)
            h.setdefault("Content-Type", "application/json")
        c.request(method, target, data, h)
        r = c.getresponse()
        text = r.read()
        self.headers = dict(r.getheaders())
        check_answer(method, target, r.status, self.headers.get("Content-Type", ""), text)
        if not conn:
            c.close()
        if "json" in self.headers.get("Content-Type", ""):
            return r.status, json.loads(text)
        return r.status, text.decode(errors="replace")

    def ok(self, method, target, body=None, **more):
        status, answer = self(method, target, body, **more)
        assert 200 <= status < 300, (method, target, status, answer)
        return answer

    def problem(self, code, method, target, body=None, **more):
        status, answer = self(method, target, body, **more)
        assert isinstance(answer, dict) and answer.get("code") == code, (method, target, status, answer)
        assert answer["status"] == status
        return answer

    def rpc(self, method, params=None):
        q = {"jsonrpc": "2.0", "id": 1, "method": method}
        if params is not None:
            q["params"] = params
        return self("POST", "/v1/rpc", q)[1]


IDLE = b"\xfb\xf4\xeb\xfd"  # sti; hlt; jmp to the hlt
CRASH = b"\x0f\x0b"     # ud2 without an IDT: triple fault


def tiny_kernel(path, code):
    """An ELF file with a PVH note and a few bytes of code, loaded at 1 MiB."""
    entry = 0x100000
    note = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", entry)
    head = 64 + 2 * 56
    blob = note + code
    elf = b"\x7fELF\2\1\1" + bytes(9)
    elf += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, entry, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    elf += struct.pack("<IIQQQQQQ", 1, 5, head + len(note), entry, entry, len(code), len(code), 4)
    elf += struct.pack("<IIQQQQQQ", 4, 4, head, 0, 0, len(note), len(note), 4)
    path.write_bytes(elf + blob)
    path.chmod(0o644)
    return str(path)

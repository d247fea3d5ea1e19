#!/usr/bin/env python3
"""The OpenAPI document by itself, as TAP: schemas are schemas, references and parameters lead somewhere.

check_openapi.py DOCUMENT.  With openapi-spec-validator at hand the whole document is checked by it too."""
import json
import re
import sys

import jsonschema

doc = json.load(open(sys.argv[1], encoding="utf-8"))
results = []


def report(bad, name, skip=None):
    for text in bad:
        print(f"# {text}")
    print(f"{'not ok' if bad else 'ok'} {len(results) + 1} - {name}{f' # SKIP {skip}' if skip else ''}")
    results.append(not bad)


def walk(o, path="#"):
    yield path, o
    items = o.items() if isinstance(o, dict) else enumerate(o) if isinstance(o, list) else ()
    for k, v in items:
        yield from walk(v, f"{path}/{k}")


def resolve(ref):
    at = doc
    for step in ref.removeprefix("#/").split("/"):
        at = at[step]
    return at


def follow(o):
    return follow(resolve(o["$ref"])) if "$ref" in o else o


def operations():
    for path, item in doc["paths"].items():
        for method, op in item.items():
            yield path, method, op


def check_refs():
    bad = []
    for path, o in walk(doc):
        if isinstance(o, dict) and isinstance(o.get("$ref"), str):
            try:
                resolve(o["$ref"])
            except KeyError:
                bad.append(f"{path}: {o['$ref']} leads nowhere")
    return bad


def check_schemas():
    bad = []
    found = dict(doc["components"]["schemas"])
    found |= {p: o["schema"] for p, o in walk(doc["paths"]) if isinstance(o, dict) and "schema" in o}
    for name, s in found.items():
        try:
            jsonschema.Draft202012Validator.check_schema(s)
        except jsonschema.SchemaError as e:
            bad.append(f"{name}: {e.message}")
        for path, o in walk(s):
            if isinstance(o, dict) and "default" in o and "type" in o and not path.endswith("/properties"):
                if not jsonschema.Draft202012Validator(o).is_valid(o["default"]):
                    bad.append(f"{name}{path[1:]}: the default does not fit")
    return bad


def check_operations():
    bad, ids, rpc = [], set(), set()
    for path, method, op in operations():
        name = op.get("operationId", f"{method} {path}")
        bad += [f"{name} twice"] if name in ids else []
        ids.add(name)
        m = op.get("x-jsonrpc-method")
        bad += [f"{m} twice"] if m in rpc else []
        rpc |= {m} if m else set()
        params = [follow(p) for p in op.get("parameters", [])]
        keys = [(p["name"], p["in"]) for p in params]
        bad += [f"{name}: a parameter twice"] if len(set(keys)) != len(keys) else []
        in_path = {p["name"] for p in params if p["in"] == "path"}
        if in_path != set(re.findall(r"{(\w+)}", path)):
            bad.append(f"{name}: path parameters are not those of the path")
        if "default" not in op["responses"]:
            bad.append(f"{name}: errors are not described")
        if op.get("x-privilege") not in ("read", "operate", "admin"):
            bad.append(f"{name}: who may do it?")
        mutates = method != "get" and name != "jsonRpc"
        if mutates != ("Idempotency-Key" in {p["name"] for p in params}):
            bad.append(f"{name}: Idempotency-Key is for changes, and for all of them")
    return bad


def check_used():
    refs = {o["$ref"] for _, o in walk(doc) if isinstance(o, dict) and isinstance(o.get("$ref"), str)}
    return [f"{kind}/{n} is used nowhere" for kind, group in doc["components"].items() for n in group
            if f"#/components/{kind}/{n}" not in refs]


report([] if doc.get("openapi", "").startswith("3.1.") else ["openapi is not 3.1"], "the document is OpenAPI 3.1")
report(check_refs(), "every reference leads somewhere")
report(check_schemas(), "every schema is a schema and every default fits its own")
report(check_operations(), "operations have unique names, their path's parameters, errors and a privilege")
report(check_used(), "every component is used")
try:
    from openapi_spec_validator import validate
except ImportError:
    report([], "openapi-spec-validator agrees", "openapi-spec-validator is not installed")
else:
    try:
        validate(doc)
        report([], "openapi-spec-validator agrees")
    except Exception as e:  # noqa: BLE001 - whatever it says, it does not agree
        report([str(e).splitlines()[0]], "openapi-spec-validator agrees")
print(f"1..{len(results)}")
sys.exit(0 if all(results) else 1)

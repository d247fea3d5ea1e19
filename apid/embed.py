#!/usr/bin/env python3
"""Turn the OpenAPI document into a C array, without its white space.
Usage: embed.py openapi.json out.c"""
import json
import sys

with open(sys.argv[1], encoding="utf-8") as f:
    text = json.dumps(json.load(f), ensure_ascii=False, separators=(",", ":")).encode()
with open(sys.argv[2], "w", encoding="ascii") as out:
    out.write('#include "apid/apidoc.h"\n\nconst unsigned char apidoc_text[] = {')
    for i, b in enumerate(text):
        out.write("\n\t" if i % 16 == 0 else " ")
        out.write(f"{b},")
    out.write(f"\n}};\nconst size_t apidoc_text_len = {len(text)};\n")

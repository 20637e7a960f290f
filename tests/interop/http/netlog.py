"""Reads the network log of Chromium: a line for each first sight of HTTP/2, Alt-Svc and HTTP/3.

    netlog.py FILE
"""

import json
import sys

with open(sys.argv[1]) as file:
    log = json.load(file)
names = {number: name for name, number in log["constants"]["logEventTypes"].items()}
seen = set()


def tell(word, text):
    if word not in seen:
        seen.add(word)
        print(word, text, flush=True)


for event in log["events"]:
    name, params = names[event["type"]], event.get("params", {})
    headers = json.dumps(params.get("headers", ""))
    if name == "HTTP2_SESSION_RECV_HEADERS":
        tell("h2", name)
        if "alt-svc" in headers:
            tell("alt-svc", name)
    elif name in ("HTTP3_HEADERS_DECODED", "QUIC_CHROMIUM_CLIENT_STREAM_READ_RESPONSE_HEADERS"):
        tell("h3", name)

"""Reads the network log of Chromium: a line for each event of HTTP/3, `NAME PARAMETERS`.

    netlog.py FILE
"""

import json
import sys

with open(sys.argv[1]) as file:
    log = json.load(file)
names = {number: name for name, number in log["constants"]["logEventTypes"].items()}
for event in log["events"]:
    name = names[event["type"]]
    if name.startswith("HTTP3_"):
        print(name, json.dumps(event.get("params", {}), sort_keys=True))
print("read")

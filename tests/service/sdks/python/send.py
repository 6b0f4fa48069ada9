"""Sends calls with Segment's SDK for Python; prints what it was told as JSON.

send.py calls URL KEY GZIP      each kind of call once
send.py load URL KEY COUNT      many track calls in the background, with retries, ids p0 ...
"""

import json
import logging
import sys

from segment.analytics.client import Client

logging.disable(logging.CRITICAL)
mode, url, key, option = sys.argv[1:5]
failed = []


def on_error(error, batch):
    failed.append({"error": str(error), "ids": [item.get("messageId") for item in batch]})


if mode == "calls":
    client = Client(key, host=url, gzip=option == "gzip", on_error=on_error, max_retries=3, timeout=60)
    user = "u-" + option
    client.identify(user, {"email": "a@example.org", "plan": "pro", "logins": 5})
    client.track(user, "Order Completed", {"revenue": 450.75, "currency": "EUR"})
    client.page(user, category="Python", name="Docs", properties={"url": "https://example.org/docs"})
    client.screen(user, category="Main", name="Settings", properties={"dark": True})
    client.group(user, "g1", {"name": "Acme", "employees": 20})
    client.alias("before-" + option, user)
    client.track(anonymous_id="anon", event="Order Completed", properties={"revenue": 1})
    client.flush()
    client.join()
    print(json.dumps({"failed": failed}))
else:
    count = int(option)
    client = Client(
        key,
        host=url,
        on_error=on_error,
        max_retries=1000,
        thread=2,
        upload_size=20,
        upload_interval=0.05,
        max_queue_size=count + 10,
        timeout=10,
    )
    for n in range(count):
        ok, message = client.track("u%d" % (n % 50), "Loaded", {"n": n}, message_id="p%d" % n)
        assert ok, message
    client.flush()
    client.join()
    print(json.dumps({"failed": failed, "sent": count}))

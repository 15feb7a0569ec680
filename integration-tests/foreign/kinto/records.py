"""Fills a running Kinto over its HTTP batch API, or prints the ids it holds.

records.py seed|ids BASE_URL
"""

import base64
import json
import sys
import urllib.request
import uuid

RECORDS = 5_000
BATCH = 500  # kinto.batch_max_requests in kinto.ini
BUCKET = "/buckets/social"
COLLECTION = BUCKET + "/collections/notes"
FIRST_MODIFIED = 1_600_000_000_000  # ms; given, so that every run is the same


def call(method, path, body=None):
    request = urllib.request.Request(
        base + "/v1" + path,
        method=method,
        data=json.dumps(body).encode() if body is not None else None,
        headers={
            "Content-Type": "application/json",
            "Authorization": "Basic " + base64.b64encode(b"tidegate:tidegate").decode(),
        },
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.headers, json.loads(answer.read() or b"null")


def held():
    headers, _ = call("HEAD", COLLECTION + "/records")
    return int(headers["Total-Objects"])


def put(n):
    # A name-based UUID: looks like the ids that Kinto makes, yet always the same.
    record = uuid.uuid5(uuid.NAMESPACE_URL, f"note-{n}")
    data = {
        "number": n,
        "title": f"Note {n}",
        "tags": [f"t{n % 7}", f"t{n % 11}"],
        "last_modified": FIRST_MODIFIED + n,
    }
    return {"method": "PUT", "path": f"{COLLECTION}/records/{record}", "body": {"data": data}}


def seed():
    call("PUT", BUCKET, {"permissions": {"write": ["system.Authenticated"]}})
    call("PUT", COLLECTION, {"permissions": {"read": ["system.Everyone"]}})
    for first in range(1, RECORDS + 1, BATCH):
        requests = [put(n) for n in range(first, first + BATCH)]
        _, answer = call("POST", "/batch", {"requests": requests})
        failed = [r for r in answer["responses"] if r["status"] not in (200, 201)]
        if failed:
            sys.exit(f"records: {failed[0]}")
    if held() != RECORDS:
        sys.exit(f"records: the server holds {held()}, not {RECORDS}")


def ids():
    # Without _limit Kinto answers with the whole list at once: no pagination
    # is involved, so this is independent of what a client under test does.
    _, answer = call("GET", COLLECTION + "/records?_fields=id")
    if len(answer["data"]) != held():
        sys.exit("records: one answer did not hold all (is KINTO_PAGINATE_BY set?)")
    print("\n".join(sorted(record["id"] for record in answer["data"])))


command, base = sys.argv[1:]
{"seed": seed, "ids": ids}[command]()

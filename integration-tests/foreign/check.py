"""Pages every list of both running servers whole, one page after the other,
and compares the ids with `serve ids`. To be run after a change of versions.

check.py [DRF_URL [KINTO_URL]]
"""

import json
import pathlib
import subprocess
import sys
import urllib.request

SERVE = pathlib.Path(__file__).parent / "serve"
TOKEN = "5eeded70ca5e5eeded70ca5e5eeded70ca5e0001"
args = sys.argv[1:]
DRF = args[0] if args else "http://127.0.0.1:18201"
KINTO = args[1] if len(args) > 1 else "http://127.0.0.1:18202"


def pages(url, token=None):
    while url:
        request = urllib.request.Request(url)
        if token:
            request.add_header("Authorization", f"Token {token}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            body = json.load(answer)
            yield body.get("results", body.get("data"))
            url = body.get("next") or answer.headers["Next-Page"]


def check(url, server, what, token=None):
    got = list(pages(url, token))
    ids = [str(item["id"]) for page in got for item in page]
    port = ["--port", KINTO.rsplit(":", 1)[1]] if server == "kinto" else []
    held = subprocess.check_output([SERVE, "ids", server, what, *port], text=True).split()
    same = len(ids) == len(held) and set(ids) == set(held)
    print(f"{'ok ' if same else 'BAD'} {len(ids):6} of {len(held):6} in {len(got):4} pages  {url}")
    return same


good = [
    check(f"{DRF}/api/users/?limit=100", "drf", "users"),
    check(f"{DRF}/api/private/users/?limit=100", "drf", "users", TOKEN),
    check(f"{DRF}/api/posts/?page_size=100", "drf", "posts"),
    *(check(f"{DRF}/api/users/{n}/followers/", "drf", f"followers:{n}") for n in (1, 2, 3, 4, 1000)),
    *(check(f"{DRF}/api/users/{n}/posts/?page_size=100", "drf", f"posts:{n}") for n in (1, 2, 7, 9, 10)),
    check(f"{KINTO}/v1/buckets/social/collections/notes/records?_limit=100", "kinto", "records"),
    check(f"{KINTO}/v1/buckets/social/collections/notes/records?_limit=1000&_sort=number", "kinto", "records"),
]
sys.exit(not all(good))

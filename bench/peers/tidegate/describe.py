"""What a workload of the peers' benchmark comes to for Tidegate: a provider file and a job file."""
import json, os, pathlib, shutil
from urllib.parse import parse_qsl, urlsplit

#: The pace that a limit which nobody tells is learnt from, in calls a second; the others' own start there, too.
START_PER_S = 50


def program():
    """$TIDEGATE, else target/release/tidegate of this repository, else `tidegate` on the PATH."""
    built = pathlib.Path(__file__).resolve().parents[3] / "target" / "release" / "tidegate"
    return os.environ.get("TIDEGATE") or (str(built) if built.exists() else shutil.which("tidegate"))


def endpoint(url, **more):
    url = urlsplit(url)
    return {"get": url.path, "query": dict(parse_qsl(url.query)), **more}


def offset_pages(url, size, items):
    pages = {"offset": "offset", "size": {"param": "limit", "max": size}, "total": "$.total"}
    return endpoint(url, items=items, pages=pages)


def describe(spec, work):
    """Writes both files into a folder; returns the job file and the step whose items are wanted."""
    opts, kind = spec["opts"], spec["kind"]
    limits = []
    if kind == "fanout":
        feed = {"cursor": "cursor", "next": "$.next_cursor", "size": {"param": "limit", "max": spec["feed_limit"]}}
        endpoints = {
            "users": offset_pages(spec["users_url"], spec["users_limit"], "$.users[*]"),
            "feed": endpoint(spec["feed_url"], items="$.items[*]", pages=feed),
        }
        steps = [
            {"id": "users", "call": "users"},
            {"id": "feed", "call": "feed", "for_each": "users", "with": {"user": "{{ item.id }}"}},
        ]
    else:
        endpoints = {"items": offset_pages(spec["url"], spec["limit"], "$.items[*]")}
        steps = [{"id": "items", "call": "items"}]
    if kind == "known":
        window = {"calls": spec["rate"], "per": f"{spec['window']}s"}
        limits = [{"id": "token", "key": ["credential"], "window": window, "headers": {}}]
    elif kind == "hidden":
        limits = [{"id": "token", "key": ["credential"], "learn": {"start_per_s": START_PER_S}}]
        # The list has no end; time ends it.
        steps[0]["limit"] = spec["pages"] * spec["limit"]
    if opts.get("key"):
        for each in endpoints.values():
            each["key"] = "$.id"
    provider = {
        "tidegate": 1,
        "provider": "bench",
        "base_url": spec["base"],
        "auth": {"bearer": "{{ credential.token }}"},
        "limits": limits,
        "endpoints": endpoints,
    }
    job = {"provider": "./provider.json", "credential": "bench", "steps": steps}
    if "max_in_flight" in opts:
        job["max_in_flight"] = min(opts["max_in_flight"] or spec["max_in_flight"], spec["max_in_flight"])
    (work / "provider.json").write_text(json.dumps(provider, indent=1))
    (work / "job.json").write_text(json.dumps(job, indent=1))
    return str(work / "job.json"), steps[-1]["id"]

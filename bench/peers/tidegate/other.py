"""Another client of the same hidden limit, whom nobody announces: a third of what is allowed, at a steady pace."""
import http.client, threading, time
from urllib.parse import urlsplit


class Other(threading.Thread):
    """Calls until `duration` is over; `ok` and `refused` are what came of it."""

    def __init__(self, spec, share):
        super().__init__(daemon=True)
        self.url, self.token, self.duration, self.share = urlsplit(spec["url"]), spec["token"], spec["duration"], share
        if not self.url.netloc:
            self.url = urlsplit(spec["base"] + spec["url"])
        # second:calls a second:burst, from the first call on
        self.schedule = [tuple(map(float, part.split(":")[:2])) for part in spec["schedule"].split(",")]
        self.ok = self.refused = 0

    def per_s(self, at_s):
        return next(per_s for begins_s, per_s in reversed(self.schedule) if begins_s <= at_s) * self.share

    def run(self):
        began, due = time.monotonic(), time.monotonic()
        connection = http.client.HTTPConnection(self.url.netloc, timeout=10)
        target = f"{self.url.path}?{self.url.query}&offset=0&limit=1"
        while due - began < self.duration:
            time.sleep(max(0, due - time.monotonic()))
            connection.request("GET", target, headers={"Authorization": f"Bearer {self.token}"})
            answer = connection.getresponse()
            answer.read()
            if answer.status == 429:
                self.refused += 1
            else:
                self.ok += 1
            due += 1 / self.per_s(due - began)

    def note(self):
        return f"the other client: {self.ok} let through, {self.refused} refused"

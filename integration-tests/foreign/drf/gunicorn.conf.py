"""gunicorn: one worker process, many threads.

One process, because the stock throttles read their history from the cache,
append and write it back, and nothing makes that atomic between processes: with
the file cache and two workers, 366 requests passed a rate of 300. Within one
process a lock does (social/api.py), so the count is exact and the memory cache
will do. Without a throttle DRF_WORKERS may be raised for throughput.
"""

import os

workers = int(os.environ.get("DRF_WORKERS", "1"))
if workers > 1 and (os.environ.get("THROTTLE_RATE") or os.environ.get("THROTTLE_RATE_ALL")):
    raise RuntimeError("a throttle counts exactly in one process only: unset DRF_WORKERS")

wsgi_app = "django.core.wsgi:get_wsgi_application()"
worker_class = "gthread"
threads = int(os.environ.get("DRF_THREADS", "16"))
keepalive = 30  # seconds; the default of 2 closes connections a client still pools
graceful_timeout = 2
control_socket_disable = True  # it would be created in the home directory
accesslog = "-"  # one line per request, for tests that count them

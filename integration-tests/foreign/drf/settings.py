"""Settings of the "social graph" application: stock Django REST framework.

Environment: TIDEGATE_DRF_DB (path of the SQLite file, required), THROTTLE_RATE
and THROTTLE_RATE_ALL (off when unset or empty; see README.md), DRF_HOST (the
address that it is called by, if not loopback).
"""

import os

SECRET_KEY = "not-a-secret-loopback-test-server"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost", os.environ.get("DRF_HOST", "")]
TIME_ZONE = "UTC"
USE_TZ = True
ROOT_URLCONF = "social.api"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "rest_framework",
    "rest_framework.authtoken",
    "social",
]
# CommonMiddleware only: it sends Content-Length and redirects (301) a path
# without its trailing slash, as most Django sites do.
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["TIDEGATE_DRF_DB"],
        "CONN_MAX_AGE": None,  # one lasting connection per server thread
    }
}

# The throttle history lives in the default cache, the memory of one process:
# see gunicorn.conf.py for why there is then only one worker process.
REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.TokenAuthentication"
    ],
    "DEFAULT_THROTTLE_CLASSES": [
        "rest_framework.throttling.UserRateThrottle",
        "rest_framework.throttling.ScopedRateThrottle",
    ],
    # A rate of None turns its throttle off.
    "DEFAULT_THROTTLE_RATES": {
        "user": os.environ.get("THROTTLE_RATE_ALL") or None,
        "throttled": os.environ.get("THROTTLE_RATE") or None,
    },
    # Count by socket address: X-Forwarded-For must not open a second budget.
    "NUM_PROXIES": 0,
}

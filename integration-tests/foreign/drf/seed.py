"""Builds the SQLite file named by TIDEGATE_DRF_DB: the same rows every time.

Written beside its final name and moved into place, so that a half-built
database is never served.
"""

import os
from datetime import datetime, timedelta, timezone

target = os.environ["TIDEGATE_DRF_DB"]
os.environ["TIDEGATE_DRF_DB"] = target + ".new"
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
if os.path.exists(target + ".new"):
    os.remove(target + ".new")

import django  # noqa: E402

django.setup()

from django.contrib.auth.models import User as Account  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from rest_framework.authtoken.models import Token  # noqa: E402
from social.models import Follow, Post, User  # noqa: E402

USERS = 10_000
START = datetime(2020, 1, 1, tzinfo=timezone.utc)
TOKEN = "5eeded70ca5e5eeded70ca5e5eeded70ca5e0001"

# Sizes that matter to a client: long, exactly one and exactly two full pages.
FOLLOWERS = {1: 5_000, 2: 100, 3: 200}
POSTS = {1: 500, 2: 100, 7: 300, 42: 250}


def follower_count(user):
    if user % 1000 == 0:
        return 0
    return FOLLOWERS.get(user, 10 + user % 31)


def followers(user):
    # 137 has no factor in common with 10,000: all distinct, never the user.
    return ((user - 1 + 137 * k) % USERS + 1 for k in range(1, follower_count(user) + 1))


def post_count(user):
    if user % 10 == 0:
        return 0
    return POSTS.get(user, 1 + user % 6)


def authors():
    """Round after round over the users, so that ids of one author are spread."""
    for turn in range(max(POSTS.values())):
        for user in range(1, USERS + 1):
            if turn < post_count(user):
                yield user, turn + 1


def main():
    call_command("migrate", run_syncdb=True, verbosity=0)
    with transaction.atomic():
        User.objects.bulk_create(
            User(
                id=n,
                username=f"user{n:05}",
                # Every hundredth name leaves ASCII and holds a quote.
                display_name=f"Zoë \"漢字\" 🌊 {n}" if n % 100 == 0 else f"User {n}",
                joined=START + timedelta(minutes=n),
            )
            for n in range(1, USERS + 1)
        )
        Follow.objects.bulk_create(
            Follow(followed_id=user, follower_id=follower)
            for user in range(1, USERS + 1)
            for follower in followers(user)
        )
        Post.objects.bulk_create(
            Post(
                id=n,
                author_id=user,
                text=f"Post {turn} of user {user}",
                created=START + timedelta(days=30, minutes=n),
            )
            for n, (user, turn) in enumerate(authors(), 1)
        )
        account = Account.objects.create(username="tidegate")
        Token.objects.create(user=account, key=TOKEN)
    connection.close()
    os.replace(target + ".new", target)
    print(f"seeded {target}")


main()

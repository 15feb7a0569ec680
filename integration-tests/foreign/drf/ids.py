"""Prints ids straight from the SQLite file, past Django: ids.py DB WHAT"""

import sqlite3
import sys

QUERIES = {
    "users": "SELECT id FROM social_user ORDER BY id",
    "posts": "SELECT id FROM social_post ORDER BY id",
    "followers:": "SELECT follower_id FROM social_follow WHERE followed_id = ? ORDER BY 1",
    "posts:": "SELECT id FROM social_post WHERE author_id = ? ORDER BY id",
}

database, what = sys.argv[1:]
kind, colon, user = what.partition(":")
if kind + colon not in QUERIES or (colon and not user.isdigit()):
    sys.exit(f"ids: {what!r} is none of users, posts, followers:ID, posts:ID")
with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
    for (found,) in db.execute(QUERIES[kind + colon], (user,) if colon else ()):
        print(found)

from django.db import models


class User(models.Model):
    """A person in the graph. Not an account: django.contrib.auth has those."""

    username = models.CharField(max_length=40, unique=True)
    display_name = models.CharField(max_length=80)
    joined = models.DateTimeField()
    followers = models.ManyToManyField(
        "self",
        symmetrical=False,
        through="Follow",
        through_fields=("followed", "follower"),
        related_name="following",
    )


class Follow(models.Model):
    # The unique constraint below is the index that the API reads.
    followed = models.ForeignKey(
        User, models.CASCADE, related_name="+", db_index=False
    )
    follower = models.ForeignKey(
        User, models.CASCADE, related_name="+", db_index=False
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["followed", "follower"], name="one_follow_per_pair"
            )
        ]


class Post(models.Model):
    author = models.ForeignKey(User, models.CASCADE, related_name="posts")
    text = models.TextField()
    created = models.DateTimeField()

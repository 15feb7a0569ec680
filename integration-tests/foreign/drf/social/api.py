"""The API: stock serializers, paginators, throttles and generic views."""

import threading

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from rest_framework import generics, pagination, permissions, serializers

from .models import Post, User


class UserSerializer(serializers.ModelSerializer):
    class Meta:
        model = User
        fields = ["id", "username", "display_name", "joined"]


class PostSerializer(serializers.ModelSerializer):
    class Meta:
        model = Post
        fields = ["id", "author", "text", "created"]


class LimitOffset(pagination.LimitOffsetPagination):
    default_limit = 50
    max_limit = 100


class PageNumber(pagination.PageNumberPagination):
    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 100


class Cursor(pagination.CursorPagination):
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 100
    ordering = "-id"


class ExactThrottle:
    """Makes the stock throttles count exactly under concurrent requests.

    They read the history from the cache, then write it back; two threads
    between the two steps would both be let in. Only the check is serialised.
    """

    lock = threading.Lock()

    def check_throttles(self, request):
        with self.lock:
            super().check_throttles(request)


class UserList(ExactThrottle, generics.ListAPIView):
    queryset = User.objects.order_by("id")
    serializer_class = UserSerializer
    pagination_class = LimitOffset


class PrivateUserList(UserList):
    permission_classes = [permissions.IsAuthenticated]


class ThrottledUserList(UserList):
    throttle_scope = "throttled"


class UserDetail(ExactThrottle, generics.RetrieveAPIView):
    queryset = User.objects.all()
    serializer_class = UserSerializer


class FollowerList(ExactThrottle, generics.ListAPIView):
    serializer_class = UserSerializer
    pagination_class = PageNumber

    def get_queryset(self):
        user = get_object_or_404(User, pk=self.kwargs["pk"])
        return user.followers.order_by("id")


class PostList(ExactThrottle, generics.ListAPIView):
    queryset = Post.objects.all()
    serializer_class = PostSerializer
    pagination_class = Cursor


class UserPostList(PostList):
    def get_queryset(self):
        return get_object_or_404(User, pk=self.kwargs["pk"]).posts.all()


def healthz(_request):
    """Readiness, outside the throttles; fails (500) without a seeded database."""
    User.objects.get(pk=1)
    return HttpResponse("ok\n", content_type="text/plain")


urlpatterns = [
    path("healthz", healthz),
    path("api/users/", UserList.as_view()),
    path("api/users/<int:pk>/", UserDetail.as_view()),
    path("api/users/<int:pk>/followers/", FollowerList.as_view()),
    path("api/users/<int:pk>/posts/", UserPostList.as_view()),
    path("api/posts/", PostList.as_view()),
    path("api/private/users/", PrivateUserList.as_view()),
    path("api/throttled/users/", ThrottledUserList.as_view()),
]

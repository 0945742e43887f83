"""A Django project in one file: a view that says hello, and one that raises."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

SECRET_KEY = "only for tests"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = __name__
# Errors only: Django also notes every 404.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"django": {"handlers": ["console"], "level": "ERROR", "propagate": False}},
}


def hello(request: HttpRequest) -> HttpResponse:
    return HttpResponse("hello from a view", content_type="text/plain")


def failing(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("raised by a view")


urlpatterns = [path("", hello), path("view-raises/", failing)]

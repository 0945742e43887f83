from django import get_version
from django.shortcuts import render

from middleware import outgoing_headers

from .sockets import MESSAGE_LIMIT


def page(request):
    context = {
        "django_version": get_version(),
        "message_limit": MESSAGE_LIMIT,
        "traceparent": outgoing_headers().get("traceparent"),  # for what the page asks the API
        "scope": getattr(request, "scope", None),  # a WSGI request has none
    }
    return render(request, "chat/page.html", context)

import django
from django.http import HttpResponse


def page(request):
    return HttpResponse(f"Hello from Django {django.get_version()}")

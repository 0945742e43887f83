import gingerdj
from gingerdj.http import HttpResponse
from gingerdj.urls import path


def page(request):
    return HttpResponse(f"Hello from GingerDJ {gingerdj.get_version()}")


urlpatterns = [path("", page)]

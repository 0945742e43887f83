from django.urls import path
from tenants.views import orders

urlpatterns = [path("<slug:tenant>/orders", orders)]

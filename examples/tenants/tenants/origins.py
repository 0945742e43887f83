from asgiref.sync import sync_to_async
from django.db import close_old_connections

from .models import Origin


@sync_to_async(thread_sensitive=False)
def is_registered(origin, scope):
    """Whether the tenant whose path is asked for has registered ``origin``.

    It is called for each request of a page of another site, preflights and websockets among them: a site that is
    removed from the database is refused from then on.
    """
    tenant = scope["path"].strip("/").partition("/")[0]
    try:
        return Origin.objects.filter(tenant__slug=tenant, origin=origin).exists()
    finally:
        close_old_connections()  # Django does so for its own requests; this comes before they begin

"""Each tenant's own pages may use what is below ``/<tenant>/``: the database knows which pages those are."""

import os

from django.core.asgi import get_asgi_application

from middleware import CORSMiddleware

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

application = get_asgi_application()

from tenants.origins import is_registered  # noqa: E402  models can be imported once Django is set up

application = CORSMiddleware(
    application,
    allow_origin_func=is_registered,
    allow_methods=["GET", "POST", "DELETE"],
    allow_headers=["Authorization", "Content-Type"],
)

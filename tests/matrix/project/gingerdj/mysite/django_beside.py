"""Channels imports Django: it is set up here, beside GingerDJ, before the consumers are imported."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.django_settings")
django.setup()

from chat.routing import application as application  # noqa: E402

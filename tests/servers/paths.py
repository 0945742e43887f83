"""Several applications behind one, so that each server starts once for all tests."""

from collections.abc import Mapping
from typing import Any


class Paths:
    """Choose an application by the first segment of the path; what has no path goes to ``default``, as the rest."""

    def __init__(self, default: Any, apps: Mapping[str, Any]) -> None:
        self._default = default
        self._apps = apps

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        segment = scope.get("path", "").removeprefix("/").partition("/")[0]
        await self._apps.get(segment, self._default)(scope, receive, send)

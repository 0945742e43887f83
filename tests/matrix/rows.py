"""The rows of the matrix: what is installed in each environment, and the Pythons that it can have.

The exact versions that make a row stand here. A package without a version, and whatever else pip brings along, has
that of ``requirements/dev.txt``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One environment.

    Args:
        name: The folder in ``.venvs``.
        pythons: Minor versions of Python, the preferred one first.
        packages: What pip installs, besides this package.
        framework: What the page of a framework's row says hello from.
        runserver: The app whose ``manage.py runserver`` serves ASGI, if the row has one.
        left_out: Unit tests that need packages which cannot be in the row.
    """

    name: str
    pythons: tuple[str, ...]
    packages: tuple[str, ...]
    framework: str = ""
    runserver: str = ""
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


NEEDS = ("asgiref", "itsdangerous", "starlette")
SERVED = (*NEEDS, "uvicorn", "websockets")
EXTRAS = ("backports.zstd", "brotli", "cryptography", "publicsuffixlist", "redis")
TESTING = (
    "blockbuster",
    "httptools",
    "httpx",
    "hypothesis",
    "orjson",
    "pytest",
    "pytest-timeout",
    "uvicorn",
    "uvloop",
    *EXTRAS,
)


def _django(version: str, pythons: tuple[str, ...], *packages: str, runserver: str = "daphne") -> Row:
    minor = version.rpartition(".")[0]
    installed = (f"django=={version}", *packages, *SERVED)
    return Row(f"django-{minor}", pythons, installed, f"Django {version}", runserver)


# Django 3.0 imports distutils, which is gone in Python 3.12, and Django 3.2 cgi, which is gone in 3.13. Each has the
# newest Channels whose requirements allow it; Channels 3 wants daphne 3 and brings its own runserver.
DJANGO = (
    _django("3.0.14", ("3.11",), "pytz==2026.6", "channels==3.0.5", "daphne==3.0.2", runserver="channels"),
    _django("3.2.25", ("3.11", "3.12"), "pytz==2026.6", "channels==4.0.0", "daphne"),
    _django("4.2.30", ("3.12", "3.11", "3.13"), "channels==4.3.2", "daphne"),
    _django("5.2.19", ("3.11", "3.12", "3.13"), "channels==4.3.2", "daphne"),
    _django("6.1.3", ("3.13", "3.12"), "channels==4.3.2", "daphne"),
)

# Channels imports Django, so one is installed beside GingerDJ.
GINGER_DJ = Row(
    "gingerdj-6.1",
    ("3.11", "3.12", "3.13"),
    ("ginger-dj==6.1.1", "channels==4.3.2", "django==5.2.19", "daphne", *SERVED),
    "GingerDJ 6.1.1",
)

FRAMEWORKS = (*DJANGO, GINGER_DJ)

# The floors of pyproject.toml; anyio's is that of the tests (`anyio_mode`), starlette alone would allow 3.6.2.
# Newer releases of Channels, Django and FastAPI ask for more.
LOWEST = Row(
    "lowest",
    ("3.11",),
    (
        *("asgiref==3.8.0", "itsdangerous==2.2.0", "starlette==1.0.0", "anyio==4.11.0", "trio"),
        *("channels==4.2.2", "django==4.2.30", "backports.zstd==1.0.0", "brotli==1.1.0"),
        *("cryptography==44.0.0", "redis==5.2.0"),
        *TESTING,
    ),
    left_out=("test_frameworks.py", "test_routes.py"),
)

# With hiredis here, and without it in the lowest row: redis has two parsers.
NEWEST = (
    *NEEDS,
    *("anyio", "trio", "channels", "django", "fastapi", "hiredis", "httpx2", "jinja2", "litestar", "sse-starlette"),
    "whitenoise",
    *TESTING,
)

VERSIONS = (LOWEST, Row("python3.12", ("3.12",), NEWEST), Row("python3.13", ("3.13",), NEWEST))

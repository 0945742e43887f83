"""What applications send: JSON and HTML, the same in each run."""

from __future__ import annotations

import json
from random import Random

TEXT = (
    "the of and to in is for that on with as are this from by at be or an have not which was can all more has one new "
    "order price customer shipping address invoice product delivery available summer offer blue green black small "
    "large cotton leather wooden kitchen garden table chair lamp travel guide today before after without between"
)
WORDS = TEXT.split()


def json_of(size: int) -> bytes:
    """A list of products as an API sends it, of about ``size`` bytes."""
    random = Random(size)
    items: list[object] = []
    length = 0
    while length < size:
        item = {
            "id": random.getrandbits(48),
            "name": _words(random, 3).title(),
            "price": {"amount": f"{random.randrange(100, 90_000) / 100:.2f}", "currency": "EUR"},
            "created": f"2026-{random.randint(1, 12):02}-{random.randint(1, 28):02}T{random.randint(0, 23):02}:07:41Z",
            "stock": random.randrange(400),
            "tags": [_words(random, 1) for _ in range(random.randint(0, 3))],
            "description": _words(random, random.randint(4, 24)),
        }
        items.append(item)
        length += len(_compact(item)) + 1
    return _compact(items)


def html_of(size: int) -> bytes:
    """A page of articles as a template makes it, of about ``size`` bytes."""
    random = Random(size)
    page = "<!doctype html>\n<html lang=en>\n<head><meta charset=utf-8><title>Articles</title></head>\n<body>\n<main>\n"
    while len(page) < size:
        slug = _words(random, 3).replace(" ", "-")
        page += (
            f'  <article class="card card--wide" id="article-{random.randrange(100_000)}">\n'
            f'    <h2 class="card__title"><a href="/articles/{slug}/">{_words(random, 5).capitalize()}</a></h2>\n'
            f'    <time datetime="2026-{random.randint(1, 12):02}-{random.randint(1, 28):02}"></time>\n'
            f'    <p class="card__text">{_words(random, random.randint(20, 70)).capitalize()}.</p>\n'
            "  </article>\n"
        )
    return f"{page}</main>\n</body>\n</html>\n".encode()


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _words(random: Random, number: int) -> str:
    # The first ones are more frequent, as in a language.
    return " ".join(WORDS[int(len(WORDS) * random.random() ** 2)] for _ in range(number))

"""Sessions: data about each visitor, in a signed or encrypted cookie, or in a store."""

from .django import DjangoSessionMiddleware as DjangoSessionMiddleware
from .memory import MemoryStore as MemoryStore
from .middleware import SessionMiddleware as SessionMiddleware
from .redis import RedisStore as RedisStore
from .session import Session as Session
from .sqlite import SQLiteStore as SQLiteStore
from .store import Change as Change
from .store import Record as Record
from .store import SessionStore as SessionStore
from .store import SessionStoreError as SessionStoreError
from .tokens import SessionTooLargeError as SessionTooLargeError

"""What the page asks for beside the chat, in FastAPI: ``project/asgi.py`` mounts it at ``/api``.

    GET  /api/status    what serves it and where, since when, and how many people are in the chat
    POST /api/visits    counts one more visit, and says how many that makes

Its paths are written without ``/api``: they would be the same below any other prefix. What the server's start sets up
waits for each request in ``request.state``. It lives in the memory of this process, as the conversation does.
"""

import sqlite3
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime

from fastapi import FastAPI, Request, __version__

from .sockets import mailboxes


@asynccontextmanager
async def lifespan(app):
    with closing(sqlite3.connect(":memory:")) as store:
        store.execute("CREATE TABLE visits (visit INTEGER PRIMARY KEY)")
        print("chat/api.py: the store is open", flush=True)
        yield {"started": datetime.now(UTC), "store": store}
    print("chat/api.py: the store is closed", flush=True)


application = FastAPI(title="Chat", lifespan=lifespan)


@application.get("/status")
async def status(request: Request):
    return {
        "framework": f"FastAPI {__version__}",
        "root_path": request.scope["root_path"],
        "started": request.state.started,
        "people": len(mailboxes),
    }


@application.post("/visits", status_code=201)
async def visits(request: Request):
    # A store in memory is never waited for: no thread is needed.
    return {"visit": request.state.store.execute("INSERT INTO visits DEFAULT VALUES").lastrowid}

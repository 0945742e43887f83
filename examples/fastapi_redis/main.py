"""Logins and carts in FastAPI, in sessions that are kept in Redis.

    pip install "asgi-middleware[redis]" fastapi "uvicorn[standard]"
    REDIS_URL=redis://localhost:6379/0 uvicorn main:app

Serve it over https: the browser sends the cookie back over no other connection, but for ``localhost``.

    cookies=$(mktemp)
    curl -b $cookies -c $cookies --json '{"name": "Ada", "password": "secret"}' http://localhost:8000/login
    curl -b $cookies -c $cookies -X POST http://localhost:8000/cart/book
    curl -b $cookies -c $cookies -X POST http://localhost:8000/logout

Two requests that write at once both succeed, and a logout ends the session everywhere.
"""

import os

from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel

from middleware import RedisStore, SessionMiddleware

app = FastAPI()
app.add_middleware(
    SessionMiddleware,
    store=RedisStore(os.environ.get("REDIS_URL", "redis://localhost:6379/0")),
    session_cookie="__Host-session",
    idle_timeout=30 * 60,
    absolute_timeout=8 * 60 * 60,
)


class Login(BaseModel):
    name: str
    password: str


@app.post("/login")
async def login(request: Request, given: Login) -> dict[str, str]:
    if given.password != "secret":  # ask your users here
        raise HTTPException(401)
    request.session.regenerate()
    request.session["user"] = given.name
    return {"user": given.name}


@app.get("/user")
async def user(request: Request) -> dict[str, str | None]:
    return {"user": request.session.get("user")}


@app.post("/cart/{item}")
async def add(request: Request, item: str) -> list[str]:
    request.session[f"cart {item}"] = True  # a key for each: of a list in one key, the later write wins
    return sorted(key.removeprefix("cart ") for key in request.session if key.startswith("cart "))


@app.post("/logout")
async def logout(request: Request) -> None:
    request.session.invalidate()

"""FastAPI applications with CORS: one that pages of another site use, and one whose policy is refused."""

from typing import Any

from fastapi import FastAPI, WebSocket

from middleware import CORSMiddleware, Middleware, outermost

REFUSED: dict[str, Any] = {
    "allow_origins": ["https://app.example.com/", "*"],
    "allow_methods": "GET, PUT",
    "allow_headers": ["Cookie"],
    "max_age": -1,
}

app = outermost(FastAPI(), Middleware(CORSMiddleware, allow_origins=["https://app.example.com"]))


@app.get("/")
async def hello() -> str:
    return "hello"


@app.get("/broken")
async def broken() -> None:
    raise RuntimeError("raised by a route")


@app.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


refused = FastAPI()
refused.add_middleware(CORSMiddleware, **REFUSED)

"""Who may ask: only this machine's own browser, with the token, in reasonable amounts."""

__all__ = ["Guard"]

import hmac
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 1_000_000
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
_READS = ("GET", "HEAD")

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'; object-src 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """Refuses a request before the application sees it.

    A name that another site made point here (DNS rebinding) is told by its Host header, a page of
    another site by its Origin, everybody else on this machine by the missing token: all 403. A
    body of more than a megabyte is 413, whether its length was told or not.

    Args:
        app: what is guarded.
        token: what requests must carry, as ``?token=`` or in the header ``X-Token``.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # anything else, such as a web socket, is closed by saying nothing

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        body = b""
        if refusal is None and scope["method"] not in _READS:
            whole = await _body(headers, receive)
            if whole is None:
                refusal = (413, f"a request has at most {LARGEST_BODY} bytes")
            else:
                body = whole
        if refusal is not None:
            status, text = refusal
            answer = JSONResponse({"error": text}, status, headers={"Connection": "close"})
            await answer(scope, receive, guarded)
            return
        await self._app(scope, _replayed(body, receive), guarded)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or _hostname(f"//{hosts[0]}") not in LOCAL_HOSTS:
            return 403, "this page is served to 127.0.0.1 and localhost only"
        origin = headers.get("origin")
        if origin is not None and scope["method"] not in _READS:
            parts = urlsplit(origin)
            if parts.scheme != "http" or parts.netloc != hosts[0]:
                return 403, "a request of another site"
        query = parse_qs(scope["query_string"].decode("latin-1"))
        given = headers.get("x-token") or next(iter(query.get("token", [])), "")
        if not hmac.compare_digest(given.encode(), self._token):
            return 403, "the token is missing or wrong; open the address that was printed"
        return None


def _hostname(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no number
    except ValueError:
        return None
    return None if parts.username or parts.path else parts.hostname


async def _body(headers: Headers, receive: Receive) -> bytes | None:
    """The body, or None where it is too long."""
    told = headers.get("content-length", "")
    if told.isdecimal() and int(told) > LARGEST_BODY:
        return None
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return bytes(body)
        body += message.get("body", b"")
        if len(body) > LARGEST_BODY:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body once more, for the application."""
    told = False

    async def again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again

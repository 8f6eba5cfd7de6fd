"""The labelling page's server: what it answers to which request."""

__all__ = ["make_app"]

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from wwdc.errors import ConfigError, DataError, ProductError, WWDCError
from wwdc.label.answers import Answers
from wwdc.label.campaign import Unknown
from wwdc.label.events import Event, Id, Labeller, Posted
from wwdc.label.export import FORMATS, export, parse_lines
from wwdc.label.guard import Guard
from wwdc.label.log import Refused
from wwdc.label.pictures import Pictures

PAGE = Path(__file__).parent / "page"
MEDIA = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
BYTES = "application/octet-stream"
IMAGES = "private, max-age=86400"

_Handler = Callable[[Any], Response]


class _Query(BaseModel):
    """What may stand behind the ``?``: numbers are text there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token: str | None = None
    labeller: Labeller | None = None


class _Objects(_Query):
    sort: str = "acquisition"
    order: str | None = None
    filter: str = "all"
    offset: int = Field(default=0, ge=0)
    limit: int = Field(default=60, ge=1, le=500)


class _Next(_Query):
    sort: str = "acquisition"
    exclude: str = Field(default="", max_length=20_000)


class _Object(_Query):
    id: Id


class _Find(_Query):
    id: str = Field(min_length=1, max_length=20, pattern=r"^-?[0-9]+$")


class _Image(_Query):
    id: Id
    size: int | None = Field(default=None, ge=16, le=2048)


class _Scatter(_Query):
    projection: str = Field(default="pca", pattern="^(pca|umap)$")


class _Column(_Query):
    name: str = Field(max_length=200)


class _Export(_Query):
    format: str


def make_app(answers: Answers, pictures: Pictures, *, token: str, image_size: int) -> Guard:
    """The application that serves a campaign.

    Args:
        token: what every request must carry.
        image_size: pixels of a picture's longer side where the page does not say.
    """
    page = _Page(answers, pictures, token, image_size)
    routes = [
        Route("/", _get(_Query, page.index)),
        Route("/static/{name:path}", page.static),
        Route("/api/state", _get(_Query, page.state)),
        Route("/api/objects", _get(_Objects, page.objects)),
        Route("/api/next", _get(_Next, page.next)),
        Route("/api/object", _get(_Object, page.object)),
        Route("/api/find", _get(_Find, page.find)),
        Route("/api/image", page.image),
        Route("/api/scatter", _get(_Scatter, page.scatter)),
        Route("/api/column", _get(_Column, page.column)),
        Route("/api/ids", _get(_Query, page.ids)),
        Route("/api/export", _get(_Export, page.export)),
        Route("/api/label", _post(page.label), methods=["POST"]),
        Route("/api/import", _post(page.merge), methods=["POST"]),
    ]
    told: dict[Any, Any] = {HTTPException: _told, WWDCError: _told, ValidationError: _told}
    return Guard(Starlette(routes=routes, exception_handlers=told), token)


class _Page:
    def __init__(self, answers: Answers, pictures: Pictures, token: str, image_size: int) -> None:
        self.answers, self.pictures = answers, pictures
        self.token, self.image_size = token, image_size
        self.files = {p.name: p for p in PAGE.iterdir() if p.suffix in MEDIA}

    def index(self, _query: _Query) -> Response:
        text = (PAGE / "index.html").read_text(encoding="utf-8")
        return Response(text.replace("{{token}}", self.token), media_type=MEDIA[".html"])

    async def static(self, request: Request) -> Response:
        path = self.files.get(request.path_params["name"])  # a name that was listed, never a path
        if path is None:
            raise HTTPException(404, "there is no such file")
        return Response(path.read_bytes(), media_type=MEDIA[path.suffix])

    def state(self, query: _Query) -> Response:
        return _json(self.answers.state(query.labeller))

    def objects(self, query: _Objects) -> Response:
        who = self._who(query)
        return _json(
            self.answers.page(query.sort, query.order, query.filter, query.offset, query.limit, who)
        )

    def next(self, query: _Next) -> Response:
        texts = [text for text in query.exclude.split(",") if text]
        try:
            exclude = [int(text) for text in texts]
        except ValueError:
            raise HTTPException(422, "exclude: expected ids, separated by commas") from None
        return _json(self.answers.next(self._who(query), query.sort, exclude))

    def object(self, query: _Object) -> Response:
        return _json(self.answers.details(query.id, self._who(query)))

    def find(self, query: _Find) -> Response:
        return _json(self.answers.find(query.id, self._who(query)))

    async def image(self, request: Request) -> Response:
        query = _Image.model_validate(dict(request.query_params))
        row, size = self.answers.row(query.id), query.size or self.image_size
        tag = self.pictures.tag(row, size)
        headers = {"ETag": tag, "Cache-Control": IMAGES}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        picture, media_type = await run_in_threadpool(self.pictures.get, row, size)
        return Response(picture, media_type=media_type, headers=headers)

    def scatter(self, query: _Scatter) -> Response:
        places, status = self.answers.scatter(query.projection)
        if status == "off":
            raise HTTPException(404, "there is no UMAP: label.umap is false")
        if places is None:
            return JSONResponse({"status": status}, 202)
        rows = str(len(self.answers.campaign.objects))
        return Response(places, media_type=BYTES, headers={"X-Rows": rows})

    def column(self, query: _Column) -> Response:
        values, low, high = self.answers.column(query.name)
        headers = {"X-Min": repr(low), "X-Max": repr(high)}
        return Response(values, media_type=BYTES, headers=headers)

    def ids(self, _query: _Query) -> Response:
        return Response(self.answers.ids, media_type=BYTES)

    def export(self, query: _Export) -> Response:
        if query.format not in FORMATS or query.format == "fits":
            raise HTTPException(422, "format: csv, jsonl or parquet")
        name = f"{self.answers.about['name']}.{query.format}"
        return Response(
            export(self.answers.campaign, query.format),
            media_type=FORMATS[query.format],
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    def label(self, body: bytes) -> Response:
        return _json(self.answers.say(Posted.model_validate(_parsed(body))))

    def merge(self, body: bytes) -> Response:
        events: list[Event] = parse_lines(body, "the request")
        return _json(self.answers.merge(events))

    def _who(self, query: _Query) -> str:
        return query.labeller or self.answers.labeller


def _get(model: type[_Query], handler: _Handler) -> Callable[[Request], Any]:
    """An endpoint that checks its query and answers from a thread."""

    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(handler, model.model_validate(dict(request.query_params)))

    return endpoint


def _post(handler: Callable[[bytes], Response]) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(handler, await request.body())

    return endpoint


def _json(content: dict[str, Any]) -> Response:
    return JSONResponse(content)


def _parsed(body: bytes) -> dict[str, Any]:
    """A JSON object, as the standard has it: without NaN."""
    try:
        found = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise HTTPException(400, "the request is not JSON") from None
    if not isinstance(found, dict):
        raise HTTPException(400, "expected a JSON object")
    return found


def _refuse(_name: str) -> float:
    raise ValueError(math.nan)


def _told(_request: Request, error: Exception) -> Response:
    """What went wrong, as JSON."""
    status, text = 422, str(error)
    if isinstance(error, HTTPException):
        status, text = error.status_code, error.detail
    elif isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        text = f"{place}: {first['msg']}" if place else first["msg"]
    elif isinstance(error, Unknown):
        status = 404
    elif isinstance(error, Refused):
        status = 409
    elif not isinstance(error, DataError | ConfigError):
        status = 503 if isinstance(error, ProductError) else 500
    return JSONResponse({"error": text}, status)

"""The web application: the page, its data, images, and decisions."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jinja2 import Environment
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from pipelines.errors import ImageError
from pipelines.review.decisions import Decisions
from pipelines.review.items import describe_burst
from pipelines.review.keys import Keys
from pipelines.review.merge import Merger
from pipelines.review.progress import measure
from pipelines.review.queues import NAMES, TITLES, Filters, Queues
from pipelines.review.requests import BadRequest, parse_choices, parse_page, to_decisions
from pipelines.review.security import Access, Guard
from pipelines.review.thumbnails import SIDES, Thumbnails

STATIC = {"review.css": "text/css", "favicon.svg": "image/svg+xml"}
STATIC |= dict.fromkeys(("review.js", "outbox.js", "rows.js", "server.js"), "text/javascript")
STRIP = 8  # frames of a burst that the page shows at once
MAX_CHANGES = 200  # bursts in one answer
AHEAD = 3  # pages whose thumbnails are made before they are asked for


@dataclass(frozen=True)
class Review:
    """Everything that the requests of one server share."""

    decisions: Decisions
    queues: Queues
    thumbnails: Thumbnails
    merger: Merger
    access: Access
    keys: Keys
    reviewer: str
    first_queue: str
    workspace: str


def create_app(review: Review) -> Guard:
    """Return the application behind its checks."""
    handlers = _Handlers(review)
    routes = [
        Route("/", handlers.page),
        Route("/static/{name}", handlers.static),
        Route("/image/{key}/{row:int}/{size}", handlers.image),
        Route("/api/queue", handlers.queue),
        Route("/api/changes", handlers.changes),
        Route("/api/decisions", handlers.decide, methods=["POST"]),
    ]
    errors = {BadRequest: _refuse, Exception: _fail}
    return Guard(Starlette(routes=routes, exception_handlers=errors), review.access)  # type: ignore[arg-type]


class _Handlers:
    """Handlers of the routes. Those that are not `async` run in threads: they wait for the disk."""

    def __init__(self, review: Review) -> None:
        self._review = review
        template = _read("templates", "page.html.j2").decode()
        self._template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(template)

    def page(self, request: Request) -> Response:
        review = self._review
        snapshot = review.decisions.snapshot
        config = {
            "snapshot": snapshot.key,
            "workspace": review.workspace,
            "queue": review.first_queue,
            "keys": review.keys.by_label,
            "blank": review.keys.blank,
            "labels": review.decisions.label_names,
            "changes": len(review.decisions.changes),
        }
        stations = sorted(name for name in snapshot.stations.names.to_pylist() if name)
        return HTMLResponse(
            self._template.render(
                token=review.access.header,
                config=json.dumps(config, ensure_ascii=False),
                titles={name: TITLES[name] for name in NAMES},
                stations=stations,
                labels=review.decisions.label_names,
                model=snapshot.model,
            )
        )

    def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in STATIC:
            return PlainTextResponse("There is no such file.", 404)
        return Response(_read("static", name), media_type=STATIC[name])

    async def image(self, request: Request) -> Response:
        snapshot = self._review.decisions.snapshot
        key, row, size = (request.path_params[name] for name in ("key", "row", "size"))
        if key != snapshot.key or row >= len(snapshot) or size not in SIDES:
            return PlainTextResponse("There is no such image.", 404)
        content_hash = self._review.decisions.hash_of(row)
        try:
            future = self._review.thumbnails.get(row, content_hash, size)
            path = await asyncio.shield(asyncio.wrap_future(future))  # others may wait for it too
        except ImageError as error:
            return PlainTextResponse(f"This image cannot be shown: {error.failure}.", 404)
        return FileResponse(path, media_type="image/jpeg", headers={"cache-control": "private, max-age=86400"})

    def queue(self, request: Request) -> Response:
        name, filters, start, count, is_open = parse_page(request.query_params)
        decisions = self._review.decisions
        decisions.refresh()
        queue = self._review.queues.get(name, filters)
        positions = range(start, len(queue.bursts))
        if is_open:
            with decisions.lock:
                open_ones = ~decisions.set_aside_bursts()[queue.bursts[start:]]
            positions = [start + int(i) for i in open_ones.nonzero()[0][: count * AHEAD]]  # type: ignore[assignment]
        shown, ahead = positions[:count], positions[count : count * AHEAD]
        with decisions.lock:
            items = [describe_burst(decisions, int(queue.bursts[i]), queue, i) for i in shown]
            progress = measure(decisions, self._review.queues, queue.bursts).to_dict()
        self._make_ahead([int(queue.bursts[i]) for i in (*shown, *ahead)])
        return JSONResponse({"items": items, "total": len(queue.bursts), "note": queue.note, "progress": progress})

    def changes(self, request: Request) -> Response:
        """Return the bursts that were decided since a number of changes, by this or other windows and servers."""
        name, filters, since, _, _ = parse_page(request.query_params)
        decisions = self._review.decisions
        decisions.refresh()
        with decisions.lock:
            numbers = list(dict.fromkeys(decisions.changes[since:]))[-MAX_CHANGES:]
            body = {
                "changes": len(decisions.changes),
                "items": [describe_burst(decisions, number) for number in numbers],
                "labels": decisions.label_names,
                "progress": self._measure(name, filters),
            }
        return JSONResponse(body)

    async def decide(self, request: Request) -> Response:
        try:
            body = json.loads(await request.body())
        except (ValueError, RecursionError):
            raise BadRequest("The body is not JSON.", 400) from None
        return await run_in_threadpool(self._decide, body)

    def _decide(self, body: Any) -> Response:
        decisions = self._review.decisions
        with decisions.lock:
            choices = parse_choices(body, decisions)
            for choice in choices:
                rows = to_decisions(choice, decisions, self._review.queues, self._review.reviewer)
                if not decisions.knows(rows[0].decision_id) and choice.action in ("label", "unknown"):
                    decisions.note_unseen(choice.burst, choice.seen)
                try:
                    decisions.append(rows)
                except OSError as error:
                    raise BadRequest(f"The journal cannot be written: {error.strerror}.", 507) from None
            items = [describe_burst(decisions, burst) for burst in dict.fromkeys(each.burst for each in choices)]
            queue = choices[-1].queue
            progress = self._measure(queue, Filters())
        self._review.merger.merge_if_due(decisions.count)
        return JSONResponse(
            {
                "stored": [str(each.id) for each in choices],
                "items": items,
                "queue": queue,
                "progress": progress,
            }
        )

    def _measure(self, queue: str, filters: Filters) -> dict[str, Any]:
        bursts = self._review.queues.get(queue, filters).bursts
        return measure(self._review.decisions, self._review.queues, bursts).to_dict()

    def _make_ahead(self, bursts: list[int]) -> None:
        decisions = self._review.decisions
        snapshot = decisions.snapshot
        shown = [(int(snapshot.bursts.best[burst]), *snapshot.readable_frames(burst)[:STRIP]) for burst in bursts]
        rows = [row for each in shown for row in each]
        self._review.thumbnails.make_ahead((row, decisions.hash_of(row)) for row in dict.fromkeys(rows))


def _read(*names: str) -> bytes:
    return resources.files("pipelines.review").joinpath(*names).read_bytes()


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, BadRequest)
    return JSONResponse({"error": error.message}, error.status)


async def _fail(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "Unexpected error; the server's window has the details."}, 500)

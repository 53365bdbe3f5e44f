"""The web application: the page, its data, images, and decisions."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from jinja2 import Environment
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from pipelines.errors import ImageError
from pipelines.review.items import describe_burst
from pipelines.review.live import Live, State
from pipelines.review.merge import Merger
from pipelines.review.progress import measure
from pipelines.review.queue_names import TITLES
from pipelines.review.queues import Filters
from pipelines.review.requests import BadRequest, known_labels, parse_bursts, parse_choices, parse_page, to_decisions
from pipelines.review.security import Access, Guard
from pipelines.review.thumbnails import SIDES, Thumbnails

STATIC = {"review.css": "text/css", "favicon.svg": "image/svg+xml"}
STATIC |= dict.fromkeys(("review.js", "outbox.js", "rows.js", "server.js"), "text/javascript")
CACHED = {"cache-control": "private, max-age=86400"}
STRIP = 8  # frames of a burst that the page shows at once
MAX_CHANGES = 200  # bursts in one answer
AHEAD = 3  # pages whose thumbnails are made before they are asked for


@dataclass(frozen=True)
class Review:
    """Everything that the requests of one server share."""

    live: Live
    thumbnails: Thumbnails
    merger: Merger
    access: Access
    reviewer: str
    first_queue: str
    workspace: str


def create_app(review: Review) -> Guard:
    """Return the application behind its checks."""
    handlers = _Handlers(review)
    routes = [
        Route("/", handlers.page),
        Route("/static/{name}", handlers.static),
        Route("/image/{content_hash}/{size}", handlers.image),
        Route("/api/queue", handlers.queue),
        Route("/api/changes", handlers.changes),
        Route("/api/bursts", handlers.bursts, methods=["POST"]),
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
        review, state = self._review, self._review.live.refresh()
        review.live.look()
        config = {
            **_describe_state(state),
            "workspace": review.workspace,
            "queue": review.first_queue,
            "blank": state.keys.blank,
        }
        return HTMLResponse(
            self._template.render(
                token=review.access.header, config=json.dumps(config, ensure_ascii=False), titles=TITLES
            )
        )

    def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in STATIC:
            return PlainTextResponse("There is no such file.", 404)
        return Response(_read("static", name), media_type=STATIC[name])

    async def image(self, request: Request) -> Response:
        decisions = self._review.live.decisions
        rows, size = decisions.snapshot.rows_of(request.path_params["content_hash"]), request.path_params["size"]
        if not len(rows) or size not in SIDES:
            return PlainTextResponse("There is no such image.", 404)
        try:
            future = self._review.thumbnails.get(decisions.hash_of(rows[0]), size)
            thumbnail = await asyncio.shield(asyncio.wrap_future(future))  # others may wait for it too
        except ImageError as error:
            return PlainTextResponse(f"This image cannot be shown: {error.failure}.", 404)
        if isinstance(thumbnail, bytes):
            return Response(thumbnail, media_type="image/jpeg", headers=CACHED)
        return FileResponse(thumbnail, media_type="image/jpeg", headers=CACHED)

    def queue(self, request: Request) -> Response:
        name, filters, start, count, is_open = parse_page(request.query_params)
        state = self._review.live.refresh()
        decisions, queue = state.decisions, state.queues.get(name, filters)
        positions = range(start, len(queue.bursts))
        if is_open:
            with decisions.lock:
                open_ones = ~decisions.set_aside_bursts()[queue.bursts[start:]]
            positions = [start + int(i) for i in open_ones.nonzero()[0][: count * AHEAD]]  # type: ignore[assignment]
        shown, ahead = positions[:count], positions[count : count * AHEAD]
        with decisions.lock:
            items = [describe_burst(decisions, int(queue.bursts[i]), queue, i) for i in shown]
            progress = measure(decisions, state.queues, queue.bursts).to_dict()
        self._make_ahead(state, [int(queue.bursts[i]) for i in (*shown, *ahead)])
        body = {"items": items, "total": len(queue.bursts), "note": queue.note, "progress": progress}
        return JSONResponse(body | {"version": state.version})

    def changes(self, request: Request) -> Response:
        """Return the bursts that were decided since a number of changes, by this or other windows and servers."""
        name, filters, since, _, _ = parse_page(request.query_params)
        review, state = self._review, self._review.live.refresh()
        review.live.look()
        decisions = state.decisions
        with decisions.lock:
            numbers = list(dict.fromkeys(decisions.changes[since:]))[-MAX_CHANGES:]
            body = {
                "version": state.version,
                "changes": len(decisions.changes),
                "items": [describe_burst(decisions, number) for number in numbers],
                "keys": state.keys.by_label,
                "labels": known_labels(decisions),
                "progress": _measure(state, name, filters),
                "faults": list(filter(None, (review.live.writer.fault(), review.live.fault, review.merger.fault))),
            }
        return JSONResponse(body)

    async def bursts(self, request: Request) -> Response:
        """Return bursts as they are now, for a page that was loaded from an earlier state."""
        return await run_in_threadpool(self._bursts, await _read_json(request))

    def _bursts(self, body: Any) -> Response:
        state = self._review.live.refresh()
        decisions = state.decisions
        name, filters, numbers = parse_bursts(body, decisions.snapshot)
        queue = state.queues.get(name, filters)
        positions = {int(queue.bursts[i]): int(i) for i in np.flatnonzero(np.isin(queue.bursts, numbers))}
        with decisions.lock:
            items = [describe_burst(decisions, number, queue, positions.get(number)) for number in numbers]
            return JSONResponse({**_describe_state(state), "items": items, "notice": state.notice})

    async def decide(self, request: Request) -> Response:
        return await run_in_threadpool(self._decide, await _read_json(request))

    def _decide(self, body: Any) -> Response:
        live = self._review.live
        with live.lock:
            state = live.state
            decisions = state.decisions
            choices = parse_choices(body, decisions)
            for choice in choices:
                rows = to_decisions(choice, decisions, state.queues, self._review.reviewer)
                if rows[0].decision_id not in decisions and choice.action in ("label", "unknown"):
                    decisions.note_unseen(choice.burst, choice.seen)
                try:
                    decisions.append(rows)
                except OSError as error:
                    raise BadRequest(f"The journal cannot be written: {error.strerror}.", 507) from None
            items = [describe_burst(decisions, burst) for burst in dict.fromkeys(each.burst for each in choices)]
            queue = choices[-1].queue
            progress, keys = _measure(state, queue, Filters()), live.extend_keys().by_label
        self._review.merger.merge_if_due(decisions.count)
        stored = [str(each.id) for each in choices]
        body = {"stored": stored, "items": items, "queue": queue, "progress": progress, "keys": keys}
        return JSONResponse(body | {"labels": known_labels(decisions)})

    def _make_ahead(self, state: State, bursts: list[int]) -> None:
        decisions, snapshot = state.decisions, state.decisions.snapshot
        shown = [(int(snapshot.bursts.best[burst]), *snapshot.readable_frames(burst)[:STRIP]) for burst in bursts]
        rows = [row for each in shown for row in each]
        self._review.thumbnails.make_ahead(decisions.hash_of(row) for row in dict.fromkeys(rows))


def _describe_state(state: State) -> dict[str, Any]:
    """Return what the page must know besides bursts: it stays the same until the state is replaced."""
    snapshot = state.decisions.snapshot
    return {
        "version": state.version,
        "changes": len(state.decisions.changes),
        "keys": state.keys.by_label,
        "labels": known_labels(state.decisions),
        "stations": sorted(name for name in snapshot.stations.names.to_pylist() if name),
    }


def _measure(state: State, queue: str, filters: Filters) -> dict[str, Any]:
    bursts = state.queues.get(queue, filters).bursts
    return measure(state.decisions, state.queues, bursts).to_dict()


async def _read_json(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError):
        raise BadRequest("The body is not JSON.", 400) from None


def _read(*names: str) -> bytes:
    return resources.files("pipelines.review").joinpath(*names).read_bytes()


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, BadRequest)
    return JSONResponse({"error": error.message}, error.status)


async def _fail(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "Unexpected error; the server's window has the details."}, 500)

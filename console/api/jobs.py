"""The routes under `/jobs`: acts on many things at once, with a count first, a rate, a pause and a stop.

Comes in: POST with an order, or with what shall become of a job; GET to look. Goes out: JSON. Never begins what
somebody decided about when there were more or fewer of it.
"""

from collections import Counter
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from console.api.request import DecisionBody, Json, read_who, refuse, takes, write_audit
from console.jobs import Job, JobBoard, JobDesk, JobOrder, JobRunner
from console.jobs.board import JobState
from console.jobs.desk import name_item
from rules.event_types.base import from_epoch

#: Items of a dry run that are named, of those that would be left alone.
MOST_NAMED = 20
#: Items that a dry run asks the store about; of more it tells of the first ones.
MOST_TRIED = 2_000
#: Bytes of an order: a filter may name many ids.
LARGEST_ORDER = 1_048_576

#: Why nothing can be taken in, rerouted or replayed.
NO_BOOK = ("no_book", "no book that this program can read is in force; do the workers run?", 409)


class JobChange(DecisionBody):
    """An empty object."""


def get_board(request: Request) -> JobBoard:
    """Return the jobs of this console's store."""
    board: JobBoard = request.app.state.jobs
    return board


@takes(JobOrder, LARGEST_ORDER)
async def order_job(request: Request, order: JobOrder) -> Response:
    """Begin a job, or with `dry` say what would become of each item. The same intent twice is one job."""
    board, desk = get_board(request), _desk(request)
    if order.intent and not order.dry and (known := await board.find_intent(order.intent)):
        return await _show(request, known)
    found = await desk.find(order)
    if await desk.prepare(order, dry=True) is None:
        return refuse(*NO_BOOK)
    if order.dry:
        trial = await desk.try_out(order, found.items[:MOST_TRIED])
        if trial is None:
            return refuse(*NO_BOOK)
        words = trial.words
        left = _tell_left(order, [each for each in words if each[1] != "done"][:MOST_NAMED])
        answer: Json = {"count": len(found.items), "tried": len(words), "groups": found.groups, "ahead": found.ahead}
        answer |= {"words": Counter(word for _, word in words), "left_alone": left}
        return JSONResponse({**answer, **({"today": trial.today.as_json()} if trial.today is not None else {})})
    if order.expect not in ("any", len(found.items)):
        says = f"{len(found.items)} are there now, and {order.expect} were when it was decided"
        return refuse("count_changed", f"{says}: look again", 409)
    await write_audit(request, order.verb, f"{order.where}: {order.filter.tell()}", order.reason, len(found.items))
    id = await board.begin(order, read_who(request), found.items)
    _runner(request).ring()
    return await _show(request, id)


async def list_jobs(request: Request) -> Response:
    """Answer the newest jobs, newest first."""
    return JSONResponse({"jobs": [describe(job) for job in await get_board(request).newest()]})


async def show_job(request: Request) -> Response:
    """Answer one job, and the first items that were left alone."""
    return await _show(request, request.path_params["id"])


async def _show(request: Request, id: str) -> Response:
    job = await get_board(request).read(id)
    if job is None:
        return refuse("unknown_job", "no job of this id in the last 31 days: relais jobs list", 404)
    left = _tell_left(job.order, await get_board(request).left_alone(id))
    return JSONResponse({**describe(job), "left_alone": left})


def _tell_left(order: JobOrder, left: Sequence[tuple[str, str]]) -> Sequence[Json]:
    return [{"item": name_item(order.where, item), "word": word} for item, word in left]


def describe(job: Job) -> Json:
    """Return a job as JSON."""
    order = job.order
    answer: Json = {"id": job.id, "verb": order.verb, "place": order.where, "state": job.state, "by": job.by}
    answer |= {"reason": order.reason, "rate": order.rate, "filter": order.filter.model_dump(exclude_defaults=True)}
    answer |= {"how": order.how.model_dump(exclude_defaults=True), "count": job.count, "done": job.done}
    answer |= {"words": job.words, "at": from_epoch(job.at), "ended": from_epoch(job.ended) if job.ended else None}
    return answer


@takes(JobChange)
async def pause_job(request: Request, decision: JobChange) -> Response:
    """Let a job rest until somebody resumes it."""
    return await _change(request, decision, "pause", "paused")


@takes(JobChange)
async def resume_job(request: Request, decision: JobChange) -> Response:
    """Let a paused job go on."""
    return await _change(request, decision, "resume", "running")


@takes(JobChange)
async def stop_job(request: Request, decision: JobChange) -> Response:
    """End a job: what it has done stays done, nothing more is."""
    return await _change(request, decision, "stop", "stopped")


@takes(JobChange)
async def undo_job(request: Request, decision: JobChange) -> Response:
    """Take back what a job has dropped, within ten minutes: by another job."""
    id = request.path_params["id"]
    if await get_board(request).read(id) is None:
        return await _show(request, id)
    await write_audit(request, "undo_job", id, decision.reason)
    undoing = await get_board(request).undo(id, read_who(request))
    if undoing is None:
        return refuse("not_undoable", "only what it dropped can be had back, for ten minutes after its end", 409)
    _runner(request).ring()
    return await _show(request, undoing)


async def _change(request: Request, decision: JobChange, verb: str, to: JobState) -> Response:
    id = request.path_params["id"]
    if await get_board(request).read(id) is None:
        return await _show(request, id)
    await write_audit(request, f"{verb}_job", id, decision.reason)
    changed = await get_board(request).change(id, to)
    _runner(request).ring()
    return JSONResponse({"changed": changed})


def _desk(request: Request) -> JobDesk:
    desk: JobDesk = request.app.state.desk
    return desk


def _runner(request: Request) -> JobRunner:
    runner: JobRunner = request.app.state.runner
    return runner


ROUTES = (
    Route("/jobs", list_jobs),
    Route("/jobs", order_job, methods=["POST"]),
    Route("/jobs/{id}", show_job),
    Route("/jobs/{id}/pause", pause_job, methods=["POST"]),
    Route("/jobs/{id}/resume", resume_job, methods=["POST"]),
    Route("/jobs/{id}/stop", stop_job, methods=["POST"]),
    Route("/jobs/{id}/undo", undo_job, methods=["POST"]),
)

"""The pages of jobs: how far one is, what nothing was done about; pausing, resuming, stopping it.

Comes in: the id of a job, and by POST what shall become of it. Goes out: pages. Never orders one but to take another
back: `console.web.acts` does.
"""

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console.access import Role
from console.api.jobs import get_board
from console.api.request import read_who, write_audit
from console.jobs import Job
from console.jobs.board import JobState
from console.jobs.desk import name_item
from console.web import page, words
from console.web.act_catalogue import ACTS
from console.web.language import N_

#: Items that the page of a job names, of which nothing was done.
NAMED = 100
#: What jobs do that no page orders.
OTHER_JOBS: Mapping[str, str] = {
    "replay": N_("Replay"),
    "cancel": N_("Cancel what waits"),
    "undrop": N_("Take back: dead letters again"),
}
#: What people can make of a job that runs or rests.
CHANGES: Mapping[str, JobState] = {"pause": "paused", "resume": "running", "stop": "stopped"}


def _read_item(place: str, text: str) -> tuple[str, str]:
    """Return an item of a job as people call it, and its event where it has one."""
    event = "" if place in ("boxes", "deliveries", "refused") else text.partition(".")[0]
    return name_item(place, text), event


async def show_job(request: Request) -> Response:
    """Answer how far a job is."""
    board = get_board(request)
    job = await board.read(request.path_params["id"])
    if job is None:
        raise HTTPException(404)
    if job.state == "done":
        request.app.state.snapshots.expire()
    left = (await board.left_alone(job.id))[:NAMED]
    named = [(*_read_item(job.order.where, item), word) for item, word in left]
    return await page.render(
        request,
        "job.html",
        job=job,
        button=say_job(job),
        left=named,
        says=words.OUTCOMES,
        undoable=await board.count_undoable(job.id) if job.ended else 0,
        undone=await board.find_intent(f"undo {job.id}"),
    )


def say_job(job: Job) -> str:
    """Return what a job does, in the words of its button."""
    order = job.order
    told = (order.where, order.verb, order.how.today, order.how.not_sent)
    found = (act for act in ACTS.values() if (act.pile, act.verb, act.how.today, act.how.not_sent) == told)
    return next((act.button for act in found), OTHER_JOBS.get(order.verb, order.verb))


async def list_jobs(request: Request) -> Response:
    """Answer the newest jobs, newest first."""
    jobs = await get_board(request).newest()
    return await page.render(request, "jobs.html", jobs=[(job, say_job(job)) for job in jobs])


@page.needs(Role.OPERATOR)
async def change_job(request: Request) -> Response:
    """Pause, resume or stop a job: what it has done stays done; or take back what it has dropped."""
    await page.read_form(request)
    id, verb = request.path_params["id"], request.path_params["verb"]
    if verb not in (*CHANGES, "undo") or await get_board(request).read(id) is None:
        raise HTTPException(404)
    await write_audit(request, f"{verb}_job", id, "")
    if verb == "undo":
        id = await get_board(request).undo(id, read_who(request)) or id
    else:
        await get_board(request).change(id, CHANGES[verb])
    request.app.state.runner.ring()
    return page.go(request, "jobs", id)


ROUTES = (
    Route("/jobs", list_jobs),
    Route("/jobs/{id}", show_job),
    Route("/jobs/{id}/{verb}", change_job, methods=["POST"]),
)

"""The page Jobs: what is under way, and labeling or scoring planned with its cost, started and stopped.

A job runs in a worker process by the same code as the command, under the same lock. It asks the servers of the
workspace's settings alone, with the key of this machine's environment: a page can name neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from autointerp.views.choices import read_choices, read_job_choices
from autointerp.views.work import work_under_way

if TYPE_CHECKING:
    from autointerp.web.site import ViewSite

PLAN, JOB = "plan-job", "job"
"""Names of the clerk's tasks."""


class JobRequest(BaseModel):
    """A job that a page asks for."""

    model_config = ConfigDict(extra="forbid")

    what: Literal["label", "score"]
    dictionary: str = Field(min_length=1, max_length=500)
    labeler: str = Field("", max_length=60, description="kind of the labeler; empty is what the settings say")
    model: str = Field("", max_length=300, description="model that is asked; empty is what the settings say")
    judge: str = Field("", max_length=60, description="kind of the judge of scores")
    features: list[int] = Field(default=[], max_length=2000, description="these latents alone")
    count: int | None = Field(None, ge=1, description="only the first live features")
    methods: list[str] = Field(default=[], max_length=20, description="scores to make")
    score: bool = Field(True, description="score the labels too")
    retry_failed: bool = False
    max_cost: float | None = Field(None, gt=0, description="dollars at which to stop")
    max_calls: int | None = Field(None, ge=1)


def routes(site: ViewSite) -> APIRouter:
    """Return the page's routes."""
    router = APIRouter()

    @router.get("/jobs", response_class=HTMLResponse, include_in_schema=False)
    def jobs(dictionary: str = "", features: str = "", embed: str | None = None) -> str:
        own = [one for one in reversed(site.clerk.tickets()) if one.task == JOB]
        return site.render(
            "jobs.html.j2",
            embed=embed is not None,
            page="jobs",
            own=[{**site.ticket_line(site.clerk, one), "request": one.request} for one in own],
            work=work_under_way(site.ctx),
            choices=read_choices(site.ctx),
            jobs=read_job_choices(site.ctx),
            dictionary=dictionary,
            features=features,
        )

    @router.post("/api/jobs/plan", summary="Plan a job: a ticket whose value has the steps, calls and dollars")
    def plan(asked: JobRequest) -> dict[str, Any]:
        return site.ticket_line(site.clerk, site.clerk.submit(PLAN, asked.model_dump(), leash=60.0))

    @router.post("/api/jobs", summary="Start a job: a ticket that goes on when its page is left")
    def start(asked: JobRequest) -> dict[str, Any]:
        return site.ticket_line(site.clerk, site.clerk.submit(JOB, asked.model_dump()))

    @router.get("/api/jobs", summary="The jobs of this server, newest first, and work of any process under way")
    def api_jobs() -> dict[str, Any]:
        own = [site.ticket_line(site.clerk, one) for one in reversed(site.clerk.tickets()) if one.task == JOB]
        return {"jobs": own, "work": [one.as_dict() for one in work_under_way(site.ctx)]}

    return router

"""Trainings on the Distill and Jobs pages: title, form, cost, results and publishing."""

from typing import Any

from distill.data import missing
from jobs.job import Job
from ui.distill.estimate import estimate
from ui.distill.fetch import data_fetch
from ui.distill.form import form
from ui.distill.personal import personal_start
from ui.distill.serve import job_serve, state
from ui.jobs.desk import JobsDesk
from ui.jobs.shown import Shown, files


def title(job: Job) -> str:
    return f"{job.request.get('method')} · {job.request.get('dataset')}"


def results(desk: JobsDesk, job: Job) -> list[dict[str, Any]]:
    """The model, as soon as there is a checkpoint, and the files of a job that is done."""
    model = [] if job.checkpoint_step is None else [{"show": "model", **state(desk, job)}]
    return files(desk, job) + model


SHOWN = Shown(
    act="start a training",
    begin="A training starts on the Distill page, or by python -m jobs submit distill --set dataset=mixture.",
    title=title,
    form=form,
    cost=estimate,
    results=results,
    ready=lambda desk, request, visitor: missing(request.dataset),
    serve=(job_serve, data_fetch, personal_start),
)

"""The Distill page: choose method, base, data and budget, start a training, watch it, and publish the model.

A training is a job, so this page is a form with the desk and the live view of Jobs (distill.js).
"""

from ui.desk import Desk
from ui.jobs.desk import JobsDesk
from ui.part import part
from ui.tab import Tab


def build(desk: Desk) -> None:
    page = JobsDesk.jobs_page, JobsDesk.job_submit, JobsDesk.job_estimate
    part("distill", "distill-part", desk.jobs.serve(*page))


TAB = Tab("Distill", "distill", build, scripts=("personal", "distill"), styles=("personal",), act="start a training")

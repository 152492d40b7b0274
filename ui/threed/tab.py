"""3D: one thing as a prompt, watched while it is made, turned and taken away.

A thing is a job, so this page is a form in front of the same desk and the same live view as Jobs (ui/jobs/start.js).
"""

from ui.desk import Desk
from ui.jobs.desk import JobsDesk
from ui.part import part
from ui.tab import Tab


def build(desk: Desk) -> None:
    page = JobsDesk.jobs_page, JobsDesk.job_submit, JobsDesk.job_estimate
    part("threed", "threed-part", desk.jobs.serve(*page))


TAB = Tab("3D", "threed", build, scripts=("threed",), act="make things in 3D")

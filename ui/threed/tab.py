"""The 3D page: a prompt becomes a thing, which can be watched while it is made, turned and downloaded.

A thing is made by a job, so this page is a form with the desk and the live view of Jobs (ui/jobs/start.js).
"""

from ui.create.words import words
from ui.desk import Desk
from ui.jobs.desk import JobsDesk
from ui.part import part
from ui.tab import Tab
from ui.threed.things import example, things


def build(desk: Desk) -> None:
    page = JobsDesk.jobs_page, JobsDesk.job_submit, JobsDesk.job_estimate, things, example
    part("threed", "threed-part", [*desk.jobs.serve(*page), *desk.serve(words)])


TAB = Tab("3D", "threed", build, scripts=("gl", "viewer", "again", "threed"), styles=("threed",))

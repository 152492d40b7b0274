"""The Jobs page: running, waiting and ended jobs, and the live view of one of them (jobs.js, job.js)."""

from ui.desk import Desk
from ui.jobs.desk import JobsDesk
from ui.part import part
from ui.tab import Tab


def build(desk: Desk) -> None:
    part("jobs", "jobs-part", desk.jobs.serve(JobsDesk.jobs_page, JobsDesk.job_submit))


TAB = Tab("Jobs", "jobs", build, scripts=tuple("curves request results job start jobs".split()), styles=("jobs",))

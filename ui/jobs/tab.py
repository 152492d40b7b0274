"""Jobs: what runs, waits and ended, and one job live beside it. The page's scripts draw it (ui/js/jobs.js, job.js)."""

from ui.create.tab import part
from ui.desk import Desk

SERVED = ("jobs_page", "job", "job_sample", "job_do", "job_form", "job_submit", "job_serve")


class Jobs:
    """Builds the page inside the current Blocks."""

    def __init__(self, desk: Desk):
        part("jobs", "jobs-part", desk.jobs.functions(*SERVED))

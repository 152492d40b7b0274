"""Distill: pick method, base, data and budget, start a training, watch it, and serve what it made.

A training is a job, so this page is a form in front of the same desk and the same live view as Jobs (ui/js/distill.js).
"""

from ui.create.tab import part
from ui.desk import Desk

SERVED = ("jobs_page", "job", "job_sample", "job_do", "job_form", "job_submit", "job_estimate", "job_serve")


class Distill:
    """Builds the page inside the current Blocks."""

    def __init__(self, desk: Desk):
        part("distill", "distill-part", desk.jobs.functions(*SERVED))

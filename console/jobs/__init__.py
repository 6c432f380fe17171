"""Acts on many things at once: chosen by a filter, counted first, done at a rate, paused, stopped, told."""

from console.jobs.board import Job, JobBoard
from console.jobs.desk import JobDesk
from console.jobs.orders import JobFilter, JobHow, JobOrder
from console.jobs.runner import JobRunner

__all__ = ["Job", "JobBoard", "JobDesk", "JobFilter", "JobHow", "JobOrder", "JobRunner"]

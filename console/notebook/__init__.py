"""The notebook: what the ledger says of the events of 31 days, in a SQLite file to search and count.

Comes in: fates of events, as the mailroom tells them. Goes out: pages of rows, counts, causes, series. It holds what
the ledger holds: no value of a person. Lost or old, it is written anew from the ledger; nothing hangs on it.
"""

from console.notebook.file import Notebook, NotebookUnusable
from console.notebook.follower import Follower, Frame
from console.notebook.search import EventFilter

__all__ = ["EventFilter", "Follower", "Frame", "Notebook", "NotebookUnusable"]

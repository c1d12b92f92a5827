"""The live page: what a worker does, in a browser. Read-only.

documents  what it shows, as JSON: the same View as in the terminal
sampling   the worker's own metrics, read once a second while somebody watches, and those of other workers
stream     the events of all who watch
app        its routes, to be served by themselves or mounted in another service
static/    the page: HTML, CSS and ES modules, without a build step
"""

from __future__ import annotations

from cutstream.watching.page.app import CONTENT_SECURITY, LivePage
from cutstream.watching.page.sampling import Sampling

__all__ = ["CONTENT_SECURITY", "LivePage", "Sampling"]

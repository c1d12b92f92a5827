"""The six dashboards. Each answers one question of an operator; docs/watching.md shows them with data.

overview     is it keeping up?
pipeline     where is the time going?
triton       does Triton wait or compute?
reliability  what is failing, and what is waited for?
capacity     what does it take, and what does it cost?
gateway      are clients over HTTP served?
panels       the three kinds of panels, and how they are laid out
"""

from __future__ import annotations

from deploy.monitoring.dashboards.capacity import CAPACITY
from deploy.monitoring.dashboards.gateway import GATEWAY
from deploy.monitoring.dashboards.overview import OVERVIEW
from deploy.monitoring.dashboards.panels import Board, encode
from deploy.monitoring.dashboards.pipeline import PIPELINE
from deploy.monitoring.dashboards.reliability import RELIABILITY
from deploy.monitoring.dashboards.triton import TRITON

BOARDS: tuple[Board, ...] = (OVERVIEW, PIPELINE, TRITON, RELIABILITY, CAPACITY, GATEWAY)

__all__ = ["BOARDS", "encode"]

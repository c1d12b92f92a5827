"""The client of the stream: submit photos, wait for results, follow them, call them off (docs/client.md).

client          Client: the calls, for threads
async_client    AsyncClient: the same calls, for asyncio
options         the options of a request, as keyword arguments
requests        a photo and options become a request, checked before it is sent
failures        the results of photos that cannot be read or sent
own_process     which process a client belongs to
inbox           the requests in flight: how many, and who waits for which
results         results, and their outputs as bytes or files
connecting      which transport an address means
transport       what the client needs of a transport
over_kafka      the transport for Kafka
over_http       the transport for the HTTP service
job_answers     what that service answers, and the results that it stands for
reachable       addresses under which workers read a photo, for Kafka
errors          what only a client raises
"""

from cutstream.client.async_client import AsyncClient, AsyncHandle
from cutstream.client.client import Client
from cutstream.client.errors import (
    ClientClosed,
    ClientForked,
    GatewayRefused,
    NoResult,
    NotReachable,
    OutputNotSaved,
    OutputUnavailable,
    PhotoFailed,
    PhotoUnreadable,
)
from cutstream.client.inbox import Handle
from cutstream.client.options import Options
from cutstream.client.requests import Photo
from cutstream.client.results import AsyncResult, Result
from cutstream.clients.http_service import GatewayUnavailable

__all__ = [
    "AsyncClient",
    "AsyncHandle",
    "AsyncResult",
    "Client",
    "ClientClosed",
    "ClientForked",
    "GatewayRefused",
    "GatewayUnavailable",
    "Handle",
    "NoResult",
    "NotReachable",
    "Options",
    "OutputNotSaved",
    "OutputUnavailable",
    "Photo",
    "PhotoFailed",
    "PhotoUnreadable",
    "Result",
]

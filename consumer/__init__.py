"""The worker: it reads requests from Kafka, has Triton find the subject, and writes cutouts and results."""

import sys

COMMAND = (sys.executable, "-m", __name__)  # starts a worker process; its settings come from the environment

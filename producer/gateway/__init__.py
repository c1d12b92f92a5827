"""The HTTP gateway: remove.bg's and rembg's APIs, and jobs, over the Kafka stream. `app.py` shows the way of a call."""

import sys

COMMAND = (sys.executable, "-m", __name__)  # starts a gateway process; its settings come from the environment

"""The HTTP gateway: remove.bg's and rembg's APIs, and jobs, over the Kafka stream. `app.py` shows the way of a call."""

from cutstream.launch import python_command

COMMAND = python_command(__name__)  # starts a gateway process; its settings come from the environment

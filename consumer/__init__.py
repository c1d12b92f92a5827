"""The worker: it reads requests from Kafka, has Triton find the subject, and writes cutouts and results."""

from cutstream.launch import python_command

COMMAND = python_command(__name__)  # starts a worker process; its settings come from the environment

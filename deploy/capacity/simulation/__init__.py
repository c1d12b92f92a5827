"""A discrete-event simulation of the stream, photo by photo, which the arithmetic of the plan is checked against.

`cores.py` shares a machine's cores among whatever runs on it, `triton.py` and `worker.py` do what the real ones do with
a photo, `stream.py` puts machines, workers and partitions together, and `run.py` is what to call. It needs the extra
`planning` (simpy). Times are in seconds throughout.
"""

"""How the system runs: the local stack, and the backends of the local Triton."""

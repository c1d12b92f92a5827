"""The local stack, and the backends of the local Triton."""

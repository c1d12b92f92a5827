"""Parts that run inside Triton."""

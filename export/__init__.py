"""Everything before serving: weights, torch networks, glue, precisions, Triton's repository, and training."""

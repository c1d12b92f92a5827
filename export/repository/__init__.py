"""The model repository that Triton serves, rendered from the committed one."""

"""Triton backends in Python: one folder per engine, and the code that they share."""

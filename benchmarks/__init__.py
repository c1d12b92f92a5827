"""Benchmarks. docs/benchmarks.md explains what they measure and has the published figures."""

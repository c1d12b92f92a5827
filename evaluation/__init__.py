"""Measure quality: score mattes against true masks, compare profiles, tune the refinement, draw sample pictures."""

"""Score mattes against the true masks of photos: `cutstream evaluate` (docs/evaluation.md).

A folder of photos and masks → mattes, requested from the stack or read from a folder → scores → report → table, JSON
and images.
"""

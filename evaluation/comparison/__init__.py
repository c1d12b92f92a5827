"""Compare profiles on the same photos: `cutstream compare` (docs/evaluation.md, "Comparing profiles")."""

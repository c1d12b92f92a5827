"""Find the refinement that suits a folder of photos: `cutstream tune` (docs/tuning.md)."""

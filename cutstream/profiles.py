"""Profile names with a meaning of their own; a deployment names all other profiles in its settings."""

from __future__ import annotations

# The worker chooses one of the served profiles for each photo.
AUTO = "auto"

"""The profiles: the ensembles of `model_repository/`, and `auto`."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).parents[1] / "model_repository"
ENSEMBLE_PREFIX = "cutout_"

# The worker chooses one of the served profiles for each photo.
AUTO = "auto"


def ensemble_name(profile: str) -> str:
    """Return the name of the ensemble that serves a profile."""
    return f"{ENSEMBLE_PREFIX}{profile}"


def known_profiles() -> list[str]:
    """Return the profiles of `model_repository/`, sorted. Empty where only the packages are installed."""
    return sorted(folder.name.removeprefix(ENSEMBLE_PREFIX) for folder in REPOSITORY.glob(f"{ENSEMBLE_PREFIX}*"))

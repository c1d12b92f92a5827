"""The profiles that a comparison includes."""

from __future__ import annotations

from collections.abc import Callable

from cutstream.errors import WeightsMissing

# The heaviest profile comes first: if it cannot start, that shows before minutes are spent on the others.
DEFAULT_PROFILES = ("everything", "depth", "semantic", "depth_fused", "general", "fast")


def choose_profiles(
    names: str | None, require_weights: Callable[[tuple[str, ...]], None]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the profiles to compare, and the reason for each default profile that is left out.

    `names` is a comma-separated list of profiles, all of which must be servable, or None for the default profiles whose
    weights are present. `require_weights` raises WeightsMissing, and another error for a profile that does not exist.
    """
    if names is not None:
        chosen = tuple(names.split(","))
        require_weights(chosen)
        return chosen, {}
    left_out = {}
    for profile in DEFAULT_PROFILES:
        try:
            require_weights((profile,))
        except WeightsMissing as exc:
            left_out[profile] = str(exc)
    return tuple(profile for profile in DEFAULT_PROFILES if profile not in left_out), left_out

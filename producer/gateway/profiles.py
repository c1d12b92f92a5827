"""The profiles for what other services' clients name: types of remove.bg, and models of rembg."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# For each name the profiles to take, the best first. The first that is served is taken, else the default one.
_TYPES: Mapping[str, Sequence[str]] = {"person": ("portrait", "person")}
MODELS: Mapping[str, Sequence[str]] = {
    "u2net": ("general", "precise"),
    "u2netp": ("general",),
    "silueta": ("general",),
    "u2net_custom": (),
    "u2net_human_seg": ("person", "portrait"),
    "u2net_cloth_seg": (),
    "isnet-general-use": ("precise", "general"),
    "isnet-anime": ("precise", "general"),
    "dis_custom": ("precise",),
    "sam": ("everything", "prompted"),
    "ben_custom": ("precise",),
    "ben2-base": ("precise",),
    "birefnet-general": ("precise", "general"),
    "birefnet-general-lite": ("precise", "general"),
    "birefnet-portrait": ("portrait", "hair", "person"),
    "birefnet-dis": ("precise",),
    "birefnet-hrsod": ("precise",),
    "birefnet-cod": ("precise",),
    "birefnet-massive": ("precise",),
    "bria-rmbg": ("precise", "general"),
    "bria-rmbg-2.0": ("precise", "general"),
}


class Profiles:
    """Chooses profiles. `chosen` are the deployment's own choices, `served` the profiles that its workers serve."""

    def __init__(self, served: Sequence[str], chosen: Mapping[str, str]) -> None:
        self._served = served
        self._chosen = chosen

    def of_type(self, type: str) -> Mapping[str, str]:
        """Return the request's profile for a type of remove.bg, if it is not the default one."""
        return self._choose(type, _TYPES.get(type, ()))

    def of_model(self, model: str) -> Mapping[str, str] | None:
        """Return the request's profile for a model of rembg, likewise. None for a model that nobody knows."""
        if model in (*self._served, "auto") and model not in self._chosen:
            return {"profile": model}
        if model not in MODELS and model not in self._chosen:
            return None
        return self._choose(model, MODELS.get(model, ()))

    def _choose(self, name: str, candidates: Sequence[str]) -> Mapping[str, str]:
        if name in self._chosen:
            return {"profile": self._chosen[name]}
        return next(({"profile": profile} for profile in candidates if profile in self._served), {})

"""The settings that each method of a search begins with: its preset for the data, or a named one.

A preset has the name of a dataset, that of a size of images such as `28x28`, or one of its own
such as `paper`. That of a dataset is laid over that of the size of its images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, final

from ..data.builtin import catalog as datasets
from ..data.summary import DataSummary
from ..errors import UsageError, did_you_mean
from .older_settings import older_settings
from .study import Study

if TYPE_CHECKING:
    from ..methods.config import Scalar
    from .space import Space

PAPER = "paper"
"""The protocol of a method's paper, which not every method has."""


@final
@dataclass(frozen=True, kw_only=True)
class Preset:
    """Settings to begin with, and the names of the presets that they are from.

    `older` marks that of a search which began when only what lies in the ranges was tried first.
    """

    names: tuple[str, ...] = ()
    settings: Mapping[str, "Scalar"] = field(default_factory=dict)
    older: bool = False

    def text(self, wanted: str | None = None) -> str:
        """Return in words what the settings are, and that there is none of a wanted name."""
        several = "s" * (len(self.names) > 1)
        words = f"settings of preset{several} {' and '.join(self.names)}"
        lacks = wanted is not None and wanted not in self.names
        return (words if self.names else "default settings") + (
            f" for want of a preset {wanted}" if lacks else ""
        )

    def to_mapping(self) -> dict[str, Any]:
        """Return names and settings as JSON values."""
        return {"names": list(self.names), "settings": dict(self.settings)}

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Return the preset from the values of `to_mapping`."""
        return cls(names=tuple(values["names"]), settings=values["settings"])


def size_name(shape: Sequence[int]) -> str | None:
    """Return the name of presets for points of a shape, HEIGHTxWIDTH, or None for no images."""
    match tuple(shape):
        case (height, width) | (1 | 3, height, width):
            return f"{height}x{width}"
        case _:
            return None


_SIZES = {entry.name: size_name(entry.shape) for entry in datasets()}


def chosen(study: Study, data: DataSummary, spaces: Mapping[str, "Space"]) -> dict[str, Preset]:
    """Return the preset of every method of a study that begins.

    Raises UsageError if a method lacks the one that the study names, unless this is `paper` and
    another method has it.
    """
    wanted = study.preset
    lacking = [] if wanted is None else [n for n, s in spaces.items() if wanted not in s.presets]
    if wanted is not None and lacking and (wanted != PAPER or len(lacking) == len(spaces)):
        raise _no_preset(wanted, lacking[0], spaces[lacking[0]])
    size = size_name(data.shape)
    own = None if data.name == PAPER else data.name  # no file follows a paper by its name
    return {
        name: preset_of(space, own, size)
        if wanted is None or name in lacking
        else preset_of(space, wanted)
        for name, space in spaces.items()
    }


def preset_of(space: "Space", name: str | None, size: str | None = None) -> Preset:
    """Return the preset of a name over that of a size, as far as there are any.

    The images of a dataset with a name have a size that is known.
    """
    below = size if name is None else _SIZES.get(name, size)
    names = tuple(n for n in dict.fromkeys((below, name)) if n is not None and n in space.presets)
    settings = {key: value for n in names for key, value in space.presets[n].items()}
    return Preset(names=names, settings=settings)


def recorded(
    record: Mapping[str, Any], study: Study, data: DataSummary, spaces: Mapping[str, "Space"]
) -> dict[str, Preset]:
    """Return the presets with which a search began, in the order in which they are tried.

    A version that recorded none knew those of datasets alone, and tried them as methods are named.
    """
    if "presets" in record:
        return {entry["method"]: Preset.from_mapping(entry) for entry in record["presets"]}
    found = {}
    for name in study.methods:
        given = study.spaces.get(name, {}).get("presets", {})
        settings = None if data.name in given else older_settings(name, data.name)
        if settings is None:
            settings = spaces[name].presets.get(data.name, {})
        names = (data.name,) if settings else ()
        found[name] = Preset(names=names, settings=settings, older=True)
    return found


def recorded_order(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the order in which a search tries its presets, () for that of its methods."""
    return tuple(entry["method"] for entry in record.get("presets", ()))


def _no_preset(wanted: str, method: str, space: "Space") -> UsageError:
    names = list(space.presets)
    allowed = f"choose one of {', '.join(names)}" if names else "it has none, so leave it out"
    return UsageError(
        f"--preset {wanted}: {method} has no such preset{did_you_mean(wanted, names)}; {allowed}"
    )

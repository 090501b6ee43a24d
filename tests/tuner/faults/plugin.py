"""The idle method as another package would offer it, with an entry point."""

import shutil
from pathlib import Path

_HERE = Path(__file__).parent


def offer(folder: Path, name: str = "idle") -> Path:
    """Make `folder` one from which Python imports the method, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in ("py", "yaml"):
        shutil.copy(_HERE / f"idle.{kind}", folder / f"{name}_method.{kind}")
    info = folder / f"{name}_method-1.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-method\nVersion: 1\n")
    point = f"[tuner.methods]\n{name} = {name}_method:Idle\n"
    (info / "entry_points.txt").write_text(point)
    return folder

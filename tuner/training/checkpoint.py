"""Tensors and a document on disk: whole or absent, verified when read, never unpickled.

A folder holds `weights.safetensors`, a JSON document, and `manifest.json` with the size and
sha256 of each. It is written beside its place and renamed into it, the manifest last, so a killed
writer leaves the checkpoint before, and whatever is cut or flipped later is noticed.
"""

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from ..errors import DiskError, TunerError

MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
DOCUMENT = "document.json"
_SCHEMA = 1
_PREFIX = "step-"


class CheckpointError(TunerError):
    """A checkpoint or model that is missing, cut, changed or of an unknown schema."""

    exit_code = 3


def write(folder: Path, tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
    """Write tensors and a JSON document as one folder, replacing what was there."""
    write_files(folder, {WEIGHTS: pack(tensors), DOCUMENT: to_json(document)})


def read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the document of a folder, verified."""
    files = read_files(folder, (WEIGHTS, DOCUMENT))
    return (
        unpack(files[WEIGHTS], where=folder / WEIGHTS),
        from_json(files[DOCUMENT], where=folder / DOCUMENT),
    )


def save_checkpoint(
    folder: Path,
    step: int,
    tensors: Mapping[str, Tensor],
    document: Mapping[str, Any],
    *,
    keep: int = 2,
) -> Path:
    """Write the checkpoint of a step into `folder` and keep the newest `keep`; return its place.

    Checkpoints of later steps belong to a course that was given up (a damaged newest one, or a
    start from scratch) and are removed, as is what a killed writer left half done.
    """
    place = folder / f"{_PREFIX}{step:08d}"
    write(place, tensors, document)
    found = saved_checkpoints(folder)
    here = found.index(place)
    for old in [*found[:here], *found[here + keep :], *folder.glob(f".{_PREFIX}*")]:
        shutil.rmtree(old, ignore_errors=True)
    return place


def saved_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder of generations, newest first, unverified."""
    return sorted(folder.glob(f"{_PREFIX}[0-9]*"), reverse=True)


def latest_valid(folder: Path) -> tuple[tuple[dict[str, Tensor], dict[str, Any]] | None, str]:
    """Return the newest checkpoint that verifies, or None, and a note.

    The note is empty unless a newer checkpoint was passed over; then it says which and why.
    """
    notes: list[str] = []
    for place in saved_checkpoints(folder):
        try:
            return read(place), " ".join(notes)
        except CheckpointError as error:
            notes.append(str(error))
    return None, " ".join(notes)


def pack(tensors: Mapping[str, Tensor]) -> bytes:
    """Return tensors of any device as safetensors."""
    # copies, because safetensors refuses tensors that share memory
    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    return safetensors.torch.save(own)


def unpack(content: bytes, *, where: Path) -> dict[str, Tensor]:
    """Return the tensors of safetensors bytes; `where` they came from is for the error."""
    try:
        return safetensors.torch.load(content)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{where} is not a safetensors file ({error}): fetch or train it again"
        ) from None


def to_json(document: Mapping[str, Any]) -> bytes:
    """Return a document as JSON text."""
    return json.dumps(document, indent=2, sort_keys=True).encode()


def from_json(content: bytes, *, where: Path) -> dict[str, Any]:
    """Return the mapping that JSON text holds; `where` it came from is for the error."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{where} is not JSON ({error}): fetch or train it again") from None
    if not isinstance(document, dict):
        raise CheckpointError(f"{where} holds no mapping: fetch or train it again")
    return document


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files and their manifest as one folder, replacing what was there."""
    size = sum(map(len, files.values()))
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    try:
        temporary.mkdir(parents=True)
        for name, content in files.items():
            _write_durably(temporary / name, content)
        _write_durably(temporary / MANIFEST, to_json(_manifest(files)))
        _sync_folder(temporary)
        _replace(temporary, folder)
    except OSError as error:
        raise _disk_error(folder, size, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_files(folder: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    """Return the content of the named files of a folder, exactly as its manifest lists them."""
    if not folder.is_dir() and _aside(folder).is_dir():
        folder = _aside(folder)  # the writer was killed between the two renames
    listed = _listed(folder)
    if set(listed) != set(names):
        raise CheckpointError(
            f"{folder / MANIFEST} lists {', '.join(sorted(listed)) or 'no files'} instead of "
            f"{', '.join(sorted(names))}: fetch or train it again"
        )
    return {name: _verified(folder / name, listed[name]) for name in names}


def _manifest(files: Mapping[str, bytes]) -> dict[str, Any]:
    facts = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        for name, content in files.items()
    }
    return {"schema": _SCHEMA, "files": facts}


def _listed(folder: Path) -> dict[str, Any]:
    manifest = from_json(_content(folder / MANIFEST), where=folder / MANIFEST)
    refuse_newer(manifest.get("schema"), _SCHEMA, where=folder / MANIFEST)
    files = manifest.get("files")
    if not isinstance(files, dict):
        raise CheckpointError(f"{folder / MANIFEST} lists no files: fetch or train it again")
    return files


def refuse_newer(schema: object, known: int, *, where: Path) -> None:
    """Raise unless `schema` is a version from 1 up to the one this installation knows."""
    if type(schema) is not int or schema < 1:
        raise CheckpointError(f"{where} has schema {schema!r}, not a number: fetch it again")
    if schema > known:
        raise CheckpointError(
            f"{where} has schema {schema}, this installation reads up to {known}: upgrade tuner"
        )


def _verified(path: Path, fact: object) -> bytes:
    content = _content(path)
    expected = fact if isinstance(fact, dict) else {}
    if len(content) != expected.get("size"):
        raise CheckpointError(
            f"{path} has {len(content)} bytes, its manifest says {expected.get('size')}: it was "
            "cut or changed; fetch or train it again"
        )
    if hashlib.sha256(content).hexdigest() != expected.get("sha256"):
        raise CheckpointError(
            f"{path} does not match the sha256 in its manifest: it was changed; fetch or train "
            "it again"
        )
    return content


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror}): fetch or train it again"
        ) from None


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.previous")


def _replace(temporary: Path, folder: Path) -> None:
    """Rename `temporary` to `folder`; a folder that is there steps aside until it is done."""
    aside = _aside(folder)
    if folder.exists():
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
    temporary.rename(folder)
    _sync_folder(folder.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _disk_error(folder: Path, size: int, error: OSError) -> DiskError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "free some space" if full else "choose a folder that can be written"
    return DiskError(f"cannot write {size} bytes to {folder} ({error.strerror}): {remedy}")

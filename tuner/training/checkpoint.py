"""Checkpoints: folders with tensors and a JSON document, written atomically and never unpickled.

A folder holds `weights.safetensors`, a JSON document, and `manifest.json` with the size and
sha256 of each. It is written under a temporary name, the manifest last, and then renamed, so a
writer that is killed leaves the previous checkpoint intact. Reading verifies the manifest, so
files that were truncated or changed are detected.
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
from ..small_files import read_regular

MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
DOCUMENT = "document.json"
_SCHEMA = 1
_PREFIX = "step-"


class CheckpointError(TunerError):
    """A checkpoint or model that is missing, truncated, changed or of an unknown schema."""

    exit_code = 3


def write(folder: Path, tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
    """Write tensors and a JSON document as a folder, replacing an existing one."""
    write_files(folder, {WEIGHTS: pack(tensors), DOCUMENT: to_json(document)})


def read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Verify a folder and return its tensors and its document."""
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
    """Write the checkpoint of a step, delete all but the newest `keep`, and return its folder.

    Checkpoints of later steps are deleted too: training has restarted before them, because the
    newest one was damaged or no longer fits. So are the incomplete ones of writers that were
    killed.
    """
    path = folder / f"{_PREFIX}{step:08d}"
    write(path, tensors, document)
    found = saved_checkpoints(folder)
    position = found.index(path)
    incomplete = folder.glob(f".{_PREFIX}*")
    for old in [*found[:position], *found[position + keep :], *incomplete]:
        shutil.rmtree(old, ignore_errors=True)
    return path


def saved_checkpoints(folder: Path) -> list[Path]:
    """Return the folders of the saved checkpoints, newest first, without verifying them."""
    return sorted(folder.glob(f"{_PREFIX}[0-9]*"), reverse=True)


def latest_valid(folder: Path) -> tuple[tuple[dict[str, Tensor], dict[str, Any]] | None, str]:
    """Return the newest valid checkpoint, or None, and a note on those that are not valid.

    The note is empty if the newest checkpoint is valid or there is none.
    """
    notes: list[str] = []
    for path in saved_checkpoints(folder):
        try:
            return read(path), " ".join(notes)
        except CheckpointError as error:
            notes.append(str(error))
    return None, " ".join(notes)


def split_state(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a training state, and the other values."""
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    return tensors, {key: value for key, value in state.items() if key not in tensors}


def pack(tensors: Mapping[str, Tensor]) -> bytes:
    """Return tensors of any device as safetensors bytes."""
    # clones, because safetensors rejects tensors that share memory
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    return safetensors.torch.save(copies)


def unpack(content: bytes, *, where: Path) -> dict[str, Tensor]:
    """Return the tensors in the bytes of the file `where`, or raise CheckpointError."""
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
    """Return the JSON object in the bytes of the file `where`, or raise CheckpointError."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{where} is not JSON ({error}): fetch or train it again") from None
    if not isinstance(document, dict):
        raise CheckpointError(f"{where} is not a JSON object: fetch or train it again")
    return document


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files and their manifest as a folder, replacing an existing one."""
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
    """Verify a folder whose manifest must list exactly these files and return their content."""
    if not folder.is_dir() and _previous(folder).is_dir():
        folder = _previous(folder)  # the writer was killed between its two renames
    listed = _listed_files(folder)
    if set(listed) != set(names):
        raise CheckpointError(
            f"{folder / MANIFEST} lists {', '.join(sorted(listed)) or 'no files'} instead of "
            f"{', '.join(sorted(names))}: fetch or train it again"
        )
    return {name: _verified(folder / name, listed[name]) for name in names}


def _manifest(files: Mapping[str, bytes]) -> dict[str, Any]:
    entries = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        for name, content in files.items()
    }
    return {"schema": _SCHEMA, "files": entries}


def _listed_files(folder: Path) -> dict[str, Any]:
    manifest = from_json(_read_bytes(folder / MANIFEST), where=folder / MANIFEST)
    check_schema(manifest.get("schema"), _SCHEMA, where=folder / MANIFEST)
    files = manifest.get("files")
    if not isinstance(files, dict):
        raise CheckpointError(f"{folder / MANIFEST} lists no files: fetch or train it again")
    return files


def check_schema(schema: object, newest: int, *, where: Path) -> None:
    """Raise CheckpointError unless `schema` is a version from 1 to `newest`."""
    if type(schema) is not int or schema < 1:
        raise CheckpointError(
            f"{where} has schema {schema!r}, which is not a version number: fetch it again"
        )
    if schema > newest:
        raise CheckpointError(
            f"{where} has schema {schema}, this installation reads up to {newest}: upgrade tuner"
        )


def _verified(path: Path, entry: object) -> bytes:
    """Return the content of a file, or raise CheckpointError if its manifest entry differs."""
    content = _read_bytes(path)
    expected = entry if isinstance(entry, dict) else {}
    if len(content) != expected.get("size"):
        raise CheckpointError(
            f"{path} was truncated or changed (it has {len(content)} bytes, its manifest says "
            f"{expected.get('size')}): fetch or train it again"
        )
    if hashlib.sha256(content).hexdigest() != expected.get("sha256"):
        raise CheckpointError(
            f"{path} was changed (it does not match the sha256 in its manifest): fetch or train "
            "it again"
        )
    return content


def _read_bytes(path: Path) -> bytes:
    try:
        return read_regular(path)
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


def _previous(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.previous")


def _replace(temporary: Path, folder: Path) -> None:
    """Rename `temporary` to `folder` and delete the folder that had this name."""
    previous = _previous(folder)
    if folder.exists():
        shutil.rmtree(previous, ignore_errors=True)
        folder.rename(previous)
    temporary.rename(folder)
    _sync_folder(folder.parent)
    shutil.rmtree(previous, ignore_errors=True)


def _disk_error(folder: Path, size: int, error: OSError) -> DiskError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "free some space" if full else "choose a writable folder"
    return DiskError(f"cannot write {size} bytes to {folder} ({error.strerror}): {remedy}")

"""Checkpoints: folders with tensors and a JSON document, written atomically and never unpickled.

A folder holds `weights.safetensors`, a JSON document, and `manifest.json` with the size and
sha256 of each. On a disk it is written under a temporary name, the manifest last, and then
renamed, so a writer that is killed leaves the previous checkpoint intact. An object store cannot
rename: there the manifest, written last, makes a folder complete. Reading verifies the manifest,
so files that were truncated or changed are detected.
"""

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch
from torch import Tensor

from ..errors import DiskError, TunerError
from ..small_files import read_regular

if TYPE_CHECKING:
    from .object_store import StorePath
    from .places import Place

Checkpoint = tuple[dict[str, Tensor], dict[str, Any]]
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
DOCUMENT = "document.json"
_SCHEMA = 1
_PREFIX = "step-"


class CheckpointError(TunerError):
    """A checkpoint or model that is missing, truncated, changed or of an unknown schema."""

    exit_code = 3


def write(folder: "Place", tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
    """Write tensors and a JSON document as a folder, replacing an existing one."""
    write_files(folder, {WEIGHTS: pack(tensors), DOCUMENT: to_json(document)})


def read(folder: "Place") -> Checkpoint:
    """Verify a folder and return its tensors and its document."""
    files = read_files(folder, (WEIGHTS, DOCUMENT))
    return (
        unpack(files[WEIGHTS], where=folder / WEIGHTS),
        from_json(files[DOCUMENT], where=folder / DOCUMENT),
    )


def save_checkpoint(
    folder: "Place",
    step: int,
    tensors: Mapping[str, Tensor],
    document: Mapping[str, Any],
    *,
    keep: int = 2,
) -> "Place":
    """Write the checkpoint of a step, delete all but the newest `keep`, and return its folder.

    Checkpoints of later steps are deleted too: training has restarted before them, because the
    newest one was damaged or no longer fits. So are the incomplete ones of writers that were
    killed.
    """
    path = folder / f"{_PREFIX}{step:08d}"
    write(path, tensors, document)
    names = [saved.name for saved in saved_checkpoints(folder)]
    position = names.index(path.name)
    _delete_others(folder, names[position : position + keep])
    return path


def saved_checkpoints(folder: "Place") -> Sequence["Place"]:
    """Return the folders of the saved checkpoints, newest first, without verifying them."""
    if isinstance(folder, Path):
        return sorted(folder.glob(f"{_PREFIX}[0-9]*"), reverse=True)
    complete = {file.split("/")[0] for file in folder.files() if file.endswith(f"/{MANIFEST}")}
    return [folder / name for name in sorted(complete, reverse=True) if name.startswith(_PREFIX)]


def latest_valid(folder: "Place") -> tuple[Checkpoint | None, str]:
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


def unpack(content: bytes, *, where: "Place") -> dict[str, Tensor]:
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


def from_json(content: bytes, *, where: "Place") -> dict[str, Any]:
    """Return the JSON object in the bytes of the file `where`, or raise CheckpointError."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{where} is not JSON ({error}): fetch or train it again") from None
    if not isinstance(document, dict):
        raise CheckpointError(f"{where} is not a JSON object: fetch or train it again")
    return document


def write_files(folder: "Place", files: Mapping[str, bytes]) -> None:
    """Write files and their manifest as a folder, replacing an existing one."""
    if not isinstance(folder, Path):
        _write_to_store(folder, files)
        return
    size = sum(map(len, files.values()))
    try:
        try:
            _write_to_disk(folder, files)
        except FileNotFoundError:  # somebody has just deleted the folder that it is in
            _write_to_disk(folder, files)
    except OSError as error:
        raise _disk_error(folder, size, error) from error


def read_files(folder: "Place", names: tuple[str, ...]) -> dict[str, bytes]:
    """Verify a folder whose manifest must list exactly these files and return their content."""
    if isinstance(folder, Path) and not folder.is_dir() and _previous(folder).is_dir():
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


def _listed_files(folder: "Place") -> dict[str, Any]:
    manifest = from_json(_read_bytes(folder / MANIFEST), where=folder / MANIFEST)
    check_schema(manifest.get("schema"), _SCHEMA, where=folder / MANIFEST)
    files = manifest.get("files")
    if not isinstance(files, dict):
        raise CheckpointError(f"{folder / MANIFEST} lists no files: fetch or train it again")
    return files


def check_schema(schema: object, newest: int, *, where: "Place") -> None:
    """Raise CheckpointError unless `schema` is a version from 1 to `newest`."""
    if type(schema) is not int or schema < 1:
        raise CheckpointError(
            f"{where} has schema {schema!r}, which is not a version number: fetch it again"
        )
    if schema > newest:
        raise CheckpointError(
            f"{where} has schema {schema}, this installation reads up to {newest}: upgrade tuner"
        )


def _verified(path: "Place", entry: object) -> bytes:
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


def _read_bytes(path: "Place") -> bytes:
    try:
        return read_regular(path) if isinstance(path, Path) else path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror}): fetch or train it again"
        ) from None


def _write_to_disk(folder: Path, files: Mapping[str, bytes]) -> None:
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    try:
        temporary.mkdir(parents=True)
        for name, content in files.items():
            _write_durably(temporary / name, content)
        _write_durably(temporary / MANIFEST, to_json(_manifest(files)))
        _sync_folder(temporary)
        _replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_to_store(folder: "StorePath", files: Mapping[str, bytes]) -> None:
    """Write the manifest last: until then, one that was there does not match the files."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / MANIFEST).write_bytes(to_json(_manifest(files)))


def _delete_others(folder: "Place", kept: Sequence[str]) -> None:
    """Delete all checkpoints, complete or not, but those with the names `kept`."""
    if isinstance(folder, Path):
        for path in [*folder.glob(f"{_PREFIX}*"), *folder.glob(f".{_PREFIX}*")]:
            if path.name not in kept:
                shutil.rmtree(path, ignore_errors=True)
    else:
        folder.delete([file for file in folder.files() if file.split("/")[0] not in kept])


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

"""Is every product in a tree what its info file says, does it load, is what it builds on there?"""

__all__ = ["Problem", "verify"]

import pickle
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from wwdc.errors import ProductError
from wwdc.products.atomic import sha256
from wwdc.products.gc import orphans, temporaries
from wwdc.products.info import Info, read_info
from wwdc.products.library import Library
from wwdc.products.text import load_yaml
from wwdc.products.tree import TABLES_INFO, Tree, artefact_of

_AGAIN = "run python -m wwdc.stats again"

_UNLOADABLE = (
    AttributeError,
    EOFError,
    ImportError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)


@dataclass(frozen=True)
class Problem:
    """Something about a file: broken, or only worth knowing."""

    path: Path
    message: str
    broken: bool = True


def verify(tree: Tree) -> list[Problem]:
    """Check every product's size, hash, schema, contents and lineage.

    Problems that are not `broken` are mentioned only: leftovers that `gc` removes, several
    products of one point, a dataset whose catalogue can be written again. A tree that is empty
    or not there has no problems.
    """
    library = Library(tree.data_root)
    problems: list[Problem] = []
    infos: dict[Path, Info] = {}
    for path in tree.info_files():
        try:
            infos[path] = read_info(path)
        except FileNotFoundError:  # removed while we looked
            continue
        except ProductError as error:
            problems.append(Problem(path, str(error).removeprefix(f"{path}: ")))
    for path, info in infos.items():
        problems += _check(path, info, library)
    known = {info.sha256 for info in infos.values()}
    return [
        *problems,
        *_doubles(tree, infos),
        *_tables(tree, known),
        *_promoted(tree),
        *_leftovers(tree),
    ]


def _check(path: Path, info: Info, library: Library) -> Iterator[Problem]:
    artefact = artefact_of(path)
    if artefact is None:
        yield Problem(path, "the file it describes is gone")
        return
    size = artefact.stat().st_size
    if size != info.bytes:
        yield Problem(artefact, f"{size} bytes, its info file says {info.bytes}")
    elif fault := _fault(artefact, info, library):
        yield Problem(artefact, fault)
    if artefact.suffix == ".ckpt" and artefact.stem != info.job:
        yield Problem(artefact, f"was published as {info.job}.ckpt", broken=False)
    for message, broken in library.faults(info):
        yield Problem(artefact, message, broken)


def _fault(artefact: Path, info: Info, library: Library) -> str | None:
    try:
        if library.digest(artefact) != info.sha256:
            return "SHA-256 differs from the one in its info file"
    except ProductError as error:
        return str(error)
    return _ckpt_fault(artefact) if artefact.suffix == ".ckpt" else _parquet_fault(artefact)


def _ckpt_fault(path: Path) -> str | None:
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except _UNLOADABLE as error:
        return f"does not load with weights_only=True: {_first_line(error)}"
    if not isinstance(content, dict) or "state_dict" not in content:
        return "is not a Lightning checkpoint: it has no state_dict"
    return None


def _parquet_fault(path: Path) -> str | None:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for number in range(file.num_row_groups):  # iter_batches keeps what it has read
                file.read_row_group(number)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        return f"is not Parquet: {_first_line(error)}"
    return None


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _doubles(tree: Tree, infos: dict[Path, Info]) -> Iterator[Problem]:
    points = Counter(info.point_id for path, info in infos.items() if path.parent == tree.ckpts)
    for point_id, count in sorted(points.items()):
        if count > 1:
            message = f"point {point_id} has {count} products, the newest counts"
            yield Problem(tree.ckpts, message, broken=False)


def _tables(tree: Tree, known: Container[str | None]) -> Iterator[Problem]:
    """Are the tables of ``stat_tests`` what was written, of embeddings that are still there?"""
    note = tree.stat_tests / TABLES_INFO
    try:
        about = load_yaml(note)
        tables, embeddings = dict(about["sha256"]), dict(about["embeddings"])
    except FileNotFoundError:  # none, or a run is writing them
        return
    except (ProductError, KeyError, TypeError, ValueError) as error:
        yield Problem(note, f"does not say what it vouches for ({error}); {_AGAIN}")
        return
    for name, digest in tables.items():
        path = tree.stat_tests / name
        if not path.is_file() or sha256(path) != digest:
            yield Problem(path, f"is not the table that was written; {_AGAIN}")
    gone = [
        name for name, files in embeddings.items() if any(s not in known for s in files.values())
    ]
    if gone:
        message = f"was made from embeddings that are not there any more: {', '.join(gone)}"
        yield Problem(note, message, broken=False)


def _promoted(tree: Tree) -> Iterator[Problem]:
    """Are the variables that labels became, of all experiments on these data, what was written?"""
    for path in sorted(tree.promoted.glob("*_info.yaml")):
        artefact = artefact_of(path)
        try:
            if artefact is None:
                yield Problem(path, "the table it describes is gone")
            elif load_yaml(path)["sha256"] != sha256(artefact):
                message = "SHA-256 differs from the one in its info file; promote its labels again"
                yield Problem(artefact, message)
        except (ProductError, KeyError, TypeError) as error:
            yield Problem(path, f"does not say what it vouches for ({error})")


def _leftovers(tree: Tree) -> Iterator[Problem]:
    for path in temporaries(tree):
        yield Problem(path, "half-written file of a run that died, or is running", broken=False)
    for path in orphans(tree):
        yield Problem(path, "has no info file: not a product", broken=False)

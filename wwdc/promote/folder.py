"""The next experiment: the folder of the last one, with a dataset that has one more variable."""

__all__ = ["next_experiment"]

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from wwdc.config import ROOT, Composed, load, load_stage
from wwdc.config.files import read_yaml
from wwdc.config.tree import ABSENT, get, map_text
from wwdc.errors import ConfigError
from wwdc.products import Tree
from wwdc.products.text import dump_yaml
from wwdc.tune.plan import Plan, make_plan
from wwdc.tune.sweeps import DROPS, Axes, read_axes

_GLOBAL = "# @package _global_\n"
_EMBED = ("embed.yaml", "embedding.yaml")


def next_experiment(
    composed: Composed,
    out: Path,
    *,
    variable: str,
    table: Path,
    sha256: str,
    origin: Sequence[str],
    notice: Callable[[str], None],
) -> Plan:
    """Write the experiment folder *out*, which conditions on *variable*, and plan it.

    Its sweeps drop the new variable, drop nothing, and drop what the old ones did. The model and
    whatever else lies in the folder are copied as they are.

    Args:
        composed: train.yaml of the old experiment, composed; what was overridden of its data
            stays so.
        out: the new folder.
        table: the promoted table, under the data root.
        sha256: of the table.
        origin: lines on where it came from, put at the top of every file.
        notice: told what is left out.

    Raises:
        ConfigError: *out* is there already, or the old experiment does not compose with the new
            data.
    """
    out = out.expanduser().absolute()
    if out.exists():
        raise ConfigError(f"{out} exists and is not overwritten. Give another folder with --out.")
    out.parent.mkdir(parents=True, exist_ok=True)
    writer = _Writer(composed, variable, origin)
    node = writer.dataset(table, sha256)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        made = Path(scratch) / out.name
        shutil.copytree(composed.folder, made, ignore=shutil.ignore_patterns("__pycache__"))
        writer.write(made, node, notice)
        staged = load_stage(made, trust=composed.trust)
        meta = staged.training.meta
        tree = Tree(staged.training.data_root, meta.data_name, meta.experiment_name)
        plan = make_plan(staged.training, tree)
        if staged.training.raw["data"]["x_ds"] != node:
            raise ConfigError(
                f"{composed.folder.name}: data.x_ds is set in more than one file, so its dataset "
                "cannot be replaced. Move it to train.yaml."
            )
        made.rename(out)
    return plan


class _Writer:
    """The files of the next experiment."""

    def __init__(self, composed: Composed, variable: str, origin: Sequence[str]) -> None:
        self.composed = composed
        self.variable = variable
        self.top = "".join(f"# {line}\n" for line in origin)
        self.config = composed.resolve()

    def dataset(self, table: Path, sha256: str) -> dict[str, Any]:
        """The section ``data.x_ds``: the old one wrapped."""
        old = {**self.config["data"]["x_ds"], "drop_variables": []}
        root = self.composed.data_root
        inside = table.relative_to(root).as_posix()
        return {
            "_target_": "wwdc.data.promoted.Promoted",
            "dataset": map_text(old, lambda text: text.replace(ROOT, "${paths.data_dir}")),
            "table": f"${{paths.data_dir}}/{inside}",
            "sha256": sha256,
            "drop_variables": [],
        }

    def write(self, folder: Path, x_ds: Mapping[str, Any], notice: Callable[[str], None]) -> None:
        """Replace the files that differ from those of the old experiment."""
        axes = read_axes(load(self.composed.folder, trust=self.composed.trust))
        content = {name: read_yaml(folder / name) for name in ("meta.yaml", "train.yaml")}
        self._put(folder / "meta.yaml", self._meta(content["meta.yaml"]))
        self._put(folder / "sweeps.yaml", {"sweeps": self._sweeps(axes, notice)})
        self._put(folder / "train.yaml", self._train(content["train.yaml"], x_ds, axes))
        model = (folder / "model.yaml").read_text(encoding="utf-8")
        (folder / "model.yaml").write_text(f"{self.top}{model}", encoding="utf-8")
        for name in _EMBED:
            if (folder / name).is_file():
                self._put(folder / name, _without_data(read_yaml(folder / name)))

    def _put(self, path: Path, content: Mapping[str, Any]) -> None:
        header = _GLOBAL if "defaults" in content else ""
        text = dump_yaml(content, quoted=("sha256",))
        path.write_text(f"{header}{self.top}\n{text}", encoding="utf-8")

    def _meta(self, content: dict[str, Any]) -> dict[str, Any]:
        meta = dict(content["meta"])
        meta["experiment_name"] = f"{self.composed.meta.experiment_name}_{self.variable.upper()}"
        if meta.get("experiment_id") is not None:
            meta["experiment_id"] = f"{meta['experiment_id']}_{self.variable}"
        meta["description"] = f"{self.composed.meta.description} With {self.variable}.".strip()
        return {**content, "meta": meta}

    def _sweeps(self, axes: Axes, notice: Callable[[str], None]) -> dict[str, Any]:
        drops = {"param": "x_ds.drop_variables"}
        new = {
            f"drop_{self.variable}": {
                **drops,
                "val": [self.variable],
                "description": f"Drop {self.variable}",
            },
            f"keep_{self.variable}": {
                **drops,
                "val": [],
                "description": f"Drop nothing: condition on {self.variable} as well",
            },
        }
        old = {}
        for name, entry in self._entries(axes).items():
            key = axes.composed.find_key(entry["param"])
            if key.startswith("data.x_ds.") and key != DROPS:
                notice(f"sweep {name!r} changes the data that were promoted, and is left out")
            elif key == DROPS and entry.get("val") in ([], "[]"):
                del new[f"keep_{self.variable}"]
                old[name] = entry
            else:
                old[name] = entry
        return {**new, **old}

    def _entries(self, axes: Axes) -> dict[str, Any]:
        """What sweeps.yaml declares; with ``hydra.sweeper.params``, what those use."""
        declared = axes.composed.raw["sweeps"] or {}
        if axes.composed.sweeper is None:
            return dict(declared)
        entries: dict[str, Any] = {}
        for axis in axes.listed:
            for number, choice in enumerate(axis.choices, start=1):
                name = choice.sweep or f"{axis.key.rpartition('.')[2]}_{number}"
                entries[name] = declared.get(name) or {"param": axis.key, "val": choice.value}
        for drop in axes.drops:
            if drop.sweep:
                entries[drop.sweep] = declared[drop.sweep]
        for found in axes.searched:
            name = found.name or found.key.rpartition(".")[2]
            entries[name] = declared.get(name) or {"param": found.key, "space": found.text}
        return entries

    def _train(
        self, content: dict[str, Any], x_ds: Mapping[str, Any], axes: Axes
    ) -> dict[str, Any]:
        rest = _without_data(content)
        data = {**self.config["data"], "x_ds": dict(x_ds)}
        new = {"defaults": rest.pop("defaults"), "data": data, **rest}
        if axes.seeds:
            new["seeds"] = [choice.value for choice in axes.seeds]
        flow = get(self.config, "lightning_loader.flow.context")
        if flow is not ABSENT and flow is not None:  # it has another width now
            loader = dict(new.get("lightning_loader") or {})
            loader["flow"] = {**(loader.get("flow") or {}), "context": None}
            new["lightning_loader"] = loader
        return new


def _without_data(content: Mapping[str, Any]) -> dict[str, Any]:
    """A file without the data that it chose and the lines of ``hydra.sweeper``."""
    rest = {name: value for name, value in content.items() if name != "data"}
    rest["defaults"] = [entry for entry in content.get("defaults", []) if not _is_data(entry)]
    if isinstance(rest.get("hydra"), Mapping):
        rest["hydra"] = {k: v for k, v in rest["hydra"].items() if k != "sweeper"}
        if not rest["hydra"]:
            del rest["hydra"]
    return rest


def _is_data(entry: Any) -> bool:
    text = entry if isinstance(entry, str) else str(next(iter(entry)))
    return text.split()[-1].strip("/").partition("/")[0] == "data"

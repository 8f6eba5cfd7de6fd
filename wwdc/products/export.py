"""A trained model as a folder that stands on its own: weights without code, and how to build it."""

__all__ = ["SCHEMA", "Exported", "Known", "export", "load", "read_export", "vae_of"]

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

import wwdc
from wwdc.config import instantiate
from wwdc.config.tree import texts
from wwdc.data.catalogue import Catalogue, Kind, Scaling, Variable
from wwdc.errors import ConfigError, ProductError
from wwdc.models.context import check_context, is_masked
from wwdc.products.atomic import sha256, sync_directory, write_into
from wwdc.products.info import Info, Parent, explain, read_info
from wwdc.products.text import dump_yaml, load_yaml
from wwdc.products.tree import Product, Tree, artefact_of, verified

if TYPE_CHECKING:
    from torch import Tensor

    from wwdc.training.lightning_loaders import LightningFlow, LightningVAE

SCHEMA = 1
"""Major version of an exported folder's format."""

MODEL, VAE, CONFIG = "model.safetensors", "vae.safetensors", "config.yaml"
_CONTEXT = ("context_mean", "context_std", "context_groups")
_QUOTED = {"point_id", "config_id", "sha256", "fingerprint"}


class Known(BaseModel):
    """A catalogue variable that a flow is told; see `wwdc.data.catalogue.Variable`."""

    model_config = ConfigDict(extra="forbid")

    name: str
    kind: Kind
    width: int
    units: str | None = None
    range: tuple[float, float] | None = None
    description: str = ""
    scaling: Scaling = "linear"
    fill: float | None = None
    classes: tuple[str, ...] = ()


class Exported(BaseModel):
    """What ``config.yaml`` of an exported folder holds, in the order it is written.

    ``kept`` are the variables of the context in the order of its columns, ``dropped`` those that
    the flow is not told; both are empty for a VAE. A flow with condition_dropout keeps all, and
    its context has a bit more for each.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    schema_version: int = Field(default=SCHEMA, alias="schema")
    wwdc_version: str = wwdc.__version__
    kind: Literal["vae", "flow"]
    experiment: str
    point_id: str
    config_id: str
    seed: int | None = None
    overrides: dict[str, Any] = {}
    metrics: dict[str, float] = {}
    kept: list[Known] = []
    dropped: list[str] = []
    lightning_loader: dict[str, Any]
    lineage: dict[str, Parent] = {}

    @property
    def catalogue(self) -> Catalogue:
        """The kept variables; ``catalogue.encode(table)`` is the context a flow takes."""
        return Catalogue(tuple(Variable(**known.model_dump()) for known in self.kept))


def export(product: Product, folder: Path, tree: Tree, *, allow: Sequence[str] = ()) -> list[Path]:
    """Write the published weights of *product* and what they need into a new *folder*.

    ``model.safetensors`` holds the averaged weights (``flow.*`` with ``context_mean``,
    ``context_std`` and, with condition_dropout, ``context_groups``; or ``vae.*``),
    ``vae.safetensors`` the VAE of a flow, ``config.yaml`` how to build them. The folder appears
    whole or not at all, after it has been loaded once.

    Args:
        product: a finished checkpoint.
        folder: absent or empty.
        tree: the product's own; a flow's VAE is looked for under its `data_root`.
        allow: targets to build beyond the usual ones, as `allow_targets` in meta.yaml.

    Raises:
        ProductError: *folder* holds something, or a checkpoint is missing or broken.
        ConfigError: the configuration names a path that another machine does not have.
    """
    folder = folder.absolute()
    _check_free(folder)
    model = _published(product.path)
    has_vae = product.info.config["lightning_loader"].get("vae") is not None
    is_flow = "context_mean" in model
    vae = _published(vae_of(product, tree.data_root)) if is_flow and has_vae else {}
    described = _describe(product.info, model, tree.name, allow)
    with _new_folder(folder) as temporary:
        _write_tensors(temporary / MODEL, model)
        if vae:
            _write_tensors(temporary / VAE, vae)
        write_into(temporary / CONFIG, dump_yaml(_plain(described), quoted=_QUOTED))
        load(temporary, allow=allow)
    return [folder / name for name in (MODEL, *([VAE] if vae else []), CONFIG)]


def load(folder: str | Path, *, allow: Sequence[str] = ()) -> "LightningFlow | LightningVAE":
    """A model that ``python -m wwdc.products best EXPERIMENT --export FOLDER`` wrote.

    It is on the CPU, frozen and in evaluation mode. Of a flow, ``module.flow`` is the published
    network, ``module.vae`` the VAE it was trained on and ``module.condition`` what it expects of a
    context; of a VAE, ``module.vae`` is the network.

    Args:
        folder: holds ``config.yaml`` and the weights.
        allow: targets to build beyond the usual ones, such as ``["mypackage.models.MyVAE"]``. The
            folder itself cannot add to them.

    Raises:
        ProductError: a file is missing, broken or does not fit.
        ConfigError: the configuration names a class that is not allowed.
    """
    folder = Path(folder)
    described = read_export(folder)
    module = _build(folder, described, allow)
    model = _read_tensors(folder / MODEL)
    if described.kind == "flow":
        mean, std = (_need(folder, model, name) for name in _CONTEXT[:2])
        groups = _need(folder, model, _CONTEXT[2]) if module.masked else None
        module.set_context(len(mean), mean, std, groups)
        if described.lightning_loader.get("vae") is not None:
            _fill(folder / VAE, _read_tensors(folder / VAE), "vae", module.vae)
    averaged = {f"ema.{k.partition('.')[2]}": v for k, v in model.items() if "." in k}
    from wwdc.models.weights import load_weights

    load_weights(folder / MODEL, model | averaged, module)
    loaded: LightningFlow | LightningVAE = module.eval().requires_grad_(False)
    return loaded


def read_export(folder: str | Path) -> Exported:
    """What an exported folder says about itself.

    Raises:
        ProductError: there is no ``config.yaml``, or it is not one of this schema.
    """
    path = Path(folder) / CONFIG
    try:
        data = load_yaml(path)
    except FileNotFoundError as error:
        raise ProductError(
            f"{folder} is no exported model: it has no {CONFIG}. Write one: "
            "python -m wwdc.products best EXPERIMENT --export FOLDER"
        ) from error
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise ProductError(
            f"{path}: schema: this wwdc reads schema {SCHEMA}, the file has {schema!r}. "
            "Use the version of wwdc that wrote it (key wwdc_version), or a newer one."
        )
    try:
        return Exported.model_validate(data)
    except ValidationError as error:
        raise ProductError(explain(path, error)) from error


def vae_of(product: Product, data_root: Path) -> Path:
    """The checkpoint of the VAE that a flow was trained on: where it lay, or found by content.

    Raises:
        ProductError: it is nowhere under *data_root* either.
    """
    parent = product.info.parents.get("vae", Parent())
    if product.info.vae_fp and parent.sha256:
        recorded = Path(product.info.vae_fp)
        if recorded.is_file() and sha256(recorded) == parent.sha256:
            return recorded
    for path in sorted(data_root.glob("*/*/ckpts/*_info.yaml")):
        artefact = artefact_of(path)
        if artefact is not None and parent.sha256 and parent.sha256 in path.read_text():
            found = Product(artefact, read_info(path))
            if found.info.sha256 == parent.sha256:
                return verified(found).path
    raise ProductError(
        f"{product.path} was trained on a VAE (SHA-256 {str(parent.sha256)[:12]}…) that is neither "
        f"at {product.info.vae_fp} nor under {data_root}. Put it back, or train the flow again."
    )


def _build(folder: Path, described: Exported, allow: Sequence[str]) -> Any:
    from wwdc.training.lightning_loaders import LightningFlow, LightningVAE

    try:
        module = instantiate(described.lightning_loader, allow=allow, key="lightning_loader")
    except ConfigError as error:
        raise ConfigError(f"{folder / CONFIG}: {error}") from error
    wanted = LightningFlow if described.kind == "flow" else LightningVAE
    if not isinstance(module, wanted):
        raise ProductError(
            f"{folder / CONFIG}: lightning_loader builds a {type(module).__name__}, a "
            f"{described.kind} needs a {wanted.__name__}."
        )
    return module


def _published(path: Path) -> dict[str, "Tensor"]:
    """The averaged weights of a checkpoint under the network's own name, and its context."""
    from wwdc.models.weights import read_checkpoint

    state: Mapping[str, Tensor] = read_checkpoint(path)["state_dict"]
    context = {name: state[name] for name in _CONTEXT if name in state}
    prefix = "flow" if context else "vae"
    averaged = {
        f"{prefix}.{name.removeprefix('ema.')}": tensor
        for name, tensor in state.items()
        if name.startswith("ema.")
    }
    if not averaged:
        keys = ", ".join(list(state)[:3])
        raise ProductError(f"{path}: holds no averaged weights (ema.*); its keys begin {keys}.")
    return averaged | context


def _describe(
    info: Info, model: Mapping[str, "Tensor"], experiment: str, allow: Sequence[str]
) -> Exported:
    loader = {k: v for k, v in info.config["lightning_loader"].items() if k != "vae_ckpt_path"}
    kept: list[Known] = []
    dropped: list[str] = []
    if "context_mean" in model:
        dataset = instantiate(info.config["data"]["x_ds"], allow=allow, key="data.x_ds")
        kept = [Known.model_validate(vars(variable)) for variable in dataset.kept]
        dropped = list(dataset.drop_variables)
        width = check_context(None, dataset.kept, masked=is_masked(loader))
        loader["flow"] = {**loader["flow"], "context": width}
    for key, text in texts(loader):
        if Path(text).is_absolute():
            raise ConfigError(
                f"lightning_loader.{key}: {text!r} is a path of this machine, so the model would "
                "not load elsewhere. Build it without, and train it again."
            )
    return Exported(
        kind="flow" if "context_mean" in model else "vae",
        experiment=experiment,
        point_id=info.point_id,
        config_id=info.config_id,
        seed=info.seed,
        overrides=info.overrides,
        metrics=info.metrics,
        kept=kept,
        dropped=dropped,
        lightning_loader=loader,
        lineage=info.parents,
    )


def _plain(described: Exported) -> dict[str, Any]:
    data = described.model_dump(by_alias=True, mode="json")
    data["metrics"] = described.metrics  # JSON would turn NaN into null
    data["lineage"] = {n: p.model_dump(exclude_none=True) for n, p in described.lineage.items()}
    return data


def _write_tensors(path: Path, tensors: Mapping[str, "Tensor"]) -> None:
    from safetensors.torch import save

    # A copy each: tied weights share memory, which the format does not know.
    apart = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    write_into(path, save(apart, metadata={"format": "pt"}))


def _read_tensors(path: Path) -> dict[str, "Tensor"]:
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    try:
        return from_bytes(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise ProductError(f"{path}: cannot be read as safetensors: {error}.") from error


def _need(folder: Path, model: Mapping[str, "Tensor"], name: str) -> "Tensor":
    if name not in model:
        raise ProductError(f"{folder / MODEL}: {name} is missing.")
    return model[name]


def _fill(path: Path, tensors: Mapping[str, "Tensor"], prefix: str, network: Any) -> None:
    from wwdc.models.weights import load_weights

    load_weights(path, {k.removeprefix(f"{prefix}."): v for k, v in tensors.items()}, network)


def _check_free(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ProductError(
            f"{folder} exists{' and is not empty' if folder.is_dir() else ''}; nothing was "
            "written. Name a new folder."
        )


@contextlib.contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder beside *folder* that takes its name when all went well."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        sync_directory(temporary)
        temporary.rename(folder)  # onto an empty folder only, or it fails
        sync_directory(folder.parent)
    except OSError as error:
        raise ProductError(
            f"cannot write {folder}: {error.strerror or error}. Nothing was left behind. "
            "Name another folder."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

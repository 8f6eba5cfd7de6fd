"""Finding what a product builds on anywhere under DATA_ROOT, by content."""

__all__ = ["Library"]

import functools
from pathlib import Path

from wwdc.errors import ProductError
from wwdc.products.atomic import sha256
from wwdc.products.info import Info, Parent, read_info
from wwdc.products.text import load_yaml
from wwdc.products.tree import Product, artefact_of, info_path

Fault = tuple[str, bool]

_OPTIONAL = {"data", "resume"}
"""Parents a product can be used without: data is drawn again from its fingerprint."""

_EMBEDDING = "embedding_"
"""Before the split, what scores name the embeddings that they were made from."""


class Library:
    """All products under a DATA_ROOT, of every experiment, each file read at most once.

    Lineage is by SHA-256 and point, never by path, so a tree that was moved still verifies.
    """

    def __init__(self, data_root: Path) -> None:
        self.data_root = data_root
        self._digests: dict[Path, str] = {}
        self._open: set[str | None] = set()

    def digest(self, path: Path) -> str:
        """SHA-256 of a file."""
        if path not in self._digests:
            self._digests[path] = sha256(path)
        return self._digests[path]

    def faults(self, info: Info) -> list[Fault]:
        """What is wrong with what *info* builds on, all the way down: message, is it broken."""
        if info.sha256 in self._open:  # a tree made by hand may run in a circle
            return [("builds on itself", True)]
        self._open.add(info.sha256)
        found: list[Fault] = []
        for name, parent in info.parents.items():
            if parent.fingerprint:
                found += self._data_faults(name, parent.fingerprint)
            else:
                found += self._product_faults(name, parent, info)
        self._open.discard(info.sha256)
        return found

    def _data_faults(self, name: str, fingerprint: str) -> list[Fault]:
        found = sorted(self.data_root.glob(f"*/catalogue/{fingerprint}.parquet"))
        if any(self._intact_catalogue(path) for path in found):
            return []
        if found:
            advice = "remove it and run python -m wwdc.prepare"
            return [(f"its {name} catalogue {found[0]} is not as its card says; {advice}", True)]
        message = (
            f"its {name} catalogue {fingerprint} is not under {self.data_root}; "
            "python -m wwdc.prepare writes it again"
        )
        return [(message, name not in _OPTIONAL)]

    def _intact_catalogue(self, path: Path) -> bool:
        try:
            card = load_yaml(info_path(path))
            return isinstance(card, dict) and card.get("sha256") == self.digest(path)
        except (FileNotFoundError, ProductError):
            return False

    def _product_faults(self, name: str, parent: Parent, info: Info) -> list[Fault]:
        product = self._find(parent)
        if product is None:
            return self._recorded_faults(name, parent, info)
        try:
            intact = self.digest(product.path) == product.info.sha256
        except ProductError as error:
            return [(f"builds on a {name} that cannot be read: {error}", True)]
        if not intact:
            return [
                (
                    f"builds on the {name} {product.path}, which is broken: its SHA-256 is not "
                    "the one in its info file",
                    True,
                )
            ]
        return self.faults(product.info)

    def _recorded_faults(self, name: str, parent: Parent, info: Info) -> list[Fault]:
        """A checkpoint outside DATA_ROOT has no info file: look where it lay, by content."""
        if name.startswith(_EMBEDDING):
            split = name.removeprefix(_EMBEDDING)
            return [(f"was made from an embedding of {split} that is not there any more", False)]
        path = Path(info.vae_fp) if name == "vae" and info.vae_fp else None
        if parent.sha256 and path and path.is_file() and self.digest(path) == parent.sha256:
            return []
        identity = f"SHA-256 {parent.sha256[:12]}…" if parent.sha256 else f"point {parent.point_id}"
        return [
            (
                f"builds on a {name} ({identity}) that is not under {self.data_root}",
                name not in _OPTIONAL,
            )
        ]

    def _find(self, parent: Parent) -> Product | None:
        for product in self._products:
            if parent.sha256 and product.info.sha256 == parent.sha256:
                return product
            if not parent.sha256 and product.info.point_id == parent.point_id:
                return product
        return None

    @functools.cached_property
    def _products(self) -> list[Product]:
        found = []
        places = ("*/*/ckpts/*_info.yaml", "*/*/embeddings/*/*_info.yaml")
        for path in sorted(path for place in places for path in self.data_root.glob(place)):
            artefact = artefact_of(path)
            if artefact is None:
                continue
            try:
                found.append(Product(artefact, read_info(path)))
            except (ProductError, FileNotFoundError):
                continue  # verifying that experiment says what is wrong with it
        return found

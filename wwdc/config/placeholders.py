"""What a resolved configuration leaves open, so that it is the same wherever it is run."""

__all__ = ["JOB", "JOB_NUM", "ROOT", "blank", "fill", "fill_products", "missing_products"]

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wwdc.config.tree import map_text

JOB = "@JOB@"
"""Stands for ``{job_id}_{job_num}``, which names a point's products."""

JOB_NUM = "@JOB_NUM@"
"""Stands for ``job_num`` alone, the index of a point in its sweep."""

ROOT = "@DATA_ROOT@"
"""Stands for the folder of all products and data."""

_NESTED = r"(?:[^{}]|\$\{[^{}]*\})*"
_OPEN = (
    (re.compile(r"\$\{oc\.env:\s*['\"]?DATA_ROOT['\"]?\s*(?:," + _NESTED + r")?\}"), ROOT),
    (re.compile(r"\$\{hydra:\s*job\.id\s*\}"), JOB),
    (re.compile(r"\$\{hydra:\s*job\.num\s*\}"), JOB_NUM),
)
_PRODUCT = re.compile(r"@PRODUCT:([^@]*)@")
_MISSING = re.compile(r"@MISSING_PRODUCT:([^@]*)@")


def blank(text: str) -> str:
    """Put placeholders where *text* asks for the data root or the job.

    >>> blank("${oc.env:DATA_ROOT}/ckpts/${hydra:job.id}.ckpt")
    '@DATA_ROOT@/ckpts/@JOB@.ckpt'
    """
    for pattern, placeholder in _OPEN:
        text = pattern.sub(placeholder, text)
    return text


def fill(config: dict[str, Any], *, job: str, data_root: Path) -> dict[str, Any]:
    """Copy *config* with the placeholders replaced, *job* being ``{job_id}_{job_num}``.

    >>> fill({"path": "@DATA_ROOT@/@JOB@.ckpt"}, job="5240735_2", data_root=Path("/data"))
    {'path': '/data/5240735_2.ckpt'}
    """
    words = {JOB: job, JOB_NUM: job.rsplit("_", 1)[-1], ROOT: str(data_root)}

    def replace(text: str) -> str:
        if "@" in text:
            for placeholder, value in words.items():
                text = text.replace(placeholder, value)
        return text

    filled: dict[str, Any] = map_text(config, replace)
    return filled


def fill_products(config: Any, path_of: Callable[[str], str | None]) -> Any:
    """Replace ``@PRODUCT:A/B@`` by ``path_of("A/B")``, or mark it as missing."""

    def found(match: re.Match[str]) -> str:
        return path_of(match[1]) or f"@MISSING_PRODUCT:{match[1]}@"

    return map_text(config, lambda text: _PRODUCT.sub(found, text) if "@P" in text else text)


def missing_products(config: Any) -> list[str]:
    """Name the products that *config* builds on and that do not exist yet, each once.

    >>> missing_products({"vae": "@MISSING_PRODUCT:COLOUR_MNIST/VAE@"})
    ['COLOUR_MNIST/VAE']
    """
    names: dict[str, None] = {}

    def collect(text: str) -> str:
        names.update(dict.fromkeys(_MISSING.findall(text)))
        return text

    map_text(config, collect)
    return list(names)

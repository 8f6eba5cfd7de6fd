"""Site files: what differs from one cluster to the next, as variables that bash sources."""

__all__ = ["KEYS", "Site", "find_site", "read_site", "scripts", "sites"]

import shlex
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from wwdc.errors import ConfigError, closest

KEYS = ("WWDC_SBATCH", "WWDC_SETUP", "WWDC_PYTHON", "WWDC_SCRATCH", "WWDC_INTERFACE")

_READ_HERE = ("WWDC_SBATCH", "WWDC_PYTHON")
"""Needed before a shell has seen the file: what a shell would replace cannot be in them."""


@dataclass(frozen=True)
class Site:
    """A cluster's own settings, as far as they are needed to submit; the rest is bash's.

    Attributes:
        path: of the file, absolute: the batch script sources it.
        options: for the scheduler, as words of a command line.
        python: the interpreter on the nodes, where it is not the one that submits.
    """

    path: Path
    options: tuple[str, ...] = ()
    python: str | None = None


def scripts() -> Path:
    """The absolute folder of the batch script and its site files, in a checkout or a wheel."""
    return Path(str(files("wwdc") / "cluster" / "scripts")).absolute()


def sites() -> list[str]:
    """Names of the sites that come with the package."""
    return sorted(path.stem for path in (scripts() / "sites").glob("*.env"))


def find_site(name: str) -> Site:
    """The site of a name that comes with the package, or of a file.

    Raises:
        ConfigError: there is neither, or the file is wrong.
    """
    if name in sites():
        return read_site(scripts() / "sites" / f"{name}.env")
    path = Path(name).expanduser().absolute()
    if not path.is_file():
        raise ConfigError(
            f"--site {name}: there is no such site and no such file.{closest(name, sites())} "
            f"Sites: {', '.join(sites())}. {scripts() / 'sites' / 'example.env'} is a template."
        )
    return read_site(path)


def read_site(path: Path) -> Site:
    """Read a site file: lines ``KEY="value"`` with the keys of `KEYS`, and comments.

    Raises:
        ConfigError: names the file, the line and the key that is wrong.
    """
    try:
        lines = path.read_bytes().decode().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: this site file cannot be read ({error})") from None
    values: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        place = f"{path}, line {number}"
        words = _words(line, place)
        if not words:
            continue
        key, equals, value = words[0].partition("=")
        if len(words) > 1 or not equals:
            raise ConfigError(f'{place}: expected KEY="value", got {line.strip()!r}')
        if key not in KEYS:
            raise ConfigError(
                f"{place}: there is no {key}.{closest(key, KEYS)} "
                f"A site file sets {', '.join(KEYS)}."
            )
        if key in _READ_HERE and ("$" in value or "`" in value or value.startswith("~")):
            raise ConfigError(
                f"{place}: {key} is needed before a shell reads this file. "
                f"Write out what {value!r} stands for."
            )
        values[key] = value
    where = f"{path}: WWDC_SBATCH"
    options = _split(values.get("WWDC_SBATCH", ""), where)
    return Site(path, options, values.get("WWDC_PYTHON") or None)


def _words(line: str, place: str) -> list[str]:
    """The words of a line as bash would see them; `;`, `&`, `|` and the like are words as well."""
    if line.endswith("\r"):
        raise ConfigError(f"{place}: the line ends as on Windows, which bash cannot read")
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        return list(lexer)
    except ValueError as error:
        raise ConfigError(f"{place}: {error}: a value has its quotes on one line") from None


def _split(text: str, where: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise ConfigError(f"{where}={text!r}: {error}") from None

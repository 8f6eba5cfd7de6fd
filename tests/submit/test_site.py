"""Site files, as this package and as bash read them."""

import shlex
import subprocess

import pytest

from wwdc.errors import ConfigError
from wwdc.submit.site import KEYS, find_site, read_site, scripts, sites


def write(tmp_path, text):
    path = tmp_path / "mine.env"
    path.write_bytes(text.encode())
    return path


def sourced(path):
    """What bash makes of a site file."""
    show = "; ".join(f'printf "%s\\0" "{key}=${key}"' for key in KEYS)
    script = f". {shlex.quote(str(path))}; {show}"
    done = subprocess.run(["bash", "-c", script], env={}, capture_output=True, check=True)
    words = done.stdout.decode().split("\0")[:-1]
    return dict(word.split("=", 1) for word in words)


def test_the_scripts_come_with_the_package():
    assert scripts().is_absolute()
    assert (scripts() / "ray_head.sh").is_file()
    assert sites() == ["arc", "dev", "example"]


def test_arc_is_the_outlines_launcher():
    site = find_site("arc")
    assert set(site.options) == {
        "--cpus-per-task=16",
        "--gres=gpu:1",
        "--partition=short",
        "--time=720",
        "--clusters=htc",
        "--mail-type=END,FAIL",
    }
    assert site.python is None
    assert site.path == scripts() / "sites" / "arc.env"


@pytest.mark.parametrize("name", ["arc", "dev", "example"])
def test_bash_reads_a_shipped_site_alike(name):
    site = find_site(name)
    assert tuple(sourced(site.path)["WWDC_SBATCH"].split()) == site.options


def test_every_line_of_the_template_can_be_taken(tmp_path):
    text = (scripts() / "sites" / "example.env").read_text()
    path = write(tmp_path, text.replace("\n# WWDC_", "\nWWDC_"))
    site = read_site(path)
    found = sourced(path)
    assert all(found[key] for key in KEYS if key != "WWDC_SCRATCH")  # $TMPDIR is not set
    assert site.python == found["WWDC_PYTHON"]
    assert "--partition=gpu" in site.options


@pytest.mark.parametrize(
    "line",
    [
        "WWDC_SBATCH=\"--comment='a b' --time=5\"  # why",
        "WWDC_SBATCH='--time=5'",
        "WWDC_SBATCH=--time=5",
        'WWDC_SBATCH="--comment=a#b;c|d&e"',
        'WWDC_SBATCH=""',
    ],
)
def test_bash_reads_a_line_alike(tmp_path, line):
    path = write(tmp_path, f"# a site\n\n  {line}\n")
    assert list(read_site(path).options) == shlex.split(sourced(path)["WWDC_SBATCH"])


def test_values_for_the_nodes_may_need_a_shell(tmp_path):
    path = write(tmp_path, 'WWDC_SETUP="module load CUDA && echo $HOME"\nWWDC_SCRATCH="$TMPDIR"\n')
    assert read_site(path).options == ()


@pytest.mark.parametrize(
    "line, told",
    [
        ("WWDC_SBTCH=x", "there is no WWDC_SBTCH. Did you mean 'WWDC_SBATCH'?"),
        ("DATA_ROOT=/data", "there is no DATA_ROOT."),
        ("WWDC_SBATCH=--time=5 --mem=8G", 'expected KEY="value"'),
        ("WWDC_SBATCH = --time=5", 'expected KEY="value"'),
        ("WWDC_SETUP=module;load", 'expected KEY="value"'),
        ("module load CUDA", 'expected KEY="value"'),
        ("export WWDC_PYTHON=/p", 'expected KEY="value"'),
        ('WWDC_SETUP="module', "No closing quotation"),
        ('WWDC_SBATCH="--comment=\'a"', "No closing quotation"),
        ('WWDC_PYTHON="$HOME/python"', "WWDC_PYTHON is needed before a shell"),
        ("WWDC_PYTHON=~/python", "WWDC_PYTHON is needed before a shell"),
        ('WWDC_SBATCH="--account=`id -gn`"', "WWDC_SBATCH is needed before a shell"),
        ("WWDC_INTERFACE=ib0\r", "as on Windows"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, told):
    path = write(tmp_path, f"# a site\n{line}\n")
    with pytest.raises(ConfigError) as error:
        read_site(path)
    assert str(error.value).startswith(str(path))
    assert told in str(error.value)


def test_a_wrong_line_is_numbered(tmp_path):
    with pytest.raises(ConfigError, match=r"mine.env, line 3: "):
        read_site(write(tmp_path, "# a site\n\nX=1\n"))


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "mine.env"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"mine.env: this site file cannot be read"):
        read_site(path)


def test_a_file_by_its_path(tmp_path, monkeypatch):
    write(tmp_path, "WWDC_PYTHON=/shared/python\n")
    monkeypatch.chdir(tmp_path)
    site = find_site("mine.env")
    assert site.path == tmp_path / "mine.env"
    assert site.python == "/shared/python"


def test_an_unknown_site_lists_those_there_are():
    with pytest.raises(ConfigError) as error:
        find_site("ark")
    assert "Did you mean 'arc'?" in str(error.value)
    assert "Sites: arc, dev, example." in str(error.value)

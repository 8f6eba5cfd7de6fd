"""Reports of the shipped experiments in a real Chromium."""

import os
import shutil
from pathlib import Path

import pytest

from tests.chromium import CONTRAST, watched
from tests.conftest import REPOSITORY, SHARED
from wwdc.products import Tree
from wwdc.report.settings import SECTIONS
from wwdc.run.__main__ import main as run
from wwdc.tune.__main__ import main as tune

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

FLOW = REPOSITORY / "experiments" / "RGBMNIST_FLOW"
LITTLE = ("data.x_ds.views=1", "trainer.max_epochs=1", "+seed=42")
QUICK = (
    *("tests=quick", "detectors=quick", "figures=quick", "embed.engine=inline"),
    *("tests.permutations=99", "tests.bootstraps=99"),
)


def look(browser, page: Path) -> None:
    """Nothing is fetched, fails or is hard to read; every section has a figure or a table."""
    for scheme in ("light", "dark"):
        with watched(browser, page, scheme) as (tab, faults, asked):
            assert faults == [] and tab.evaluate(CONTRAST)["bad"] == []
            assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
            for section in SECTIONS:
                assert tab.locator(f"section#{section} :is(figure, table)").count(), section
            assert tab.locator("text=could not be drawn").count() == 0
            wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
            assert not tab.evaluate(wide)
    assert page.stat().st_size < 10e6


def test_the_report_of_make_run(browser):
    """What `make run` left, whose path is in WWDC_REPORT."""
    page = os.environ.get("WWDC_REPORT")
    if page is None:
        pytest.skip("needs the page of `make run`: name it in WWDC_REPORT")
    look(browser, Path(page))


@pytest.mark.ray
def test_the_report_of_colour_mnist(browser, ray_session, data_root):
    """Networks that have learnt little, on the 10 000 test images: that it holds, not what."""
    if not (SHARED / "data" / "mnist").is_dir():
        pytest.skip("needs MNIST's test images beside the repository")
    shutil.copytree(SHARED / "data" / "mnist", data_root / "MNIST" / "raw")
    assert tune([str(FLOW.with_name("rgbmnist_vae")), *LITTLE]) == 0
    assert run([str(FLOW), *LITTLE, *QUICK]) == 0
    look(browser, Tree(data_root, "COLOUR_MNIST", "FLOW").report / "index.html")

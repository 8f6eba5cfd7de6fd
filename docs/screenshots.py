"""Pictures of a report's page, for docs/index.md and docs/tutorial.md.

    python docs/screenshots.py data/DIGITS/FLOW/report/index.html [--out docs/images]

The page is the one that `make run` ends with. Chromium is looked for as `chromium`, or where
$CHROMIUM says.
"""

import argparse
import os
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

WIDTH, HEIGHT = 1180, 620
FIGURES = {
    "report-told.png": "counterfactuals",
    "report-left.png": "verdicts",
    "report-map.png": "map_umap",
    "report-odd.png": "gallery",
}
TALLEST = {"gallery": 760}  # CSS pixels: the first rows of the oddest objects


def main() -> None:
    """Open the page, photograph its top and some figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    options = parser.parse_args()
    browser = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if browser is None:
        raise SystemExit("no Chromium here: install it first")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        tab = chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        tab.goto(options.page.absolute().as_uri())
        photograph(tab, options.out)
        chromium.close()


def photograph(tab: Page, folder: Path) -> None:
    """The top of the page as it opens, then each figure that it has."""
    shot(tab, folder / "report.png", {"x": 0, "y": 0, "width": WIDTH, "height": HEIGHT})
    tab.set_viewport_size({"width": WIDTH, "height": tab.evaluate("document.body.scrollHeight")})
    for name, figure in FIGURES.items():
        box = tab.locator(f"#{figure}").bounding_box()
        if box is not None:
            box["height"] = min(box["height"], TALLEST.get(figure, box["height"]))
            shot(tab, folder / name, box)


def shot(tab: Page, path: Path, clip: dict[str, float]) -> None:
    """A PNG of 256 colours, a third as large as one of all."""
    tab.screenshot(path=path, clip=clip)
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


if __name__ == "__main__":
    main()

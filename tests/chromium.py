"""A real Chromium, and what a page in it is asked."""

__all__ = ["CHROMIUM", "CONTRAST", "watched"]

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")

# Contrast of every text with what is behind it, after WCAG 2.1: 4.5, or 3 for large letters.
CONTRAST = """() => {
  const parse = text => { const n = text.match(/[\\d.]+/g).map(Number);
    return {rgb: n.slice(0, 3), alpha: n.length > 3 ? n[3] : 1}; };
  const light = rgb => { const [r, g, b] = rgb.map(v => { v /= 255;
    return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = node => { for (; node; node = node.parentElement) {
    const found = parse(getComputedStyle(node).backgroundColor);
    if (found.alpha > 0.99) return found.rgb; } return [255, 255, 255]; };
  const bad = []; let seen = 0;
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.nodeValue.trim() || ["SCRIPT", "STYLE"].includes(node.tagName)) continue;
    const style = getComputedStyle(node), size = parseFloat(style.fontSize);
    const [a, b] = [light(parse(style.color).rgb), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    seen += 1;
    if (ratio < (large ? 3 : 4.5)) bad.push([walk.currentNode.nodeValue.trim(), ratio]);
  }
  return {bad, seen};
}"""


@contextmanager
def watched(
    browser: Any, path: Path, scheme: str = "light", script: bool = True
) -> Iterator[tuple[Any, list[str], list[str]]]:
    """A page of the disk in a tab, what went wrong in it, and the URLs it asked for."""
    context = browser.new_context(color_scheme=scheme, java_script_enabled=script)
    tab = context.new_page()
    faults: list[str] = []
    tab.on("console", lambda message: faults.append(message.text))
    tab.on("pageerror", lambda error: faults.append(str(error)))
    asked: list[str] = []
    tab.on("request", lambda found: asked.append(found.url))
    tab.goto(path.as_uri())
    yield tab, faults, asked
    context.close()

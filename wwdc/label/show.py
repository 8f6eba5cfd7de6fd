"""What the command prints without a page: agreement of labellers, a simulated campaign."""

__all__ = ["show_agreement", "simulate"]

import math

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from wwdc.label.campaign import Campaign
from wwdc.label.features import read_features
from wwdc.label.opening import Opened
from wwdc.label.oracle import oracle, simulated
from wwdc.label.settings import LabelSettings
from wwdc.products import Tree, atomic_write

SHOWN = (10, 20, 50, 100, 200, 500)
"""Numbers of labels in the table; the last one of the campaign is shown as well."""

_WORDS = {"=": "-is-", "<": "-below-", ">": "-above-"}


def show_agreement(campaign: Campaign) -> None:
    """Cohen's kappa of each pair of labellers and Krippendorff's alpha of all."""
    from wwdc.discovery.agreement import agreement

    events = sorted(campaign.state().known.values(), key=lambda event: event.time)
    found = agreement([event.as_dict() for event in events])
    table = Table(title="agreement", title_justify="left", box=SIMPLE)
    for name in ("question", "labellers", "objects", "Cohen's kappa"):
        table.add_column(name)
    for row in found.pairs.to_dict("records"):
        people = f"{row['first']}, {row['second']}"
        table.add_row(row["question"], people, str(row["n"]), _number(row["kappa"]))
    screen = Console(highlight=False)
    screen.print(table)
    for question, alpha in found.alpha.items():
        screen.print(f"Krippendorff's alpha, {question}: {_number(alpha)}", markup=False)


def simulate(question: str, opened: Opened, settings: LabelSettings, tree: Tree) -> None:
    """Replay a campaign whose answers are in the catalogue, print it and write its curves."""
    from wwdc.discovery.replay import mean_curve

    answers = oracle(question, opened.objects)
    curve = simulated(
        read_features(opened.features),
        answers,
        settings.strategy,
        budget=settings.budget,
        seeds=range(settings.seed, settings.seed + settings.simulate_seeds),
    )
    mean = mean_curve(curve).set_index(["label", "strategy"])
    strategies = list(dict.fromkeys(curve["strategy"]))
    title = (
        f"{tree.name} {opened.embedding.name}: {question}, {int(answers.sum())} of "
        f"{len(answers)} objects; found after so many labels, mean of "
        f"{settings.simulate_seeds} seeds [95 %]"
    )
    table = Table(title=title, title_justify="left", box=SIMPLE)
    for name in ("labels", *strategies):
        table.add_column(name, justify="right")
    for label in sorted({n for n in SHOWN if n < settings.budget} | {settings.budget}):
        rows = [mean.loc[(label, strategy)] for strategy in strategies]
        cells = [_with_limits(r.found, r.found_ci_low, r.found_ci_high) for r in rows]
        table.add_row(str(label), *cells)
    screen = Console(highlight=False)
    screen.print(table)
    stem = "".join(_WORDS.get(character, character) for character in question.replace(" ", ""))
    path = tree.labels / "simulated" / f"{stem}.csv"
    atomic_write(path, curve.to_csv(index=False, lineterminator="\n"))
    screen.print(f"Curves: {path}", markup=False, soft_wrap=True)


def _with_limits(value: float, low: float, high: float) -> str:
    return f"{value:.1f}" + ("" if math.isnan(low) else f" [{low:.1f}, {high:.1f}]")


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"

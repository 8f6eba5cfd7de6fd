"""A small experiment as figure functions see it: planted tables, tiny networks, no tree."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch
from optuna.distributions import FloatDistribution

from wwdc.data.digits import Digits
from wwdc.label.events import Event, fold
from wwdc.models import digits
from wwdc.report.drawn import Lacking
from wwdc.report.findings import Campaign, Findings
from wwdc.report.painter import Painter
from wwdc.report.settings import Settings
from wwdc.report.shown import Shown
from wwdc.training.lightning_loaders import LightningFlow
from wwdc.tune.results import mean_over_seeds

D = 8
SWEEPS = {"only_b": ("b",), "b_digit": ("b", "digit")}
DETECTORS = ("iforest", "ecod", "knn")


def dataset() -> Digits:
    """Digits with two views."""
    return Digits(views=2)


def painter(dropped: tuple[str, ...], kind: str = "flow") -> Painter:
    """A painter with untrained networks, the same every time."""
    torch.manual_seed(0)
    data = dataset()
    vae = digits.VAE(hidden_dim=D, channels=4, width=16).eval()
    flow = digits.CouplingFlow(features=D, hidden_features=[16], transforms=2)
    module = LightningFlow(vae, flow, lr=1e-3)
    kept = data.catalogue.keep(dropped)
    context = kept.encode(data.table("test"))
    module.set_context(kept.width, context.mean(0), context.std(0))
    with torch.no_grad():  # an untrained flow is the identity, whatever it is told
        for weights in module.ema.parameters():
            weights.add_(0.2 * torch.randn(weights.shape))
    target = SimpleNamespace(trained_without=dropped)
    work = SimpleNamespace(split="test", targets=[target])
    models = SimpleNamespace(dataset=data, vae=vae, work=work, flow=lambda _: module.eval())
    return Painter(models, dropped if kind == "flow" else ())


class SmallTables:
    """What `Tables` offers, of two sweeps with two seeds each, and of a search of sixteen points.

    Args:
        searched: whether parameters were searched.
        objectives: metrics that points are compared by.
        kind: ``flow`` or ``vae``.
    """

    seed = 0

    def __init__(
        self,
        *,
        searched: bool = False,
        objectives: tuple[str, ...] = ("val_loss",),
        kind: str = "flow",
    ) -> None:
        self.settings = Settings(())
        self.objectives = (list(objectives), ["min"] * len(objectives))
        self.is_flow = kind == "flow"
        self.sweeps = list(SWEEPS) if self.is_flow else ["all"]
        axes = SimpleNamespace(searched=["lr"] if searched else [])
        self.plan = SimpleNamespace(axes=axes)
        self.points = _searched() if searched else _listed()
        self.asked = self.points
        self.distributions = {"loader.lr": FloatDistribution(1e-5, 1e-2, log=True)}
        self._painters: dict[str, Painter] = {}
        product = SimpleNamespace(info=SimpleNamespace(seed=42))
        drops = SWEEPS if self.is_flow else {"all": ()}
        self.shown = tuple(
            Shown(n, SimpleNamespace(name=f"1_{i}", kind=kind, dropped=d, product=product), "one")
            for i, (n, d) in enumerate(drops.items())
        )

    @property
    def configurations(self) -> pd.DataFrame:
        return mean_over_seeds(self.points, self.points.attrs["metrics"])

    @property
    def metrics(self) -> pd.DataFrame:
        known = ["point_id", "config_id", "sweep", "seed"]
        rows = [
            (*point, epoch, metric, 10 / (epoch + 1) + len(metric))
            for point in self.points[known].itertuples(index=False)
            for epoch in range(4)
            for metric in ("train_loss", "val_loss", "train_kl", "val_kl")
        ]
        return pd.DataFrame(rows, columns=[*known, "epoch", "metric", "value"])

    @property
    def verdicts(self) -> pd.DataFrame:
        return pd.concat([_effects(self.points), _controls()], ignore_index=True)

    @property
    def summary(self) -> pd.DataFrame:
        return _effects(self.points).drop_duplicates(["sweep", "variable"])

    @property
    def tests(self) -> pd.DataFrame:
        own = _effects(self.points)
        steps = [own.assign(space=s, effect=own["effect"] * f) for s, f in _TIMES.items()]
        found = pd.concat([*steps, _controls()], ignore_index=True)
        return found.assign(kind="probes", test="linear")

    @property
    def label_curves(self) -> pd.DataFrame:
        own = _effects(self.points).assign(test="linear", repeat=0, n=100, reason="")
        return pd.concat([own.assign(labels=n) for n in (10, 100, 1000)], ignore_index=True)

    def catalogue(self, shown: Shown) -> Any:
        return dataset().catalogue

    def columns(self, shown: Shown, names: Any, limit: int | None = None) -> dict[str, Any]:
        table = dataset().table("test")
        rng = np.random.default_rng(0)
        vectors = {n: rng.standard_normal((len(table["id"]), D)) for n in ("u", "z")}
        known = {**table, **{n: v.astype(np.float32) for n, v in vectors.items()}}
        return {n: known[n][:limit] for n in names} | {"row": np.arange(limit or 1)}

    def painter(self, shown: Shown) -> Painter:
        if shown.sweep not in self._painters:
            kind = "flow" if self.is_flow else "vae"
            self._painters[shown.sweep] = painter(SWEEPS.get(shown.sweep, ()), kind)
        return self._painters[shown.sweep]

    @property
    def findings(self) -> Findings:
        return findings(self.shown[0])


_TIMES = {"u_t0.25": 3.0, "u_t0.5": 2.0, "u": 1.0}


def findings(shown: Shown | None) -> Findings:
    """Scores of all test objects, the first the oddest, and thirty labels."""
    ids = dataset().table("test")["id"]
    n = len(ids)
    rng = np.random.default_rng(1)
    score = np.linspace(5, 0, n)
    table = pd.DataFrame(
        {
            "id": ids,
            "split": "test",
            "role": np.repeat(["calibration", "tested"], [n // 2, n - n // 2]),
        }
    )
    for name in DETECTORS:
        table[name] = score + rng.normal(0, 0.3, n)
    tested = table["role"] == "tested"
    table = table.assign(
        score=score,
        rank=np.arange(1, n + 1),
        stability_detectors=0.5,
        stability_seeds=np.nan,
        p_value=np.where(tested, np.linspace(0.001, 1, n), np.nan),
        q_value=np.where(tested, 0.5, np.nan),
    )
    kinds = ("anomaly", "normal", "grade")
    events = [
        Event(
            uuid=f"event-{i:04d}",
            id=int(ids[i]),
            labeller="ann",
            kind=kinds[i % 3],
            value=3 if i % 3 == 2 else None,
            time=f"2026-01-01T00:00:{i:02d}+00:00",
        )
        for i in range(30)
    ]
    campaigns = (Campaign("first", fold(events)),)
    return Findings("1_0", shown, table, DETECTORS, campaigns)


def _listed() -> pd.DataFrame:
    rows = [
        {
            "point_id": f"{sweep}{seed}",
            "config_id": sweep * 2,
            "sweep": sweep,
            "seed": seed,
            "status": "done",
            "job_id": "1",
            "job_num": i,
            "drop": list(drop),
            "val_loss": 2.0 + i + 0.1 * seed,
            "test_loss": 2.5 + i,
        }
        for i, (sweep, drop) in enumerate(SWEEPS.items())
        for seed in (42, 43)
    ]
    frame = pd.DataFrame(rows)
    frame.attrs = {"overrides": ["drop", "seed"], "metrics": ["val_loss", "test_loss"]}
    return frame


def _searched() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 16
    frame = pd.DataFrame(
        {
            "point_id": [f"p{i}" for i in range(n)],
            "config_id": [f"c{i}" for i in range(n)],
            "sweep": None,
            "seed": 42,
            "status": "done",
            "job_id": "1",
            "job_num": range(n),
            "loader.lr": 10 ** rng.uniform(-5, -2, n),
            "loader.width": [64, 128] * (n // 2),
            "val_loss": rng.uniform(1, 2, n),
            "leakage": rng.uniform(0, 1, n),
        }
    )
    frame.attrs = {"overrides": ["loader.lr", "loader.width"], "metrics": ["val_loss", "leakage"]}
    return frame


def _effects(points: pd.DataFrame) -> pd.DataFrame:
    """Told variables are removed but for g, which leaks; others are present."""
    rows = []
    for place, point in enumerate(points.to_dict("records")):
        dropped = SWEEPS.get(point["sweep"] or "", ("b",))
        for name in dataset().catalogue.names:
            told = name not in dropped
            effect = (0.2 if name == "g" else 0.01 + 0.001 * place) if told else 0.9
            verdict = ("leaks" if name == "g" else "removed") if told else "present"
            rows.append(
                {
                    "point_id": point["point_id"],
                    "config_id": point["config_id"],
                    "sweep": point["sweep"],
                    "seed": point["seed"],
                    "variable": name,
                    "space": "u",
                    "conditioned": told,
                    "verdict": verdict,
                    "effect": effect,
                    "ci_low": effect - 0.02,
                    "ci_high": effect + 0.02,
                }
            )
    return pd.DataFrame(rows)


def _controls() -> pd.DataFrame:
    names = dataset().catalogue.names
    rows = [
        {"variable": n, "space": space, "effect": effect, "verdict": "not tested"}
        for space, effect in (("z", 0.95), ("normal", 0.0), ("shuffled", 0.0))
        for n in names
    ]
    return pd.DataFrame(rows).assign(point_id=None, config_id=None, sweep=None)


class EmptyTables:
    """An experiment that has made nothing: every question is answered by what is lacking."""

    def __init__(self, tables: SmallTables) -> None:
        self._tables = tables

    def __getattr__(self, name: str) -> Any:
        if name in ("settings", "seed", "objectives", "sweeps", "plan", "is_flow"):
            return getattr(self._tables, name)
        raise Lacking("nothing is there", "tune")

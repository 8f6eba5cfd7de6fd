"""Look at the oddest objects in a browser, and let the ranking learn from what you say."""

__all__ = ["main"]

import argparse
import getpass
import re
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wwdc.commands import stage_parser
from wwdc.config import load_stage
from wwdc.errors import ConfigError
from wwdc.products import Tree
from wwdc.terminal import EXIT_OK, counted, notice, run_cli
from wwdc.tune.plan import make_plan
from wwdc.tune.stopping import StopRequest

if TYPE_CHECKING:
    from wwdc.config import Staged
    from wwdc.label.campaign import Campaign
    from wwdc.label.events import Event
    from wwdc.label.opening import Opened
    from wwdc.label.settings import LabelSettings

EPILOG = """\
examples:
  python -m wwdc.label experiments/digits_flow
  python -m wwdc.label experiments/digits_flow --name rings label.split=test label.labeller=ada
  python -m wwdc.label experiments/digits_flow --export labels.csv
  python -m wwdc.label experiments/digits_flow --import their.sqlite --agreement
  python -m wwdc.label experiments/digits_flow --simulate digit=7

The page is served to this machine alone, to whoever has the address that is printed. Each label is
on the disk before the page counts it; the ranking learns from it in the background.

exit codes: 0 stopped by Ctrl-C or SIGTERM, or done; 2 a mistake (nothing started)
"""

FLAGS = {"agreement": "print how far labellers agree, start no page"}
VALUES = {
    "name": ("NAME", "the campaign, which has a log of its own (default: default)"),
    "export": ("FILE", "write labels to a .csv, .parquet, .fits or .jsonl, start no page"),
    "import": ("FILE", "add the events of another log (.sqlite, .jsonl), start no page"),
    "simulate": ("COLUMN", "replay the search for COLUMN, COLUMN=V, COLUMN<V or COLUMN>V"),
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def main(argv: Sequence[str] | None = None) -> int:
    """The command's entry point; returns its exit code."""
    parser = stage_parser("label", __doc__, FLAGS, EPILOG)
    for flag, (metavar, text) in VALUES.items():
        parser.add_argument(f"--{flag}", dest=f"{flag}_", metavar=metavar, help=text)
    options = parser.parse_intermixed_args(argv)
    return run_cli(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    name = "default" if options.name_ is None else options.name_
    if not _NAME.fullmatch(name):
        raise ConfigError(f"--name {name}: letters, digits, '_' and '-' name a campaign.")
    from wwdc.label.settings import read_settings

    staged = load_stage(options.experiment, options.overrides, trust=options.trust)
    settings = read_settings(staged.composed)
    meta = staged.composed.meta
    tree = Tree(staged.composed.data_root, meta.data_name, meta.experiment_name)
    plan = make_plan(staged.training, tree)
    for text in dict.fromkeys((*staged.composed.notices, *plan.notices)):
        notice(text)
    _check_strategy(settings.strategy)
    if (options.export_ or options.agreement) and not options.import_:
        from wwdc.label.log import find_log, read_log

        read_log(find_log(tree, name, "--name"))  # else a log without labels would be begun
    from wwdc.label.opening import open_objects  # pyarrow takes half a second to import

    opened = open_objects(staged, tree, plan, settings, options.experiment)
    if options.simulate_ is not None:
        from wwdc.label.show import simulate

        simulate(options.simulate_, opened, settings, tree)
        return EXIT_OK
    return _campaign(options, name, staged, settings, tree, opened)


def _campaign(
    options: argparse.Namespace,
    name: str,
    staged: "Staged",
    settings: "LabelSettings",
    tree: Tree,
    opened: "Opened",
) -> int:
    from wwdc.label.campaign import Campaign
    from wwdc.label.export import read_events
    from wwdc.label.log import LabelLog

    events = None
    if options.import_:  # before a log is begun
        events = read_events(Path(options.import_), opened.fingerprint)
    log = LabelLog(
        tree.labels / f"{name}.sqlite",
        fingerprint=opened.fingerprint,
        embedding=opened.embedding.name,
    )
    if log.meta["embedding"] != opened.embedding.name:
        notice(
            f"{log.path} was begun on the embedding {log.meta['embedding']}, this is "
            f"{opened.embedding.name}: the labels are of the same objects and count"
        )
    try:
        campaign = Campaign(opened.objects, log, seed=settings.seed, lease_s=settings.lease_s)
        if options.import_ or options.export_ or options.agreement:
            _without_page(options, campaign, events)
        else:
            _serve(name, staged, settings, tree, opened, campaign)
    finally:
        log.close()
    return EXIT_OK


def _without_page(
    options: argparse.Namespace, campaign: "Campaign", events: "list[Event] | None"
) -> None:
    from wwdc.label.export import write_export
    from wwdc.label.show import show_agreement

    if events is not None:
        added, known = campaign.merge(events)
        sys.stdout.write(f"{added} events added, {known} known already\n")
    if options.agreement:
        show_agreement(campaign)
    if options.export_:
        labelled = write_export(campaign, Path(options.export_))
        sys.stdout.write(f"{labelled} labelled objects: {options.export_}\n")


def _serve(
    name: str,
    staged: "Staged",
    settings: "LabelSettings",
    tree: Tree,
    opened: "Opened",
    campaign: "Campaign",
) -> None:
    import threading

    from wwdc.config import instantiate
    from wwdc.label.answers import Answers
    from wwdc.label.app import make_app
    from wwdc.label.neighbours import Neighbours
    from wwdc.label.pictures import Pictures
    from wwdc.label.ranker import Ranker
    from wwdc.label.server import listen, serve

    embedding, token = opened.embedding, secrets.token_urlsafe(32)
    viewer = instantiate(settings.viewer, allow=opened.allow, key="label.viewer")
    pictures = Pictures(opened.draw, viewer, f"{opened.fingerprint}/{settings.viewer}")
    ranker = Ranker(
        campaign,
        opened.features,
        staged.composed.tune,
        tree.name,
        settings.strategy,
        batch=settings.batch,
        seed=settings.seed,
        umap_rows=settings.umap_rows if settings.umap else None,
    )
    about = {
        "experiment": tree.name,
        "embedding": embedding.name,
        "sweep": embedding.sweep,
        "strategy": settings.strategy,
        "seed": embedding.seed,
        "name": name,
    }
    labeller = settings.labeller or _login()
    neighbours = Neighbours(campaign.objects)
    answers = Answers(campaign, neighbours, ranker, opened.features, about, labeller)
    app = make_app(answers, pictures, token=token, image_size=settings.image_size)
    listening = listen(settings.port, f"{tree.path}/{name}")
    stop = StopRequest()
    with stop.listening():
        threading.Thread(target=pictures.warm, name="pictures", daemon=True).start()
        ranker.start()
        try:
            serve(app, listening, token, stop)
        finally:
            ranker.stop()
    counts = campaign.counts()
    sys.stdout.write(
        f"Stopped. {counted(counts['labelled'], 'object')} labelled, {counts['anomaly']} of them "
        f"anomalies: {campaign.log.path}\n"
    )


def _check_strategy(name: str) -> None:
    from wwdc.discovery.strategies import make_strategy

    try:
        make_strategy(name)
    except ConfigError as error:
        raise ConfigError(f"label.{error}") from None


def _login() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        name = ""
    return re.sub(r"[^\w.@+-]", "_", name).lstrip("_.@+-")[:64] or "me"


if __name__ == "__main__":
    raise SystemExit(main())

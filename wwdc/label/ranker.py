"""Learning from labels in an actor of Ray's, while the page goes on."""

__all__ = ["Ranker", "Status"]

import threading
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wwdc.config.schema import Resources, TuneConfig
from wwdc.errors import FAULTS, last_line
from wwdc.label.campaign import Campaign
from wwdc.label.features import Features


@dataclass
class Status:
    """What the page is told.

    Attributes:
        busy: whether something is in the log that is not learnt from yet.
        error: why the ranking does not follow the labels, if it does not.
    """

    busy: bool = False
    error: str | None = None
    umap: Literal["off", "waiting", "computing", "ready", "failed"] = "waiting"


@dataclass
class Ranker:
    """Keeps a campaign's ranking up to date.

    The strategy and its pool live in one actor. What is labelled while it works is learnt together
    next. An actor that dies is replaced, and reads all labels again. Until Ray has started the
    prior ranks.

    Args:
        settings: the ``tune`` group: where Ray is.
        name: of the experiment, for Ray's dashboard.
        strategy: a name of `wwdc.discovery.strategies.STRATEGIES`.
        batch: objects chosen together.
        umap_rows: objects that UMAP is fitted on; None leaves it out.

    Attributes:
        umap: places of all objects (N, 2), once they are known.
        pid: of the actor's process, once it has ranked.
    """

    campaign: Campaign
    features: Features
    settings: TuneConfig
    name: str
    strategy: str
    batch: int = 1
    seed: int = 0
    umap_rows: int | None = None
    status: Status = field(default_factory=Status)
    umap: NDArray[np.float32] | None = None
    pid: int | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, in a thread of its own; returns at once."""
        if self.umap_rows is None:
            self.status.umap = "off"
        self._thread = threading.Thread(target=self._run, name="ranker", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 60.0) -> None:
        """End the actor, and the Ray that was started for it."""
        self.stopping.set()
        self.campaign.changed.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        from ray.exceptions import RayError  # Ray takes seconds to import

        from wwdc.cluster import cluster, own_cpus
        from wwdc.label.actors import work

        one = Resources(cpu=1, gpu=0)
        plain = self.settings.model_copy(update={"resources": one, "num_workers": 1})
        cpus = max(2, self.settings.cpus or own_cpus())  # UMAP must not keep the ranking waiting
        try:
            with cluster(plain, "inline", cpus, self.name):
                work(self)
        except (RayError, *FAULTS, OSError) as error:
            # nobody else hears of what ends this thread; labels are taken all the same
            self.status.busy = False
            self.status.error = f"the ranking has stopped: {last_line(error)}"
            if self.status.umap != "off":
                self.status.umap = "failed"

"""Giving back what Ray Train reserved for trials that are gone."""

__all__ = ["free_placement_groups"]

import time

import ray
from ray._raylet import PlacementGroupID
from ray.util.placement_group import PlacementGroup, remove_placement_group
from ray.util.state import list_placement_groups
from ray.util.state.exception import RayStateApiException

PATIENCE_S = 20.0
POLL_S = 0.5
MOST = 10_000


def free_placement_groups() -> None:
    """Remove every placement group of this process' Ray job, and wait until none is left.

    To be called when no trial is wanted any more. A trial that Tune ends while its trainer starts
    can go on unseen, or leave its workers' resources reserved for as long as the driver lives
    (https://github.com/ray-project/ray/issues/62753); without the resources both end. Without
    Ray's dashboard nothing is known of them, and nothing is done.
    """
    job = ray.get_runtime_context().get_job_id()
    end = time.monotonic() + PATIENCE_S
    clean = 0
    while clean < 2 and time.monotonic() < end:  # twice: one may have been about to be made
        try:
            groups = list_placement_groups(filters=[("creator_job_id", "=", job)], limit=MOST)
        except RayStateApiException:
            return
        left = [group for group in groups if group.state != "REMOVED"]
        for group in left:
            identity = PlacementGroupID.from_hex(group.placement_group_id)
            remove_placement_group(PlacementGroup(identity))
        clean = 0 if left else clean + 1
        time.sleep(POLL_S)

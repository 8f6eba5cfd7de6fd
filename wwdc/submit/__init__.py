"""Sending an experiment's stages to a Slurm cluster."""

from wwdc.submit.check import CLUSTER_STAGES, Checked, check_experiment, read_stages
from wwdc.submit.sbatch import Request, Submitted, submit
from wwdc.submit.site import Site, find_site, read_site, scripts, sites

__all__ = [
    "CLUSTER_STAGES",
    "Checked",
    "Request",
    "Site",
    "Submitted",
    "check_experiment",
    "find_site",
    "read_site",
    "read_stages",
    "scripts",
    "sites",
    "submit",
]

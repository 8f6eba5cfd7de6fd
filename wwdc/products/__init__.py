"""What runs leave behind for people: checkpoints, embeddings and their info files."""

from wwdc.products.atomic import atomic_copy, atomic_write, sha256
from wwdc.products.best import best
from wwdc.products.claims import Claim, acquire, claim, claimed, holder
from wwdc.products.info import Info, Parent, dump_info, git_state, now, read_info
from wwdc.products.publish import free_job, publish, publish_point, record_failure
from wwdc.products.tree import Product, Tree, info_path, verified

__all__ = [
    "Claim",
    "Info",
    "Parent",
    "Product",
    "Tree",
    "acquire",
    "atomic_copy",
    "atomic_write",
    "best",
    "claim",
    "claimed",
    "dump_info",
    "free_job",
    "git_state",
    "holder",
    "info_path",
    "now",
    "publish",
    "publish_point",
    "read_info",
    "record_failure",
    "sha256",
    "verified",
]

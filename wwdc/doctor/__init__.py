"""Whether this machine can run wwdc, and what to do where it cannot."""

from wwdc.doctor.check import Check, State
from wwdc.doctor.examine import Group, Machine, examine

__all__ = ["Check", "Group", "Machine", "State", "examine"]

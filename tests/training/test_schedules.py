"""Optimizers and schedules from partials."""

import functools
import math

import pytest
import torch
from torch.optim import lr_scheduler

from wwdc.errors import ConfigError
from wwdc.training.schedules import build_optimizer, build_scheduler


@pytest.fixture
def optimizer():
    return build_optimizer(torch.optim.SGD, [torch.nn.Parameter(torch.zeros(1))], lr=0.1)


def test_frozen_parameters_are_left_out():
    frozen = torch.nn.Parameter(torch.zeros(1), requires_grad=False)
    built = build_optimizer(torch.optim.SGD, [torch.nn.Parameter(torch.zeros(1)), frozen], lr=0.1)
    assert len(built.param_groups[0]["params"]) == 1


def test_two_learning_rates_are_refused():
    factory = functools.partial(torch.optim.SGD, lr=0.5)
    with pytest.raises(ConfigError, match=r"optimizer\.lr and lightning_loader\.lr"):
        build_optimizer(factory, [torch.nn.Parameter(torch.zeros(1))], lr=0.1)


def test_one_cycle_gets_steps_and_top_rate(optimizer):
    built = build_scheduler(lr_scheduler.OneCycleLR, optimizer, 0.1, 40.0)
    assert built["interval"] == "step"
    assert built["scheduler"].total_steps == 40
    assert max(group["max_lr"] for group in optimizer.param_groups) == 0.1


def test_what_the_yaml_gives_is_kept(optimizer):
    factory = functools.partial(lr_scheduler.OneCycleLR, max_lr=0.3, total_steps=7)
    built = build_scheduler(factory, optimizer, 0.1, math.inf)
    assert built["scheduler"].total_steps == 7


def test_cosine_gets_its_period(optimizer):
    built = build_scheduler(lr_scheduler.CosineAnnealingLR, optimizer, 0.1, 40.0)
    assert built["scheduler"].T_max == 40


def test_schedule_without_steps_goes_by_epoch(optimizer):
    factory = functools.partial(lr_scheduler.StepLR, step_size=5)
    assert build_scheduler(factory, optimizer, 0.1, math.inf)["interval"] == "epoch"


def test_endless_training_cannot_have_one_cycle(optimizer):
    with pytest.raises(ConfigError, match=r"lr_scheduler needs total_steps.*trainer\.max_epochs"):
        build_scheduler(lr_scheduler.OneCycleLR, optimizer, 0.1, math.inf)

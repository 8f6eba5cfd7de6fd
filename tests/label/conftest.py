"""Campaigns over forty scored objects of two splits each."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.label.scored import TOKEN, answers_of, campaign_in, load, pictures_of
from wwdc.embed.published import Embedding
from wwdc.label.app import make_app
from wwdc.label.campaign import Campaign
from wwdc.label.objects import Objects


@pytest.fixture
def source(tmp_path: Path) -> tuple[Embedding, Path, Objects]:
    """An embedding, its scores and the objects."""
    return load(tmp_path / "tree")


@pytest.fixture
def objects(source) -> Objects:
    """Eighty objects."""
    return source[2]


@pytest.fixture
def campaign(tmp_path: Path, objects: Objects) -> Campaign:
    """A campaign without labels."""
    return campaign_in(tmp_path, objects)


@pytest.fixture
def app(source, campaign: Campaign):
    """The guarded application."""
    answers = answers_of(campaign, source[0], source[1])
    return make_app(answers, pictures_of(campaign.objects), token=TOKEN, image_size=32)


@pytest.fixture
def client(app) -> TestClient:
    """A browser that has the token."""
    return TestClient(app, base_url="http://127.0.0.1", headers={"X-Token": TOKEN})

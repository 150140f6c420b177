"""A child process reads the configuration and sends it to the listener: nothing changes on the way."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from supervisor_memkill.config.load import examine
from supervisor_memkill.config.options import GLOBAL_KEYS, POOL_KEYS
from supervisor_memkill.config.sections import read_file
from supervisor_memkill.config.values import Config
from supervisor_memkill.workers.registry import kinds, load_kind

EXAMPLES = sorted((Path(__file__).parents[2] / "conf.d").glob("*.conf"))


def sent(config: Config) -> Config:
    arrived: Config = pickle.loads(pickle.dumps(config))
    return arrived


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_shipped_configuration_arrives_unchanged(path: Path) -> None:
    config = examine(read_file(path), {"HOME": "/root"}, "host", load_kind).config
    assert sent(config) == config


@pytest.mark.parametrize("kind", kinds())
def test_each_kind_has_values_that_arrive_unchanged(kind: str, tmp_path: Path) -> None:
    options = load_kind(kind).options
    values = {key: option.default for key, option in {**GLOBAL_KEYS, **POOL_KEYS, **options}.items()}
    assert pickle.loads(pickle.dumps(values)) == values

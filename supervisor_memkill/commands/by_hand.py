"""The configuration for a command that a person types."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from supervisor_memkill.commands.configuration import Configuration, examine_configuration
from supervisor_memkill.commands.doctor.gather import named_file
from supervisor_memkill.config.supervisord_files import program_reader
from supervisor_memkill.errors import ConfigError


def examine_by_hand(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Configuration:
    """The configuration of the supervisord that is asked, with its problems beside it.

    Without --config it is that of the listener: supervisord's own, else the file that the command in the
    listener's section names. Raises ConfigError for an address, and UsageError.
    """
    configuration = examine_configuration(arguments, environ)
    if arguments.config is not None or configuration.reading.sections:
        return configuration
    named = named_file(program_reader(configuration.supervisords_path, configuration.environ)())
    if named is None:
        return configuration
    return examine_configuration(argparse.Namespace(**{**vars(arguments), "config": named}), environ)


def find_by_hand(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Configuration:
    """The same without problems. Raises ConfigError and UsageError."""
    configuration = examine_by_hand(arguments, environ)
    if configuration.problems:
        raise ConfigError(configuration.problems)
    return configuration

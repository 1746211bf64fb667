# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""An encoder whose back end is settled before the first picture, and stays: for replays.

Same recording, configuration and seed give the same bytes, so nothing may depend on whether an
engine happened to be ready: `auto` is ONNX Runtime on the CPU, and a back end that is named is
waited for, must work, and is neither switched to nor away from on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

from tqdm import tqdm

from geoloc_ros.config import EncoderConfig
from geoloc_ros.encoders.backends.base import Backend, EngineBackend, Network
from geoloc_ros.encoders.backends.building import built_apart
from geoloc_ros.encoders.backends.choosing import (
    AUTO,
    CPU,
    Candidate,
    Choice,
    Chooser,
    Opened,
)
from geoloc_ros.encoders.backends.progress import Progress
from geoloc_ros.encoders.onnx_backend import QUERY, OnnxEncoder
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import ModelError

#: shows how far a build is, until it is over
Show = Callable[[Iterable[Progress]], None]


@dataclass(frozen=True, slots=True)
class Settled:
    """An encoder that stays on its back end.

    Attributes:
        encoder: the encoder.
        runs_on: back end and precision.
        choices: hold the engines of its sides; none on the CPU.
    """

    encoder: OnnxEncoder
    runs_on: str
    choices: tuple[Choice, ...] = ()


def settled_encoder(
    package: ModelPackage,
    config: EncoderConfig,
    threads: int,
    backends: Sequence[Backend] = (),
    sides: Sequence[str] = (QUERY,),
) -> Settled:
    """An encoder on the back end that is named; its engines are built first if need be.

    Args:
        package: the model.
        config: what is wanted.
        threads: of a session on the CPU.
        backends: what there is; by default all.
        sides: those that run there; by default views. The other one is described on the CPU.

    Raises:
        ModelError: the back end that is named does not work here, with the reason.
    """
    encoder = OnnxEncoder(package, threads)
    if config.backend in (AUTO, CPU):
        return Settled(encoder, CPU)
    choices = []
    for side in sides:
        found = settle(Chooser(Network(package, side), config, threads, backends), with_bar)
        encoder.use(side, found.session)
        choices.append(found)
    runs_on = dict.fromkeys(str(found.candidate) for found in choices)
    return Settled(encoder, ", ".join(runs_on), tuple(choices))


def settle(chooser: Chooser, show: Show) -> Choice:
    """Choose, and build what must be built first.

    Args:
        chooser: chooses.
        show: watches a build.

    Raises:
        ModelError: what is named does not work.
    """
    while True:
        found = chooser.choose()
        if found.waiting is None:
            return found
        found.close()
        build(chooser, found.waiting, show)


def opened(chooser: Chooser, candidate: Candidate, show: Show) -> Opened:
    """A candidate that works, its engine built if need be.

    Raises:
        ModelError: it does not, with the reason.
    """
    found = chooser.opened(candidate)
    if found is None:
        build(chooser, candidate, show)
        if candidate in chooser.rejected:
            raise ModelError(chooser.rejected[candidate])
        found = chooser.opened(candidate)
    assert found is not None  # noqa: S101 - one that was built opens or raises
    return found


def build(chooser: Chooser, candidate: Candidate, show: Show) -> None:
    """Build a candidate's engine; one that cannot be built is rejected, one that is lost too."""
    backend = chooser.backend(candidate.backend)
    assert isinstance(backend, EngineBackend)  # noqa: S101 - no other one waits for an engine
    chooser.built.add(candidate)
    try:
        with closing(built_apart(chooser.cache, backend, chooser.job(candidate))) as steps:
            show(steps)
    except ModelError as error:
        chooser.reject(candidate, str(error))


def with_bar(steps: Iterable[Progress]) -> None:
    """Show a build as a progress bar on stderr."""
    with tqdm(total=100, unit="%", bar_format="{l_bar}{bar}| {elapsed}<{remaining}") as bar:
        for progress in steps:
            bar.set_description_str(progress.what[:60])
            if progress.done is not None:
                bar.update(100.0 * progress.done - bar.n)

# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Weights of others: read without running a line of what the file holds, and matched by name."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
from torch import Tensor, nn  # noqa: TID253

from geoloc_ros.errors import ModelError, first_line, shown

_SAVE = "torch.save(model.state_dict(), FILE)"
#: how torch names what a refused pickle wanted
_WANTED = re.compile(r"GLOBAL ([\w.]+\.\w+)")


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, by name.

    A `.safetensors` file is read by the library of that name. Anything else is a file of
    `torch.save`, a pickle: it is read with torch's restricted unpickler, which builds tensors and
    plain containers and refuses everything that would run code.

    Args:
        path: of the weights; a mapping of names to tensors.

    Raises:
        ModelError: no such file, damaged, or it holds more than tensors.
    """
    if not path.is_file():
        raise ModelError(f"there is no file {path}; name the weights as they were downloaded")
    content = _safetensors(path) if path.suffix == ".safetensors" else _torch(path)
    if not isinstance(content, Mapping) or not content:
        raise ModelError(
            f"{path} holds {type(content).__name__} where a mapping of names to tensors is "
            f"expected; save one with {_SAVE}"
        )
    odd = [name for name, value in content.items() if not isinstance(value, Tensor)]
    if odd:
        inner = [name for name in odd if isinstance(content[name], Mapping)]
        where = f" (the weights may be in {shown(inner[0])})" if inner else ""
        raise ModelError(
            f"{path} holds more than tensors: {abbreviated(map(str, odd))}{where}; save the "
            f"weights alone with {_SAVE}"
        )
    broken = [
        name for name, value in content.items() if not torch.isfinite(value.float()).all().item()
    ]
    if broken:
        raise ModelError(
            f"{path}: weights that are no finite numbers: {abbreviated(broken)}; the file is "
            "damaged or the training diverged, fetch it again"
        )
    return {str(name): value for name, value in content.items()}


def _torch(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols; what they allow is the same
            return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        wanted = _WANTED.search(str(error))
        what = f"wants to run {wanted[1]}" if wanted else "holds more than tensors"
        # torch's own advice, to load it all the same, is not passed on
        raise ModelError(
            f"{path} is refused: it is a pickle that {what}, which may do anything on this "
            f"machine. Ask its author for the weights alone, saved with {_SAVE}"
        ) from error
    except (OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise ModelError(
            f"cannot read {path} ({first_line(error)[:100]}): it is cut off or no file of "
            "torch.save; fetch it again"
        ) from error


def _safetensors(path: Path) -> object:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise ModelError(
            f"{path} needs the package safetensors; install it with: pip install safetensors"
        ) from error
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"cannot read {path}: {first_line(error)}; fetch it again") from error


def load_into(
    net: nn.Module,
    weights: Mapping[str, Tensor],
    path: Path,
    *,
    prefix: str = "",
    ignored: Collection[str] = (),
) -> None:
    """Give a network its weights, all of them and no others.

    Args:
        net: takes the tensors themselves, converted to its types; it may lie on the device `meta`.
        weights: by name.
        path: where they come from, for the message.
        prefix: what the names of the network's own weights begin with in `weights`.
        ignored: names, with their prefix, that may be there and are not used.

    Raises:
        ModelError: names every weight that is missing, not expected or of another shape.
    """
    wanted = net.state_dict()
    found = {n.removeprefix(prefix): v for n, v in weights.items() if n.startswith(prefix)}
    found = {n: v for n, v in found.items() if f"{prefix}{n}" not in ignored}
    strange = [n for n in weights if not n.startswith(prefix) and n not in ignored]
    faults = {
        "missing": [f"{prefix}{n}" for n in wanted if n not in found],
        "not expected": strange + [f"{prefix}{n}" for n in found if n not in wanted],
        "of another shape": [
            f"{prefix}{n} {_sides(found[n])} instead of {_sides(wanted[n])}"
            for n in wanted
            if n in found and found[n].shape != wanted[n].shape
        ],
    }
    said = [
        f"{len(names)} {kind}: {abbreviated(names)}" for kind, names in faults.items() if names
    ]
    if said:
        raise ModelError(
            f"{path} does not fit this architecture ({len(wanted)} weights wanted, {len(weights)} "
            f"found). {'. '.join(said)}. Nothing was imported; is it the right file?"
        )
    same = {n: v.to(wanted[n].dtype) for n, v in found.items()}
    net.load_state_dict(same, assign=True)


def abbreviated(names: Iterable[str]) -> str:
    """All names, those that differ in layer numbers only told once, with how many they are."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(re.sub(r"(?<=\.)\d+(?=\.)", "*", name), []).append(name)
    return ", ".join(
        found[0] if len(found) == 1 else f"{pattern} ({len(found)})"
        for pattern, found in alike.items()
    )


def _sides(tensor: Tensor) -> str:
    return "x".join(str(side) for side in tensor.shape) or "scalar"

# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""In which numbers the networks reckon: single precision, or half of it where that is faster.

Weights, losses and the optimizer stay in single precision; only what torch's autocast deems safe
runs in half (Micikevicius et al., Mixed precision training, ICLR 2018). float16 has few exponents,
so its loss is scaled; bfloat16 has those of float32 and needs no scaling.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch  # noqa: TID253 - this room is torch; nothing onboard imports it

from geoloc_ros.errors import TrainingError

AUTO = "auto"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PRECISIONS = (AUTO, *DTYPES)
# Of the loss in float16, at the start; it grows or shrinks by itself.
_FIRST_SCALE = 2.0**10


@dataclass(frozen=True, slots=True)
class Precision:
    """A precision on a device.

    Attributes:
        name: float32, bfloat16 or float16.
        device: kind of device, cpu or cuda.
    """

    name: str
    device: str

    def cast(self) -> torch.autocast:
        """A context in which networks reckon so; of the thread that enters it."""
        half = self.name != "float32"
        dtype = DTYPES[self.name] if half else torch.bfloat16
        return torch.autocast(self.device, dtype, enabled=half)

    def scaler(self) -> torch.amp.GradScaler:
        """What scales the loss: for float16 only, else it does nothing."""
        return torch.amp.GradScaler(
            self.device, init_scale=_FIRST_SCALE, enabled=self.name == "float16"
        )


def precision_on(device: torch.device, name: str = AUTO) -> Precision:
    """The precision of a name on a device.

    `auto` takes half precision where the device is the faster for it: bfloat16 on GPUs that have
    it and on processors with AVX-512 (elsewhere it is emulated, ten times slower than float32),
    float16 on older GPUs.

    Raises:
        TrainingError: no such precision.
    """
    if name == AUTO:
        if device.type == "cuda":
            name = "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
        else:
            fast = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
            name = "bfloat16" if fast else "float32"
    if name not in DTYPES:
        raise TrainingError(f"precision {name!r} is unknown; choose from {', '.join(PRECISIONS)}")
    return Precision(name, device.type)

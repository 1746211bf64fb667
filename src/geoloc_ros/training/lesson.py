# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""One step of training: what the networks say of a batch, how wrong that is, what they learn.

The graph is cut at the descriptors. They are gathered from all processes, every process works out
the loss of the whole batch, and each runs the gradient of its own descriptors backward through its
networks (compare GradCache, Gao et al., 2021). The gradients of the weights are then averaged over
the processes (torch's DistributedDataParallel).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
from torch import Tensor, nn  # noqa: TID253

from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.training.checkpoint import Averaged
from geoloc_ros.training.config import Running, TrainConfig
from geoloc_ros.training.crew import Crew
from geoloc_ros.training.data import Batch
from geoloc_ros.training.draws import Draws
from geoloc_ros.training.field_of_view import SHARPEN, hidden
from geoloc_ros.training.losses import info_nce, layout_loss, relation_loss
from geoloc_ros.training.pair import EncoderPair, How, Seen
from geoloc_ros.training.precision import precision_on
from geoloc_ros.training.side_by_side import both
from geoloc_ros.training.teacher import Teacher

LARGEST_GRADIENT = 5.0


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a step.

    Attributes:
        losses: by name.
        query: descriptors (N, D) of the whole batch's queries.
        reference: descriptors (M, D) of its references.
    """

    losses: dict[str, float]
    query: Tensor
    reference: Tensor


@dataclass(slots=True)
class _Leaves:
    """Descriptors of the whole batch, cut from the networks; gradients arrive in `grad`.

    Attributes:
        query: (N, D).
        reference: (N, D), those that belong to the queries.
        extra: (E, D), the other references.
        masked: (N, D) of queries of which a part is hidden; (0, D) without them.
    """

    query: Tensor
    reference: Tensor
    extra: Tensor
    masked: Tensor

    def references(self) -> Tensor:
        """All references (N + E, D)."""
        return torch.cat([self.reference, self.extra])


class Lesson:
    """Takes steps.

    Attributes:
        model: weights in training.
        average: averaged weights.
        optimizer: of the weights.
        scaler: of the loss, for float16.
    """

    def __init__(
        self,
        config: TrainConfig,
        running: Running,
        crew: Crew,
        card: ModelPackage | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        """Make networks with random weights, the same in every process.

        Args:
            config: what decides the outcome.
            running: how it is run.
            crew: this process among those that train together.
            card: what the encoders look at; None: what is usual of their kind.
            teacher: large encoders, if there are any.
        """
        torch.manual_seed(config.seed)
        self.config, self._crew, self._teacher = config, crew, teacher
        self.model = EncoderPair(config.kind, config.layout_weight > 0.0, card)
        self.model.to(crew.device)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model.forget(running.forget)
        self.average = Averaged(self.model, config.ema)
        cpu_alone = crew.size == 1 and crew.device.type == "cpu"
        at_once = running.threads > 1 and cpu_alone and not self.model.shared
        self.how = How(precision_on(crew.device, config.precision), at_once)
        self.scaler = self.how.precision.scaler()
        self.optimizer = torch.optim.AdamW(_groups(self.model, config), lr=config.learning_rate)
        self._network: nn.Module = self.model

    def join(self) -> None:
        """Begin to work with the other processes, all with the weights of the first."""
        if self._crew.size > 1:
            self._network = nn.parallel.DistributedDataParallel(self.model)
            if not self.average.steps:
                self.average.model.load_state_dict(self.model.state_dict())

    def take(self, batch: Batch, draws: Draws, learning_rate: float) -> Taken:
        """Learn from this process's part of a batch; the losses are those of the whole batch.

        Args:
            batch: pictures of the part, mask of the whole.
            draws: random draws of the step.
            learning_rate: of the step.
        """
        torch.manual_seed(draws.torch_seed(self._crew.part.rank))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        query = self.model.queries(batch.query)
        reference = self.model.references(batch.reference)
        shown = query
        if self.config.masked_weight:
            hide = hidden(query, self.model.card.query, draws, self._crew.part)
            shown = torch.cat([query, hide])
        seen = self._network(shown, reference, self.how)
        leaves = self._leaves(seen[0], seen[1], len(query))
        terms = self._terms(leaves, batch, (query, reference))
        loss = terms["loss"]
        for name, weight in self._weights().items():
            loss = loss + weight * terms[name]
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        terms |= self._backward(seen, self._gradients(leaves), batch, len(query))
        self._update()
        losses = {name: float(value.detach()) for name, value in terms.items()}
        return Taken(losses, leaves.query.detach(), leaves.references().detach())

    def _weights(self) -> dict[str, float]:
        """Weights of what a teacher says, as far as there is one."""
        found = {}
        if self._teacher is not None:
            found["teacher"] = self.config.teacher_weight
        if self.config.masked_weight:
            found["masked"] = self.config.masked_weight
        return found

    def _leaves(self, query: Tensor, reference: Tensor, own: int) -> _Leaves:
        """Gather descriptors; the first `own` of this process's references are its queries'."""
        parts = query[:own], reference[:own], reference[own:], query[own:]
        return _Leaves(*(self._crew.gather(part.float()).requires_grad_() for part in parts))

    def _terms(
        self, leaves: _Leaves, batch: Batch, pictures: tuple[Tensor, Tensor]
    ) -> dict[str, Tensor]:
        """The losses of the whole batch that are worked out from descriptors."""
        scale, references = self.model.log_scale.exp(), leaves.references()
        ignore = torch.from_numpy(batch.ignore).to(self._crew.device)
        smoothing = self.config.smoothing
        terms = {"loss": info_nce(leaves.query, references, scale, ignore, smoothing)}
        if self._teacher is not None:
            told = self._told(*self._teacher.describe(batch.query, batch.reference))
            terms["teacher"] = relation_loss((leaves.query, references), told, scale, ignore)
        if self.config.masked_weight:
            with torch.no_grad():
                seen = self.average.model(*pictures, self.how)
            told, part = self._told(seen[0], seen[1]), (leaves.masked, references)
            terms["masked"] = relation_loss(part, told, scale, ignore, SHARPEN)
        return terms

    def _told(self, query: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """A teacher's descriptors of the whole batch, in the order of the leaves'."""
        own, gather = len(query), self._crew.gather
        query, reference = query.to(self._crew.device), reference.to(self._crew.device)
        return gather(query), torch.cat([gather(reference[:own]), gather(reference[own:])])

    def _gradients(self, leaves: _Leaves) -> tuple[Tensor, Tensor]:
        """Gradients of this process's descriptors; its share of the sum over all processes."""
        size, part = self._crew.size, self._crew.part

        def own(leaf: Tensor) -> Tensor:
            gradient = leaf.grad if leaf.grad is not None else torch.zeros_like(leaf)
            return gradient[part.of(len(leaf))] * size

        query = torch.cat([own(leaves.query), own(leaves.masked)])
        return query, torch.cat([own(leaves.reference), own(leaves.extra)])

    def _backward(
        self, seen: Seen, gradients: tuple[Tensor, Tensor], batch: Batch, own: int
    ) -> dict[str, Tensor]:
        """Run gradients back through the networks, that of the layout's loss among them."""
        terms: dict[str, Tensor] = {}
        sides: list[tuple[list[Tensor], list[Tensor | None]]] = []
        shares = batch.query_layout, batch.reference_layout
        for i, name in enumerate(("query", "reference")):
            descriptors = (seen[0], seen[1])[i]
            roots: list[Tensor] = [descriptors]
            flows: list[Tensor | None] = [gradients[i].to(descriptors.dtype)]
            said, meant = (seen[2], seen[3])[i], shares[i]
            if said is not None and meant is not None:
                rows = own if i == 0 else len(said)
                known = torch.from_numpy(meant).to(self._crew.device)
                loss = layout_loss(said[:rows], known)
                roots.append(self.scaler.scale(self.config.layout_weight * loss))
                flows.append(None)
                terms[f"layout_{name}"] = self._crew.gather(loss.reshape(1)).mean()
            sides.append((roots, flows))
        if self.how.at_once:
            both(lambda: _run_back(*sides[0]), lambda: _run_back(*sides[1]), True)
        else:
            _run_back(sides[0][0] + sides[1][0], sides[0][1] + sides[1][1])
        return terms

    def _update(self) -> None:
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.model.parameters(), LARGEST_GRADIENT)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.average.update(self.model)


def _run_back(roots: list[Tensor], flows: list[Tensor | None]) -> None:
    torch.autograd.backward(roots, flows)


def _groups(model: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Weights that decay, and biases and gains, which do not."""
    weights = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    return [
        {"params": weights, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]

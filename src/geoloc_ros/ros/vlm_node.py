# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The vision-language node: asks about the newest frame, at the pace of whoever answers.

The answerer lives in a process of its own (`vlm.process`); when it hangs it is killed, when it
dies it is started again, later and later if it keeps dying, and the localizer never notices. What
is published carries the stamp of the frame it speaks about, however late it comes.
"""

from __future__ import annotations

import functools
import threading
from collections import Counter
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from geoloc_ros import messages
from geoloc_ros.errors import ConfigError, ImageDecodeError
from geoloc_ros.ros import interfaces
from geoloc_ros.ros.bond import BondToManager
from geoloc_ros.ros.conversions import NS
from geoloc_ros.ros.diagnostics import ERROR, WARN, Diagnostics, Report
from geoloc_ros.ros.inputs import check_camera, image_topic, sensor_data
from geoloc_ros.ros.logs import forward_logs, run
from geoloc_ros.ros.node_config import READ_ONLY, VLM_FIXED, VlmConfig
from geoloc_ros.ros.parameters import Parameters, refuse_unless, unknown_parameters
from geoloc_ros.ros.scenes import Author, author_of
from geoloc_ros.ros.transitions import (
    attempted,
    on_clock_back,
    refuse_impossible,
    start_by_itself,
)
from geoloc_ros.ros.worker import Worker
from geoloc_ros.vlm.answerer import Outcome, make_answerer
from geoloc_ros.vlm.guesses import SOURCE, covariance
from geoloc_ros.vlm.process import AnswererProcess, Asked

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class Vlm(LifecycleNode):
    """What the camera sees, in words."""

    def __init__(self, **arguments: object) -> None:
        super().__init__("geoloc_vlm", **arguments)
        self._own = Parameters(self, VlmConfig, VLM_FIXED, READ_ONLY)
        self.config = self._own.read_or_default()
        self.process: AnswererProcess | None = None
        self.outcomes: Counter[Outcome] = Counter()
        self._fault = ""
        self._last: Asked | None = None
        self._author: Author | None = None
        self._newest: Any = None
        self._times = 0
        self._mailbox = threading.Lock()
        self._worker: Worker | None = None
        self._subscription: Any = None
        self._scene: Any = None
        self._prior: Any = None
        self._bond = BondToManager(self, self.config.bond)
        self._unknown = unknown_parameters(self, self._own.names)
        for line in (*self._unknown, *interfaces.missing()):
            self.get_logger().warning(line)
        forward_logs(self)
        refuse_impossible(self)
        self.add_on_set_parameters_callback(refuse_unless(self._take_parameters))
        self._diagnostics = Diagnostics(self, self.config.diagnostics_every_s, self._reports)
        self._jumps = on_clock_back(self, self._clock_jumped)
        if self.config.autostart:
            start_by_itself(self)

    # -- lifecycle ------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the answerer's process."""
        del state
        self._fault = attempted(self, "configure", self._configure)
        if self._fault:
            self._forget()
        return FAILURE if self._fault else SUCCESS

    def _configure(self) -> None:
        self.config = self._own.read()
        check_camera(self.config.camera)
        if interfaces.geoloc_msgs is None:
            raise ConfigError("geoloc_msgs is not built; the node has nothing to publish")
        self._author = author_of(self.config.answerer)
        create = self.create_lifecycle_publisher
        self._scene = create(interfaces.geoloc_msgs.SceneDescription, "~/scene", 10)
        self._prior = create(interfaces.geoloc_msgs.GeoPrior, "~/prior", 10)
        make = functools.partial(make_answerer, sha256=self._author.vlm_sha256)
        self.process = AnswererProcess(self.config.answerer, self.config.worker, make=make)
        self.process.start()

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Look at the camera."""
        self._fault = attempted(self, "activate", self._activate)
        if self._fault:
            self._silence()
            return FAILURE
        return super().on_activate(state)

    def _activate(self) -> None:
        topic, kind = image_topic(self.config.camera, self.config.image_transport)
        self._worker = Worker(self._work, self._failed, "geoloc vlm")
        self._subscription = self.create_subscription(
            kind,
            topic,
            self._put_down,
            sensor_data(1),
            callback_group=MutuallyExclusiveCallbackGroup(),
        )
        self._bond.hold()

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Look away."""
        self._silence()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End the answerer's process."""
        del state
        self._forget()
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End whatever is going on."""
        del state
        self.close()
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to where the node can be configured again."""
        del state
        self.close()
        return SUCCESS

    def close(self) -> None:
        """Stop the thread and the process; may be called twice."""
        self._silence()
        self._forget()

    def _silence(self) -> None:
        self._bond.release()
        if self._subscription is not None:
            self.destroy_subscription(self._subscription)
            self._subscription = None
        if self._worker is not None:
            worker, self._worker = self._worker, None
            if not worker.stop(0.5) and self.process is not None:
                self.process.stop()  # it waits for an answer nobody wants any more
                worker.stop()
        self._newest = None

    def _forget(self) -> None:
        if self.process is not None:
            self.process.stop()
            self.process = None
        for publisher in (self._scene, self._prior):
            if publisher is not None:
                self.destroy_publisher(publisher)
        self._scene = self._prior = None

    # -- frames ---------------------------------------------------------------------------------

    def _put_down(self, message: Any) -> None:  # noqa: ANN401
        with self._mailbox:
            self._newest = message
        if self._worker is not None:
            self._worker.wake()

    def _clock_jumped(self, jump: object) -> None:
        """The clock has gone back: what was seen before is of another time."""
        del jump
        with self._mailbox:
            self._newest = None
            self._times += 1

    def _work(self) -> bool:
        with self._mailbox:
            message, self._newest, times = self._newest, None, self._times
        process = self.process
        if message is None or process is None:
            return False
        now_ns = self.get_clock().now().nanoseconds
        age_s = (now_ns - messages.stamp_ns(message, now_ns)) / NS
        if 0.0 < self.config.max_image_age_s < age_s:
            return True
        try:
            rgb = messages.image_rgb(message)
        except ImageDecodeError as error:
            self.get_logger().warning(f"a frame is passed over: {error}", throttle_duration_sec=5)
            return True
        asked = process.ask(rgb)
        self.outcomes[asked.outcome] += 1
        self._last = asked
        worker = self._worker
        if worker is None or worker.ending:
            return False
        if asked.why:
            self.get_logger().warning(asked.why, throttle_duration_sec=5.0)
        if times == self._times:  # else it is about another time
            self._publish(message.header, asked)
        worker.rest(max(self.config.pause_s, asked.retry_s))
        return True

    def _publish(self, header: Any, asked: Asked) -> None:  # noqa: ANN401
        kinds = interfaces.geoloc_msgs
        assert kinds is not None  # noqa: S101 - configuring needs it
        assert self._author is not None  # noqa: S101 - as above
        scene = interfaces.scene_message(header, self.config.camera, self._author, asked)
        self._scene.publish(scene)
        if asked.reply.guesses:
            parts = [
                kinds.GeoPriorComponent(
                    latitude=guess.position.lat_deg,
                    longitude=guess.position.lon_deg,
                    covariance=covariance(guess).ravel(),
                    share=guess.share,
                )
                for guess in asked.reply.guesses
            ]
            self._prior.publish(kinds.GeoPrior(header=header, source=SOURCE, components=parts))

    def _failed(self, error: Exception) -> None:
        self.get_logger().error(f"a frame was not asked about: {error!r}", throttle_duration_sec=1)

    # -- parameters and health ------------------------------------------------------------------

    def _take_parameters(self, parameters: list[Parameter]) -> None:
        config = self._own.with_changes(parameters)
        fixed = self._own.fixed(parameter.name for parameter in parameters)
        if self.process is not None and fixed:
            raise ConfigError(f"{', '.join(fixed)} cannot change while the node is configured")
        self._own.mended(parameter.name for parameter in parameters)
        self.config = config

    def _reports(self) -> list[Report]:
        report = Report("vlm", message="not asked yet")
        report.values |= {outcome.name.lower(): n for outcome, n in self.outcomes.items()}
        if self._fault:
            report.worsen(ERROR, self._fault)
        if self.process is not None:
            report.values["restarts"] = self.process.restarts
        if self._last is not None:
            report.message = "answering"
            report.values["latency_s"] = self._last.latency_s
            if self._last.outcome is not Outcome.OK:
                report.worsen(WARN, self._last.why or self._last.outcome.name.lower())
        for line in self._unknown:
            report.worsen(WARN, line)
        return [report]


def main(arguments: list[str] | None = None) -> int:
    """The process of the node."""
    return run(lambda _: Vlm(), arguments)


if __name__ == "__main__":
    main()

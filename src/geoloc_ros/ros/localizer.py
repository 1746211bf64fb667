# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The localizer node: cameras and odometry in; pose, fix, status, transform out.

A lifecycle node. configure loads model and index; activate listens and publishes; deactivate is
silent; cleanup forgets. Nothing is concluded here: `live.Live` follows the vehicle, in one worker
thread; callbacks of inputs only put down what has come.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from geoloc_ros.config import Config
from geoloc_ros.datatypes import PoseEstimate
from geoloc_ros.errors import ConfigError, GeolocError
from geoloc_ros.filtering.status import TRACKING
from geoloc_ros.ros import health, interfaces
from geoloc_ros.ros.bond import BondToManager
from geoloc_ros.ros.conclusions import Conclusion
from geoloc_ros.ros.diagnostics import Diagnostics, Pace, Report
from geoloc_ros.ros.frame_recorder import FrameRecorder
from geoloc_ros.ros.inputs import Inputs, camera_names
from geoloc_ros.ros.live import NS, Live
from geoloc_ros.ros.loading import Loaded, load
from geoloc_ros.ros.logs import Interrupted, forward_logs, run
from geoloc_ros.ros.node_config import LOCALIZER_FIXED, NOT_OF_NODE, READ_ONLY, LocalizerConfig
from geoloc_ros.ros.outputs import Outputs
from geoloc_ros.ros.parameters import Parameters, refuse_unless, unknown_parameters
from geoloc_ros.ros.saved_pose import SavedPose
from geoloc_ros.ros.services import Services
from geoloc_ros.ros.transitions import (
    attempted,
    on_clock_back,
    refuse_impossible,
    start_by_itself,
)
from geoloc_ros.ros.worker import Worker

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE

TICK_S = 0.2


class Localizer(LifecycleNode):
    """Where the vehicle is, live.

    Args:
        ended: is set when the process shall end; stops what takes long.
        arguments: of rclpy's LifecycleNode.
    """

    def __init__(self, ended: threading.Event | None = None, **arguments: object) -> None:
        super().__init__("geoloc_localizer", **arguments)
        self._ended = ended or threading.Event()
        self._tree = Parameters(self, Config, LOCALIZER_FIXED, READ_ONLY, NOT_OF_NODE)
        self._own = Parameters(self, LocalizerConfig, LOCALIZER_FIXED, READ_ONLY)
        self.config = self._tree.read_or_default()
        self.node_config = self._own.read_or_default()
        self.loaded: Loaded | None = None
        self.live: Live | None = None
        self.progress = "not configured"
        self.pace = Pace()
        self.inputs: Inputs | None = None
        self._outputs: Outputs | None = None
        self._offers: Services | None = None
        self._worker: Worker | None = None
        self._saved: SavedPose | None = None
        self._recorder: FrameRecorder | None = None
        self._bond = BondToManager(self, self.node_config.bond)
        self._said_at_s = 0.0
        self._saved_at_s = 0.0
        self._lock = threading.RLock()  # what the timer uses is not taken from it meanwhile
        self.unknown = unknown_parameters(self, (*self._tree.names, *self._own.names))
        for line in (*self.unknown, *interfaces.missing()):
            self.get_logger().warning(line)
        forward_logs(self)
        refuse_impossible(self)
        self.add_on_set_parameters_callback(refuse_unless(self._take_parameters))
        self._diagnostics = Diagnostics(self, self.node_config.diagnostics_every_s, self._reports)
        self._timer = self.create_timer(
            TICK_S,
            self._tick,
            callback_group=MutuallyExclusiveCallbackGroup(),
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )
        self._jumps = on_clock_back(self, self._clock_jumped)
        if self.node_config.autostart:
            start_by_itself(self)

    # -- lifecycle ------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load model and index, offer services, say on /diagnostics how far that is."""
        del state
        return self._attempt("configure", self._configure, self._forget)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Listen and publish."""
        activated = super().on_activate(state)  # wakes the lifecycle publishers
        if activated == SUCCESS:
            activated = self._attempt("activate", self._activate, self._silence)
        if activated != SUCCESS:
            super().on_deactivate(state)
        return activated

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Be silent; the pose is kept as a prior for the next activation."""
        self._silence()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget model and index."""
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
        """Stop threads, keep the pose; may be called twice."""
        self._silence()
        self._forget()

    def _attempt(
        self, what: str, attempt: Callable[[], None], undo: Callable[[], None]
    ) -> TransitionCallbackReturn:
        """Do something; an error is logged with its reason and undone, the process lives on."""
        try:
            fault = attempted(self, what, attempt)
        except Interrupted:
            self.get_logger().warning(f"{what}: interrupted")
        else:
            if not fault:
                return SUCCESS
            self.progress = fault
        undo()
        return FAILURE

    def _configure(self) -> None:
        self.config, self.node_config = self._tree.read(), self._own.read()
        config, node = self.config, self.node_config
        camera_names(node.cameras)
        self._recorder = FrameRecorder(node)
        self.loaded = load(
            node.index,
            node.model,
            config.encoder_threads,
            self._progress,
            config.search,
            config.encoder,
        )
        self._saved = SavedPose(node, self.get_fully_qualified_name())
        self._outputs = Outputs(self, node, config.input.base_frame)
        self._offers = Services(
            self, lambda: self.live, self._wake, self.loaded, node.map_frame, self._swapped
        )
        self.plane = self.loaded.index.manifest.frame
        self.get_logger().info(
            f"configured: {self.loaded.package.name}, {len(self.loaded.index)} entries; map is at "
            f"{self.plane.origin.lat_deg:.7f} N {self.plane.origin.lon_deg:.7f} E"
        )

    def _activate(self) -> None:
        assert self.loaded is not None and self._saved is not None  # noqa: S101, PT018
        assert self._outputs is not None  # noqa: S101
        live = Live(self.node_config, self.config, self.loaded, self.plane)
        prior = self._saved.prior(self.plane)
        if prior is not None:
            self.get_logger().info(f"the pose kept in {self._saved.path} is taken as a prior")
            live.prior(prior)
        self.pace = Pace()
        self.live = live
        self._worker = Worker(self._work, self._worker_failed, "geoloc worker")
        self.inputs = Inputs(
            self,
            self.node_config,
            self.config.input.base_frame,
            live,
            self._wake,
            self._outputs.is_foreign,
        )
        self._bond.hold()
        self._worker.wake()

    def _silence(self) -> None:
        with self._lock:
            live, self.live = self.live, None
        self._bond.release()
        if self.inputs is not None:
            self.inputs.close()
            self.inputs = None
        if self._worker is not None:
            if not self._worker.stop():
                self.get_logger().error("the worker has not come to an end within 10 s")
            self._worker = None
        if live is not None and self._saved is not None:
            self._saved.keep(live.said.estimate)

    def _forget(self) -> None:
        if self._offers is not None:
            self._offers.close()
            self._offers = None
        with self._lock:
            outputs, self._outputs = self._outputs, None
        if outputs is not None:
            outputs.close()
        if self.loaded is not None:
            self.loaded.close()
        self.loaded = self._saved = self._recorder = None
        if not self.progress.startswith("cannot"):
            self.progress = "not configured"

    def _progress(self, what: str) -> None:
        if self._ended.is_set():
            raise Interrupted
        self.progress = what
        self.get_logger().info(what)

    # -- the worker's thread --------------------------------------------------------------------

    def _work(self) -> bool:
        live, outputs = self.live, self._outputs
        if live is None or outputs is None:
            return False
        start = time.perf_counter()
        found = live.work()
        if found is None:
            return False
        now_ns = self.get_clock().now().nanoseconds
        live.used_at_ns = now_ns
        self.pace.add(time.monotonic_ns(), (time.perf_counter() - start) * 1e3)
        self._publish(found, live, outputs, now_ns)
        return True

    def _publish(self, found: Conclusion, live: Live, outputs: Outputs, now_ns: int) -> None:
        outputs.conclude(found, live.plane)
        self._say(found.estimate, live, outputs)
        if found.T_map_odom is not None and found.estimate.status in TRACKING:
            outputs.transform(found.T_map_odom, now_ns)
        if found.candidates is not None and self._recorder is not None:
            self._recorder.keep(found.tracked.frame)

    def _say(self, estimate: PoseEstimate, live: Live, outputs: Outputs) -> None:
        self._said_at_s = time.monotonic()
        fix_ns = live.said.fix_stamp_ns
        age_s = float("nan") if fix_ns is None else max(0.0, (estimate.stamp_ns - fix_ns) / NS)
        outputs.status(estimate, age_s, live.counts())

    def _worker_failed(self, error: Exception) -> None:
        if isinstance(error, GeolocError):
            self.get_logger().error(f"a frame was not used: {error}", throttle_duration_sec=1.0)
        else:
            text = "".join(traceback.format_exception(error))
            self.get_logger().error(f"a frame was not used:\n{text}", throttle_duration_sec=1.0)

    def _wake(self) -> None:
        if self._worker is not None:
            self._worker.wake()

    # -- other callbacks ------------------------------------------------------------------------

    def _tick(self) -> None:
        """Say what silence means, hold the transform up, keep the pose."""
        with self._lock:
            self._hold()

    def _hold(self) -> None:
        live, outputs, saved = self.live, self._outputs, self._saved
        if live is None or outputs is None or saved is None:
            return
        now_ns = self.get_clock().now().nanoseconds
        estimate = live.status_now(now_ns)
        if estimate is not None and time.monotonic() - self._said_at_s > 0.5:
            self._say(estimate, live, outputs)
            outputs.fix(estimate)
        held = live.held_transform(now_ns)
        if held is not None:
            outputs.transform(held, now_ns)
        if time.monotonic() - self._saved_at_s > self.node_config.save_pose_every_s:
            self._saved_at_s = time.monotonic()
            saved.keep(live.said.estimate)

    def _clock_jumped(self, jump: object) -> None:
        del jump
        if self.live is not None:
            self.get_logger().warning("the clock has gone back or was changed: starting over")
            self.live.clock_jumped()
            self._wake()

    def _swapped(self, loaded: Loaded) -> None:
        self.loaded = loaded

    def _take_parameters(self, parameters: list[Parameter]) -> None:
        """Check changed parameters together, and go on with them.

        Raises:
            ConfigError: they are refused, with the reason.
        """
        names = [parameter.name for parameter in parameters]
        config = self._tree.with_changes(parameters)
        node = self._own.with_changes(parameters)
        if self.loaded is not None:
            fixed = self._tree.fixed(names) + self._own.fixed(names)
            if fixed:
                raise ConfigError(
                    f"{', '.join(fixed)} cannot change while the node is configured; deactivate "
                    "it, clean it up, then set it"
                )
        self._tree.mended(names)
        self._own.mended(names)
        self.config, self.node_config = config, node
        if self._outputs is not None:
            self._outputs.config = node
        if self.inputs is not None:
            self.inputs.config = node
        if self.live is not None:
            self.live.reconfigure(config, node)
            self._wake()

    def _reports(self) -> list[Report]:
        return health.reports(self)


def main(arguments: list[str] | None = None) -> int:
    """The process of the node."""
    return run(Localizer, arguments)


if __name__ == "__main__":
    main()

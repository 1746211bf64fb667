# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The one configuration tree: YAML file, command line and ROS parameters all come from it.

Unknown keys and values out of bounds are errors. Order: defaults < file < command line.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from geoloc_ros import strict_yaml
from geoloc_ros.checked import Checked, param
from geoloc_ros.digest import digest
from geoloc_ros.errors import ConfigError, first_line, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class InputConfig(Checked):
    """What is read, and when it is too old."""

    image_topic: str = param(
        "",
        "camera topic; for a panorama several, comma separated; empty: the only one there is, for "
        "a panorama all",
    )
    camera_info_topic: str = param("", "CameraInfo topic; empty: the one beside the camera topic")
    rig_tolerance_s: float = param(
        0.05, "images no further apart than this become one panorama, s", ge=0.0, le=1.0
    )
    odometry_topic: str = param("", "odometry topic; empty: the only one; 'none': from images")
    height_topic: str = param("", "sensor_msgs/Range height above ground; empty: the only one")
    base_frame: str = param("base_link", "frame of the vehicle; x forward, y left, z up")
    odometry_timeout_s: float = param(
        0.5, "odometry older than this is missing, s", ge=0.01, le=60.0
    )
    clock_jump_s: float = param(
        5.0,
        "a stamp further back, or further ahead without odometry, resets the belief, s",
        ge=0.1,
        le=3600.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewConfig(Checked):
    """How the camera frame becomes what the encoder sees."""

    min_valid_share: float = param(
        0.15, "views with a smaller share of seen pixels are not used", ge=0.0, le=1.0
    )
    yaw_step_deg: float = param(
        15.0, "panoramas are turned by this to fit tiles with north up, deg", ge=1.0, le=90.0
    )
    relief_m: float = param(
        0.0,
        "roofs and trees lie on average this far above the ground that heights are measured from: "
        "overhead views are laid out on a plane as much higher, m",
        ge=0.0,
        le=50.0,
    )
    frozen_similarity: float = param(
        0.98, "two views more similar than this are the same picture", ge=0.5, le=1.0
    )
    frozen_after_m: float = param(
        12.0, "driving after which the same picture counts as a frozen view, m", ge=1.0, le=1e4
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderConfig(Checked):
    """What the encoder runs on; see docs/backends.md."""

    backend: str = param(
        "auto",
        "auto takes the first that works here, in a replay ort-cpu; one that is named must work",
        choices=("auto", "tensorrt", "ort-tensorrt", "ort-cuda", "ort-cpu"),
    )
    precision: str = param(
        "fp32",
        "of an engine; fp16 and int8 once 'geoloc model build-engine' has measured and accepted "
        "them, until then fp32",
        choices=("fp32", "fp16", "int8"),
    )
    engine_dir: str = param(
        "", "where engines are kept; empty: geoloc_ros/engines in the user's cache folder"
    )
    engine_budget_mb: int = param(
        4096,
        "disk that engines may take; those not used for longest go first, MB",
        ge=16,
        le=1_000_000,
    )
    workspace_mb: int = param(
        1024, "GPU memory that building an engine may use for its trials, MB", ge=16, le=1_000_000
    )
    max_drift: float = param(
        0.01,
        "an engine of less than fp32 is accepted if 99 of 100 descriptors keep their direction "
        "this well: 1 - cosine",
        ge=0.0,
        le=1.0,
    )
    max_recall_loss: float = param(
        0.01, "and if recall@1 on the area's tiles falls by no more than this", ge=0.0, le=1.0
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchConfig(Checked):
    """Retrieval."""

    candidates: int = param(
        50, "entries fetched per global search; neighbours are one candidate", ge=1, le=1000
    )
    reranker: str = param(
        "",
        "package, by name or directory, that compares what a vision-language model says of a "
        "frame with the index's descriptions; empty: none",
    )
    memory_budget_mb: int = param(
        2048,
        "memory the index may take; of a larger one, what lies around the vehicle is read, MB",
        ge=16,
        le=1_000_000,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterConfig(Checked):
    """The belief over (x, y, yaw)."""

    particles: int = param(1500, "largest number of particles", ge=50, le=100_000)
    lead_particles: int = param(
        300, "particles of a hypothesis that holds most of the belief", ge=30, le=100_000
    )
    mode_particles: int = param(30, "particles of any other hypothesis", ge=10, le=10_000)
    odom_distance_sigma: float = param(0.02, "distance error per distance driven", ge=0.0, le=1.0)
    odom_yaw_sigma_deg_per_m: float = param(
        0.05, "heading error per root metre driven, deg", ge=0.0, le=10.0
    )
    odom_lateral_sigma: float = param(0.01, "sideways slip per distance driven", ge=0.0, le=1.0)
    update_every_m: float = param(
        1.0, "an image is weighed at most once per this much driving, m", ge=0.0, le=100.0
    )
    decorrelation_m: float = param(
        5.0, "driving after which two images count as independent, m", ge=0.1, le=1000.0
    )
    outlier_share: float = param(
        0.05, "share of images that look like no place at all", ge=0.001, le=0.5
    )
    kidnap_per_km: float = param(
        0.1, "how often per km the vehicle is carried away or odometry fails", ge=1e-6, le=100.0
    )
    confirm_m: float = param(
        20.0, "driving with support a new place needs before LOCALISED, m", ge=0.0, le=1000.0
    )
    localised_share: float = param(
        0.99, "share of the belief a place needs to become LOCALISED", ge=0.5, le=0.9999
    )
    localised_sigma_m: float = param(
        6.0, "largest position sigma that may be called LOCALISED, m", ge=0.1, le=1000.0
    )
    degraded_after_m: float = param(
        10.0,
        "driving against the images after which LOCALISED becomes DEGRADED, m",
        ge=1.0,
        le=1e3,
    )
    lost_after_m: float = param(
        40.0, "driving against the images after which the place is given up, m", ge=1.0, le=1e3
    )
    floor_sigma_m: float = param(
        1.0, "position error that no number of images averages out, m", ge=0.01, le=1000.0
    )
    floor_sigma_yaw_deg: float = param(
        0.7, "heading error that no number of images averages out, deg", ge=0.01, le=180.0
    )

    def __post_init__(self) -> None:
        """Check every field, and what goes together.

        Raises:
            ConfigError: a wrong type, a value out of bounds, or two that contradict each other.
        """
        Checked.__post_init__(self)
        least = self.lead_particles + self.mode_particles
        if self.particles < least:
            raise ConfigError(
                f"particles is {self.particles}; it must be at least lead_particles + "
                f"mode_particles, {least}"
            )
        if self.lost_after_m < self.degraded_after_m:
            raise ConfigError(
                f"lost_after_m is {self.lost_after_m:g} m; it must be at least "
                f"degraded_after_m, {self.degraded_after_m:g} m"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig(Checked):
    """The process a vision-language model lives in; localization keeps its core and its memory."""

    deadline_s: float = param(
        10.0, "an answer that takes longer is given up and its process killed, s", ge=0.1, le=600.0
    )
    start_s: float = param(
        120.0, "a model that takes longer to load is given up, s", ge=1.0, le=3600.0
    )
    backoff_s: float = param(
        1.0,
        "a process that failed is started again at once, after a second failure in a row so much "
        "later, after each further one twice as late, s",
        ge=0.0,
        le=3600.0,
    )
    backoff_limit_s: float = param(60.0, "but never later than this, s", ge=0.0, le=3600.0)
    memory_mb: int = param(
        4096,
        "a process that holds more memory, its model included, is killed; 0: no limit, MB",
        ge=0,
        le=1_000_000,
    )
    nice: int = param(10, "how much it stands back for other processes", ge=0, le=19)
    spared_cores: int = param(
        1, "so many cores, the first ones, it leaves alone where there are more", ge=0, le=1024
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayVlmConfig(Checked):
    """The vision-language model that a replay asks; a live one has a node of its own."""

    model: str = param("", "model package, by name or directory, or 'rules'; empty: none is asked")
    latency_s: float = param(
        2.0, "an answer is heard so long after its frame, in recorded time, s", ge=0.0, le=600.0
    )
    every_s: float = param(
        0.0, "frames asked about lie at least so far apart, s", ge=0.0, le=3600.0
    )
    worker: WorkerConfig = field(default_factory=WorkerConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreConfig(Checked):
    """What counts as a hit when retrieval is scored."""

    recall_radius_m: float = param(8.0, "position radius of a hit, m", ge=0.1, le=10_000.0)
    recall_yaw_deg: float = param(22.5, "heading tolerance of a hit, deg", ge=0.1, le=180.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Checked):
    """The whole tree."""

    random_seed: int = param(0, "seed of every random draw", ge=0, le=2**31 - 1)
    encoder_threads: int = param(1, "threads of the encoder's session", ge=1, le=64)
    input: InputConfig = field(default_factory=InputConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    view: ViewConfig = field(default_factory=ViewConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    filter: FilterConfig = field(default_factory=FilterConfig)
    vlm: ReplayVlmConfig = field(default_factory=ReplayVlmConfig)
    score: ScoreConfig = field(default_factory=ScoreConfig)


def flatten(config: object, prefix: str = "") -> Iterator[tuple[str, Any, dataclasses.Field[Any]]]:
    """Yield (`group.name`, value, field) for every parameter of a tree."""
    for item in dataclasses.fields(config):  # type: ignore[arg-type]
        value = getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            yield from flatten(value, f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}", value, item


def from_mapping(mapping: Mapping[str, Any], kind: type = Config, prefix: str = "") -> Any:  # noqa: ANN401
    """Build a configuration from nested mappings.

    Raises:
        ConfigError: an unknown key, a wrong type, a value out of bounds.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(
            f"{prefix.rstrip('.') or 'the configuration'} must be a mapping of parameters, got "
            f"{shown(mapping)}"
        )
    known = {item.name: item for item in dataclasses.fields(kind)}
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for key, value in mapping.items():
        if key not in known:
            name = prefix + shown(key).strip("'")
            raise ConfigError(f"unknown parameter {name}; known here: {', '.join(known)}")
        group = dataclasses.is_dataclass(hints[key])
        values[key] = from_mapping(value, hints[key], f"{prefix}{key}.") if group else value
    try:
        return kind(**values)
    except ConfigError as error:
        raise ConfigError(f"{prefix}{error}") from None


def load(path: Path | None = None, overrides: tuple[str, ...] = ()) -> Config:
    """Defaults, then the YAML file, then `group.name=value` overrides.

    Raises:
        ConfigError: unreadable file, unknown key, wrong type, value out of bounds.
    """
    tree: Any = {}
    if path is not None:
        try:
            tree = strict_yaml.parse(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, ConfigError) as error:
            raise ConfigError(f"cannot read configuration {path}: {first_line(error)}") from error
        tree = {} if tree is None else tree  # None: nothing but comments
        from_mapping(tree)  # names the mistakes of the file before any override
    for override in overrides:
        _override(tree, override)
    config: Config = from_mapping(tree)
    return config


def _override(tree: dict[str, Any], override: str) -> None:
    """Set `group.name=value` in a checked tree; texts are taken as they stand.

    Raises:
        ConfigError: no such parameter, or a value that is no YAML.
    """
    key, separator, text = override.partition("=")
    if not separator:
        raise ConfigError(f"override {shown(override)} must look like group.name=value")
    known = {name: value for name, value, _ in flatten(Config())}
    if key.strip() not in known:
        raise ConfigError(
            f"override {shown(override)}: {shown(key.strip())} is no parameter; 'geoloc config "
            "dump' prints them all"
        )
    *groups, name = key.strip().split(".")
    node = tree
    for group in groups:
        node = node.setdefault(group, {})
    try:
        node[name] = text if isinstance(known[key.strip()], str) else strict_yaml.parse(text)
    except ConfigError as error:
        raise ConfigError(f"override {shown(override)}: {error}") from error


def to_mapping(config: object) -> dict[str, Any]:
    """Nested plain dictionaries of a tree."""
    return dataclasses.asdict(config)  # type: ignore[call-overload, no-any-return]


def dump(config: Config | None = None) -> str:
    """YAML text with every parameter's documentation and bounds as comments."""
    lines = [
        "# Every parameter with its default. Written by 'geoloc config dump'; checked by a test."
    ]
    lines += _dump_group(config or Config(), "")
    return "\n".join(lines) + "\n"


def _dump_group(group: object, indent: str) -> list[str]:
    lines: list[str] = []
    for item in dataclasses.fields(group):  # type: ignore[arg-type]
        value = getattr(group, item.name)
        if dataclasses.is_dataclass(value):
            lines += [
                "",
                f"{indent}# {(type(value).__doc__ or '').strip()}",
                f"{indent}{item.name}:",
            ]
            lines += _dump_group(value, indent + "  ")
            continue
        low, high = item.metadata["ge"], item.metadata["le"]
        bounds = f" [{low}, {high}]" if low is not None else ""
        if item.metadata["choices"]:
            bounds = f" [{', '.join(item.metadata['choices'])}]"
        lines.append(f"{indent}# {item.metadata['doc']}{bounds}")
        lines.append(f"{indent}{item.name}: {json.dumps(value)}")
    return lines


def sha256(config: Config) -> str:
    """Hash of the whole tree, for provenance."""
    return digest(to_mapping(config))

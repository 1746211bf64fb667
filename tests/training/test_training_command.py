# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import argparse
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from geoloc_ros.cli import train, train_encoder, train_material
from geoloc_ros.errors import TrainingError


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    train.add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["train", "encoder", *arguments])
    return int(parsed.run(parsed))


@pytest.mark.parametrize("value", ["-3", "1000000000000"])
@pytest.mark.parametrize(
    "option", ["--towns", "--epochs", "--batch", "--threads", "--seed", "--first-seed"]
)
def test_numbers_that_make_no_sense_are_refused(option: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=rf"{option} is {value}; it must lie in"):
        run("--kind", "perspective", "--out", str(tmp_path), option, value)


@pytest.mark.parametrize(
    ("option", "value", "limits"),
    [
        ("--learning-rate", "0", "1e-08..1"),
        ("--learning-rate", "-1", "1e-08..1"),
        ("--learning-rate", "nan", "1e-08..1"),
        ("--self-distil", "-1", "0..100"),
        ("--self-distil", "nan", "0..100"),
    ],
)
def test_fractions_that_make_no_sense_are_refused(
    option: str, value: str, limits: str, tmp_path: Path
) -> None:
    said = rf"{option} is {float(value)}; it must lie in {limits}$"
    with pytest.raises(TrainingError, match=said):
        run("--kind", "perspective", "--out", str(tmp_path), option, value)


DRIVES = ("--drives", "none.mcap", "--imagery", "none.tif", "--truth", "/fix")
DATASET = ("--dataset", "vigor", "--root", "none")


@pytest.mark.parametrize(
    ("option", "value", "limits"),
    [
        ("--hold-out", "0.9", "0..0.8"),
        ("--every", "0.0", "0.1..1000 m"),
        ("--per-place", "0", "1..1000"),
        ("--max-sigma", "nan", "0.01..50 m"),
        ("--assume-sigma", "-1.0", "0..50 m"),
        ("--window", "1.0", "3..200 m"),
        ("--block", "1.0", "20..100000 m"),
        ("--buffer", "-1.0", "0..10000 m"),
    ],
)
def test_numbers_of_drives_are_refused_by_the_names_of_their_options(
    option: str, value: str, limits: str, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    said = rf"^{option} is {value}; it must lie in {limits}$"
    with pytest.raises(TrainingError, match=said):
        run("--kind", "perspective", "--out", str(tmp_path), *DRIVES, option, value)


def parser_of_materials() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    train_material.add_arguments(parser)
    return parser


def test_every_option_of_a_material_is_known_as_such() -> None:
    parsed = vars(parser_of_materials().parse_args([]))
    assert sorted(parsed) == sorted(name for o in train_material.OPTIONS.values() for name in o)
    assert set(parsed.values()) == {None}  # so it can be told what was given


@pytest.mark.parametrize("chosen", ["towns", "drives", "dataset"])
def test_options_of_other_materials_are_refused(chosen: str, tmp_path: Path) -> None:
    given = {"towns": (), "drives": DRIVES, "dataset": DATASET}[chosen]
    for owner, names in train_material.OPTIONS.items():
        for name in names:
            option = f"--{name.replace('_', '-')}"
            if owner == chosen or name in ("drives", "dataset"):
                continue
            said = f"^{option} goes with {train_material.MATERIALS[owner]}, and this trains on "
            with pytest.raises(TrainingError, match=said + train_material.MATERIALS[chosen]):
                run("--kind", "ground_plane", "--out", str(tmp_path), *given, option, "2")


@pytest.mark.parametrize("option", ["--every", "--hold-out"])
def test_an_option_of_another_material_is_refused_even_at_its_default(
    option: str, tmp_path: Path
) -> None:
    value = str(train_material.DEFAULTS[option[2:].replace("-", "_")])
    with pytest.raises(TrainingError, match=f"{option} goes with --drives.* or add --drives"):
        run("--kind", "perspective", "--out", str(tmp_path), option, value)


def test_photos_are_for_pairs_that_look_from_above(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with pytest.raises(TrainingError, match="--aerial goes with ground_plane"):
        run("--kind", "perspective", "--out", str(tmp_path), "--aerial", str(tmp_path))


def test_a_kind_that_towns_have_no_views_for_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with pytest.raises(TrainingError, match=r"have views for .* none for convnext_tiny; train"):
        run("--kind", "convnext_tiny", "--out", str(tmp_path))


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    train.add_parser(parser.add_subparsers())
    found = parser.parse_args(["train", "encoder", *arguments])
    found.source = train_material.check(found)
    return found


def test_the_command_in_the_card_makes_the_model_again() -> None:
    given = ["--kind", "perspective", "--out", "models/mine", "--epochs", "3", "--drives", "a b",
             "c.mcap", "--imagery", "city.tif", "--truth", "/fix", "--hold-out", "0.3",
             "--config", "rover.yaml", "--set", "view.relief_m=2", "--set",
             "input.image_topic=/front camera", "--image-topic", "/cam"]  # fmt: skip
    first = parsed(*given)
    words = shlex.split(train_encoder._command(first, "perspective"))
    assert words[:3] == ["geoloc", "train", "encoder"]
    assert vars(parsed(*words[3:])) == vars(first)
    first.config = Path("/somewhere/rover.yaml")
    assert "/somewhere" not in train_encoder._command(first, "perspective")


@pytest.mark.parametrize(
    ("given", "advice"),
    [((), "--towns"), (DRIVES, "--every"), (DATASET, "another --split")],
)
def test_too_few_views_for_a_batch_are_refused(given: tuple[str, ...], advice: str) -> None:
    few = parsed("--kind", "perspective", "--out", "mine", *given)
    with pytest.raises(TrainingError, match=f"^15 views are too few .* needs 16: .*{advice}"):
        train_encoder._config(few, few.source, "perspective", 15, 1)
    asked = parsed("--kind", "perspective", "--out", "mine", "--batch", "96", *given)
    with pytest.raises(TrainingError, match=f"^--batch is 96, .* 40 views .*{advice}"):
        train_encoder._config(asked, asked.source, "perspective", 40, 1)
    assert train_encoder._config(asked, asked.source, "perspective", 96, 1).batch == 96


@pytest.mark.parametrize(("processes", "batch"), [(1, 96), (5, 80), (16, 128)])
def test_the_usual_batch_is_shared_out_evenly(processes: int, batch: int) -> None:
    many = parsed("--kind", "perspective", "--out", "mine")
    assert train_encoder._config(many, "towns", "perspective", 500, processes).batch == batch


def test_a_command_prepares_its_material_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    calls: list[str] = []

    class Prepared(Exception):
        pass

    class Material:
        def prepare(self) -> str:
            calls.append("prepare")
            return "ready"

        def samples(self) -> int:
            return 96

        def load(self, train: object) -> None:
            raise Prepared

    monkeypatch.setattr(train_material, "material", lambda *_: Material())
    with pytest.raises(Prepared):
        run("--kind", "perspective", "--out", str(tmp_path), "--work", str(tmp_path / "work"))
    assert calls == ["prepare"]


def test_a_town_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from geoloc_ros.training.worlds import WorldConfig, render_towns

    with pytest.raises(TrainingError, match=r"town 7 cannot .*size_m is 1;") as caught:
        render_towns([7], WorldConfig(size_m=1.0), tmp_path, 2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("first_seed", [-5, 1990, 2002, 899_999])
def test_seeds_of_other_towns_are_refused(first_seed: int) -> None:
    pytest.importorskip("torch")
    from geoloc_ros.training.town_material import TownMaterial

    with pytest.raises(TrainingError, match="must not touch"):
        TownMaterial(kind="perspective", first_seed=first_seed).seeds()


def test_a_missing_photo_folder_is_refused(tmp_path: Path) -> None:
    missing = str(tmp_path / "none")
    with pytest.raises(TrainingError, match="--aerial"):
        run("--kind", "ground_plane", "--out", str(tmp_path), "--aerial", missing)


def test_held_out_seeds_are_refused_before_anything_is_rendered(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with pytest.raises(TrainingError, match="900000"):
        run("--kind", "perspective", "--out", str(tmp_path), "--first-seed", "900101",
            "--data", str(tmp_path / "towns"))  # fmt: skip
    assert not (tmp_path / "towns").exists()


def test_the_command_line_loads_without_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import geoloc_ros.cli.train"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unfit_kind_ends_with_usage(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        run("--kind", "birds", "--out", str(tmp_path))

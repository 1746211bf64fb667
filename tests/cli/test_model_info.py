# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

import pytest

from geoloc_ros.cli.main import main

MODELS = Path(__file__).parents[2] / "models"


@pytest.mark.parametrize("name", ["perspective", "ground_plane", "ground_structure"])
def test_the_shipped_models_say_what_they_are(name, capsys) -> None:
    assert main(["model", "info", str(MODELS / name), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    card = json.loads((MODELS / name / "model.json").read_text())
    assert found["name"] == f"{card['name']} {card['version']}"
    assert found["descriptor"] == card["descriptor_dim"]
    assert f"{card['query']['height_px']} x {card['query']['width_px']} px" in found["query"]
    assert f"{card['reference']['extent_m']:g} m" in found["reference"]
    for file, sha256 in card["files"].items():
        assert sha256[:12] in found[file]
        assert "M parameters" in found[file]
    assert card["calibration"]["fitted_on"] in found["calibration"]


def test_what_is_no_encoder_is_named(capsys) -> None:
    assert main(["model", "info", str(MODELS / "vlm-tiny")]) == 2
    assert "is a package of kind 'vlm'; this command" in capsys.readouterr().err
    assert main(["model", "info", "nowhere"]) == 2
    assert "no encoder package 'nowhere'; found here: " in capsys.readouterr().err

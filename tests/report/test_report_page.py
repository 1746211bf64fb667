# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import dataclasses
import json
import re
import types
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from fake_pictures import fake_ortho, reply, write_heard, write_run_with_frames
from fake_run import drive, gaussian_estimates, write_run

from geoloc_ros.encoders.package import ReferenceSpec
from geoloc_ros.errors import GeolocError
from geoloc_ros.evaluation import tables
from geoloc_ros.evaluation.columns import Estimates
from geoloc_ros.evaluation.result import result_from
from geoloc_ros.report import page
from geoloc_ros.report.events import outcomes
from geoloc_ros.report.gallery import gallery
from geoloc_ros.report.page import write_report
from geoloc_ros.report.run_data import load_run
from geoloc_ros.report.said import said
from geoloc_ros.vlm.answerer import Answer, Reply
from geoloc_ros.vlm.questions import load_questions

VOID = {"meta", "img", "input", "br", "link"}
REFERENCE = ReferenceSpec(size_px=112, extent_m=56.0, offset_forward_m=22.0)


class _Balance(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.images = [], []

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def ortho():
    return fake_ortho(-500.0, -400.0, 1100.0, 1300.0, 1.0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, ortho):
    """(directory, text) of a page with everything."""
    out = write_run_with_frames(tmp_path_factory.mktemp("whole"))
    write_heard(out)
    manifest = types.SimpleNamespace(
        reference=REFERENCE,
        imagery=types.SimpleNamespace(attribution="Somebody", licence=""),
        descriptions=types.SimpleNamespace(vlm="vlm-tiny 1"),
    )
    patch = pytest.MonkeyPatch()
    patch.setattr(page, "_manifest", lambda index, notes: manifest)
    path = write_report(out, ortho, out)
    patch.undo()
    return out, path.read_text(encoding="utf-8")


def _data(text):
    inside = text.split('id="run-data">')[1].split("</script>")[0]
    return json.loads(inside)


def test_page_is_one_offline_file(whole):
    _, text = whole
    without_pictures = re.sub(r"data:image/[^\"]+", "", text)
    assert "http://" not in without_pictures
    assert "https://" not in without_pictures
    assert not re.search(r"<link|<script[^>]+src|url\(|@import", without_pictures)
    assert len(text) < 6_000_000


def test_page_is_well_formed_and_described(whole):
    _, text = whole
    parser = _Balance()
    parser.feed(text)
    assert parser.open == []
    assert parser.images
    assert all(image.get("alt") for image in parser.images)
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawings) >= 10
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        assert root.get("aria-label")
        assert "nan" not in re.sub(r"data:image/[^\"]+", "", drawing).lower()


def test_page_shows_the_figures_of_the_result(whole):
    out, text = whole
    result = result_from(out)
    assert f"{100 * result['availability']:.1f}" in text
    assert f"{result['position_error_m']['median']:.2f}" in text
    assert f"{100 * result['coverage_95']:.1f} % inside the 95 % region" in text
    assert f"recall@10 {100 * result['recall']['10']:.1f} %" in text
    assert "kidnapped" in text
    assert "Somebody" in text
    assert "Made-up imagery" in text


def test_slider_data_fits_the_estimates(whole):
    out, text = whole
    data, run = _data(text), load_run(out)
    assert len(data["t"]) == len(run.estimates) == len(data["x"]) == len(data["s"])
    assert data["statuses"][data["s"][-1]] == "LOCALISED"
    assert data["e"][-1] == pytest.approx(run.scores.error_m[-1], abs=0.01)
    assert data["statuses"][data["s"][data["start"]]] == "LOCALISED"


def test_pictures_are_written(whole):
    out, _ = whole
    for name in ("map.png", "errors.png", "consistency.png"):
        assert (out / name).read_bytes()[:4] == b"\x89PNG"


def test_gallery_shows_the_worst_kept_fix_and_right_tiles(whole, ortho):
    out, _ = whole
    run = load_run(out)
    worst, astray, clear = gallery(run, ortho, REFERENCE)
    kept = [
        row
        for row, stamp in enumerate(run.estimates.stamp_ns.tolist())
        if tables.frame_path(out, stamp).exists() and run.scores.scored[row]
    ]
    assert worst.cards[0].error_m == pytest.approx(run.scores.error_m[kept].max())
    assert all(not any(tile.right for tile in card.tiles) for card in astray.cards)
    assert all(card.tiles[0].right and card.tiles[0].off_m <= 8.0 for card in clear.cards)
    assert all(tile.url for card in clear.cards for tile in card.tiles)
    assert clear.cards[0].tiles[0].vehicle == pytest.approx((0.5, 0.5 + 22 / 56))


def test_page_shows_what_the_model_said_beside_the_tile(whole, ortho):
    out, text = whole
    part = text.split('id="h-said"')[1].split("</section>")[0]
    assert "Which way does the road ahead bend?" in part
    assert "strongly left" in part
    assert "no answer in 9 s" in part
    assert "described by vlm-tiny 1" in part
    assert "Aichi, Japan ± 5 km 60 %" in part
    assert "made another place the likeliest" in part
    assert part.count("<figure") == 2 * part.count('class="why said"')
    manifest = types.SimpleNamespace(
        reference=REFERENCE, descriptions=types.SimpleNamespace(vlm="vlm-tiny 1")
    )
    told = said(load_run(out), ortho, manifest)
    groups = {group.title: group for group in told.groups}
    (most,) = groups["Moved the belief most"].cards
    assert most.lines[0].question == "Which way does the road ahead bend?"
    assert (most.lines[0].seen.text, most.lines[0].tile.text) == ("strongly left", "straight on")
    assert most.lines[0].same is False
    assert (most.same, most.compared) == (29, 30)
    assert "60.0 % to 30.0 %" in most.changed
    unlike = groups["Most unlike the tile"].cards
    assert [(card.same, card.place.right) for card in unlike] == [(0, False)] * 3
    assert all(card.place.right and card.place.url for card in groups["Most like the tile"].cards)


def test_words_of_a_model_cannot_inject_markup(tmp_path):
    out = write_run_with_frames(tmp_path / "run")
    evil = "</script><script>alert(1)</script>"
    rows = write_heard(out)
    answers = (Answer(evil, evil, 0.9), *reply(load_questions(), 0).answers)
    rows[0] = dataclasses.replace(rows[0], reply=Reply(answers))
    tables.write_vlm(out, rows)
    text = write_report(out, pictures=False).read_text(encoding="utf-8")
    assert "What the model said" in text
    assert "The index is not described" in text
    assert "<script>alert" not in text


def test_answers_survive_their_file(tmp_path):
    out = write_run_with_frames(tmp_path / "run")
    rows = write_heard(out)
    rows[0] = dataclasses.replace(rows[0], places=((1.0, 2.0, 3.0),), shares=(0.5,))
    tables.write_vlm(out, rows)
    assert repr(tables.read_vlm(out)) == repr(rows)  # NaN is not equal to itself


def test_page_without_truth_says_so(tmp_path, ortho):
    out = write_run_with_frames(tmp_path / "run", with_truth=False)
    text = write_report(out, ortho, pictures=False).read_text(encoding="utf-8")
    assert "no ground truth" in text
    assert "Position error" not in text
    assert "Coverage" not in text
    assert "Most alike" in text
    assert "What the model said" not in text
    assert _data(text)["e"][0] is None


@pytest.mark.parametrize("imagery", ["missing.tif", "broken.tif"])
def test_page_without_usable_imagery_says_why(tmp_path, imagery):
    out = write_run(tmp_path / "run", seconds=20.0)
    (tmp_path / "broken.tif").write_bytes(b"II*\x00 nothing here")
    text = write_report(out, tmp_path / imagery, pictures=False).read_text(encoding="utf-8")
    assert "The map has no imagery" in text
    assert 'class="mapgrid"' in text


def test_page_without_usable_index_says_why(tmp_path):
    out = write_run(tmp_path / "run", seconds=20.0)
    text = write_report(out, None, tmp_path / "no_index", pictures=False).read_text("utf-8")
    assert "Tiles are not shown" in text


def test_names_cannot_inject_markup(tmp_path):
    out = write_run(tmp_path / "run", seconds=20.0)
    evil = "</script><script>alert(1)</script>"
    summary = tables.read_summary(out)
    event = {"stamp_ns": drive(20.0).stamp_ns[500].item(), "kind": "kidnap", "label": evil}
    summary.update(bag=evil, notes=[evil], attribution=evil, events=[event])
    tables.write_summary(out, summary)
    text = write_report(out, pictures=False).read_text(encoding="utf-8")
    assert "<script>alert" not in text
    parser = _Balance()
    parser.feed(text)
    assert parser.open == []


def _nowhere(count):
    truth = drive(20.0)
    whole = gaussian_estimates(truth, np.random.default_rng(0))
    nan = np.full(count, np.nan)
    return Estimates(
        whole.stamp_ns[:count],
        np.full(count, "UNINITIALISED"),
        ("no_frame_yet",) * count,
        np.full((count, 3), np.nan),
        np.full((count, 3, 3), np.nan),
        nan,
        nan,
        nan,
        nan,
    )


@pytest.mark.parametrize("count", [0, 1, 50])
@pytest.mark.parametrize("with_truth", [True, False])
def test_run_that_never_found_itself(tmp_path, count, with_truth):
    tables.write_estimates(tmp_path, _nowhere(count))
    if with_truth:
        tables.write_truth(tmp_path, drive(20.0))
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "never LOCALISED" in text
    assert (tmp_path / "map.png").exists()


def test_always_wrong_without_heading(tmp_path):
    truth = drive(20.0)
    estimates = gaussian_estimates(truth, np.random.default_rng(0), claimed=0.0)
    truth.poses[:, 2] = np.nan
    tables.write_estimates(tmp_path, estimates)
    tables.write_truth(tmp_path, truth)
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "The truth has no heading" in text
    assert "overconfident: covariance too small" in text


def test_events_of_a_made_world(tmp_path):
    out = write_run(tmp_path / "run")
    truth = tables.read_truth(out)
    at = truth.stamp_ns[[3000, 3400, 5000]].tolist()  # 60 s, 68 s, and the jump at 100 s
    tables.write_summary(out, {**tables.read_summary(out), "bag": "worlds/drive_01"})
    drive_01 = {
        "name": "drive_01",
        "kidnap_stamps_ns": at[2:],
        "covered_stamps_ns": [at[:2]],
        "outside_stamps_ns": [],
    }
    scene = tmp_path / "scene.json"
    scene.write_text(json.dumps({"drives": [{"name": "drive_00"}, drive_01]}))
    run = load_run(out, scene)
    assert [event.kind for event in run.events] == ["covered", "end", "kidnap"]
    rows = dict(outcomes(run.events, run.estimates, run.truth))
    assert rows["start"] == "first fix after 60 m"
    assert rows["camera covered, t = 60.0 s"] == "fix withdrawn after 0 m"
    assert rows["kidnapped, t = 100.0 s"] == "right again after 70 m"
    text = write_report(out, events=scene, pictures=False).read_text(encoding="utf-8")
    assert "right again after 70 m" in text


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no scene file"),
        ('{"drives": []}', "knows no drive"),
        ('{"drives": [{"name": "run"}]}', "no scene file of a made world"),
        ('{"drives": 3}', "no scene file of a made world"),
        ("[]", "JSON object"),
    ],
)
def test_wrong_scene_file_gives_one_clear_line(tmp_path, content, says):
    out = write_run(tmp_path / "out", seconds=5.0)
    tables.write_summary(out, {"bag": "somewhere/run.mcap"})
    if content is not None:
        (tmp_path / "scene.json").write_text(content)
    with pytest.raises(GeolocError, match=says):
        load_run(out, tmp_path / "scene.json")

# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Recordings of every storage, whole and damaged."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from geoloc_ros import messages as msg
from geoloc_ros.bags.reader import BagReader
from geoloc_ros.bags.writer import BagWriter
from geoloc_ros.errors import BagError
from geoloc_ros.geo.rotations import matrix_from_rpy, transform
from geoloc_ros.geo.wgs84 import LatLon

START = 1_000_000_000_000_000_000
DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "rosbag1"


def camera() -> msg.CameraInfoData:
    k = np.array([[50.0, 0, 31.5], [0, 50.0, 23.5], [0, 0, 1]])
    return msg.CameraInfoData(
        64,
        48,
        "plumb_bob",
        np.array([0.1, 0, 0, 0, 0]),
        k,
        np.c_[k, np.zeros(3)],
        np.eye(3),
        "cam",
    )


def write(path: Path, storage: str = "mcap", frames: int = 20, cameras: int = 1) -> Path:
    rng = np.random.default_rng(1)
    with BagWriter(path, storage) as bag:
        bag.write_tf_static(START, {("base_link", "cam"): transform(np.eye(3), [1, 2, 3])})
        for i in range(frames):
            stamp = START + i * 100_000_000
            noise = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
            ok, data = cv2.imencode(".png", noise)
            assert ok
            for c in range(cameras):
                bag.write_compressed_image(f"/cam{c}/image", stamp, data.tobytes(), "cam", "png")
            bag.write_camera_info("/cam0/camera_info", stamp, camera())
            bag.write_odometry("/odom", stamp, (i, 2.0, 0.5), (3.0, 0.1))
            bag.write_fix("/fix", stamp, LatLon(48.0, 11.0), 500.0)
            bag.write_pose("/pose", stamp, transform(matrix_from_rpy(0.1, 0.2, 0.3), [i, 5, 6]))
            bag.write_range("/height", stamp, 42.5)
    return path


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_round_trip(tmp_path, storage):
    path = write(tmp_path / "bag", storage)
    with BagReader(path) as bag:
        names = {t.name: t.count for t in bag.topics()}
        assert names["/odom"] == 20
        assert names["/tf_static"] == 1
        records = list(bag.messages())
    stamps = [stamp for stamp, _, _ in records]
    assert stamps == sorted(stamps)
    by_topic = {}
    for stamp, topic, message in records:
        by_topic.setdefault(topic, []).append((stamp, message))
    stamp, odom = by_topic["/odom"][7]
    sample = msg.odometry(odom, 0)
    assert sample.stamp_ns == stamp == START + 700_000_000
    np.testing.assert_allclose(sample.pose, [7, 2, 0.5], atol=1e-12)
    assert sample.speed_mps == 3.0
    assert sample.yaw_rate_radps == pytest.approx(0.1)
    assert msg.image_rgb(by_topic["/cam0/image"][0][1]).shape == (48, 64, 3)
    info = msg.camera_info(by_topic["/cam0/camera_info"][0][1])
    np.testing.assert_array_equal(info.K, camera().K)
    assert (info.width, info.height, info.frame_id) == (64, 48, "cam")
    static = msg.static_transforms(by_topic["/tf_static"][0][1])
    np.testing.assert_allclose(static["base_link", "cam"][:3, 3], [1, 2, 3])
    assert msg.fix(by_topic["/fix"][0][1]) == (LatLon(48.0, 11.0), 500.0)
    expected = transform(matrix_from_rpy(0.1, 0.2, 0.3), [3, 5, 6])
    np.testing.assert_allclose(msg.pose_matrix(by_topic["/pose"][3][1]), expected, atol=1e-12)
    assert msg.height_m(by_topic["/height"][0][1]) == 42.5


@pytest.mark.parametrize(("storage", "suffix"), [("mcap", "*.mcap"), ("sqlite3", "*.db3")])
def test_storage_file_alone(tmp_path, storage, suffix):
    path = write(tmp_path / "bag", storage)
    with BagReader(next(path.glob(suffix))) as bag:
        assert len(list(bag.messages(["/odom"]))) == 20


def test_static_transforms_are_offered_transient_local(tmp_path):
    text = (write(tmp_path / "bag") / "metadata.yaml").read_text()
    assert "version: 8" in text
    topics = yaml.safe_load(text)["rosbag2_bagfile_information"]["topics_with_message_count"]
    profiles = {
        t["topic_metadata"]["name"]: t["topic_metadata"]["offered_qos_profiles"] for t in topics
    }
    assert "durability: 1" in profiles["/tf_static"]
    assert "durability: 2" in profiles["/odom"]


def test_select_lists_choices_to_paste_back(tmp_path):
    with BagReader(write(tmp_path / "bag", cameras=2)) as bag:
        with pytest.raises(BagError, match="--image-topic /cam1/image") as caught:
            bag.select(msg.IMAGE_TYPES, option="--image-topic")
        assert "--image-topic /cam0/image" in str(caught.value)
        assert bag.select(msg.IMAGE_TYPES, "/cam1/image") == "/cam1/image"
        assert bag.select(msg.ODOMETRY_TYPES) == "/odom"
        with pytest.raises(BagError, match="is not in the bag"):
            bag.select(msg.IMAGE_TYPES, "/nope")
        with pytest.raises(BagError, match="not sensor_msgs/msg/Image"):
            bag.select(msg.IMAGE_TYPES, "/odom")
        with pytest.raises(BagError, match="no topic of type x/msg/Y"):
            bag.select(["x/msg/Y"])


def test_cut_mcap_delivers_what_is_left_then_says_so(tmp_path):
    path = write(tmp_path / "bag", frames=600)
    file = next(path.glob("*.mcap"))
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * 0.6)])
    for source in (path, file):
        read = []
        with BagReader(source) as bag:
            assert bag.select(msg.IMAGE_TYPES) == "/cam0/image"
            with pytest.raises(BagError, match="cut off") as caught:
                read += bag.messages(["/odom"])
        assert 150 < len(read) < 600
        assert f"{len(read)} messages" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_damaged_sqlite_is_one_clear_line(tmp_path):
    path = write(tmp_path / "bag", "sqlite3", frames=300)
    file = next(path.glob("*.db3"))
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BagError, match="messages") as caught, BagReader(path) as bag:
        list(bag.messages())
    assert "\n" not in str(caught.value)


def _no_such(tmp_path):
    return tmp_path / "nowhere"


def _empty_folder(tmp_path):
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


def _empty_file(tmp_path):
    (tmp_path / "a.mcap").touch()
    return tmp_path / "a.mcap"


def _text_file(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    return tmp_path / "a.txt"


def _noise(suffix):
    def make(tmp_path):
        data = np.random.default_rng(0).integers(0, 255, 4000, dtype=np.uint8).tobytes()
        (tmp_path / f"a{suffix}").write_bytes(data)
        return tmp_path / f"a{suffix}"

    return make


def _bad_metadata(tmp_path):
    path = write(tmp_path / "bag", frames=2)
    (path / "metadata.yaml").write_text("rosbag2_bagfile_information: [1, 2")
    next(path.glob("*.mcap")).unlink()
    return path


def _no_messages(tmp_path):
    with BagWriter(tmp_path / "bag"):
        pass
    return tmp_path / "bag"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_no_such, "no recording at"),
        (_empty_folder, "metadata.yaml is missing"),
        (_empty_file, "empty file"),
        (_text_file, "is no recording"),
        (_noise(".mcap"), "cannot read"),
        (_noise(".db3"), "cannot read"),
        (_noise(".bag"), "cannot read"),
        (_bad_metadata, "cannot read"),
        (_no_messages, "holds no messages"),
    ],
)
def test_hostile_paths(tmp_path, make, says):
    path = make(tmp_path)
    with pytest.raises(BagError, match=says) as caught, BagReader(path):
        pass
    assert "\n" not in str(caught.value)


def test_missing_metadata_points_to_the_storage(tmp_path):
    path = write(tmp_path / "bag", frames=2)
    (path / "metadata.yaml").unlink()
    with pytest.raises(BagError, match=r"read its storage directly: .*bag.mcap"), BagReader(path):
        pass


def test_writer_removes_what_it_could_not_finish(tmp_path):
    with pytest.raises(TypeError), BagWriter(tmp_path / "bag") as bag:
        bag.write_range("/h", START, None)
    assert not (tmp_path / "bag").exists()
    write(tmp_path / "bag", frames=1)
    with pytest.raises(BagError, match="exists already"), BagWriter(tmp_path / "bag"):
        pass
    with pytest.raises(BagError, match="storage 'tape'"):
        BagWriter(tmp_path / "other", "tape")


@pytest.mark.skipif(not DATA.exists(), reason="../shared/data/rosbag1 is not there")
def test_real_ros1_bag_and_its_truncation(tmp_path):
    with BagReader(DATA / "test1.bag") as bag:
        topic = bag.select(msg.ODOMETRY_TYPES)
        samples = [msg.odometry(m, s) for s, _, m in bag.messages([topic])]
        assert len(samples) == next(t.count for t in bag.topics() if t.name == topic) > 100
        assert all(np.isfinite(s.pose).all() for s in samples)
        with pytest.raises(BagError, match="no topic of type sensor_msgs/msg/Image"):
            bag.select(msg.IMAGE_TYPES)
    whole = (DATA / "test1.bag").read_bytes()
    cut = tmp_path / "cut.bag"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BagError, match=r"0 messages read.*reindex") as caught, BagReader(cut):
        pass
    assert "\n" not in str(caught.value)

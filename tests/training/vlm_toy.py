# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Toy towns with answers that can be read off the pictures, and a model of a few thousand weights.

The brighter a picture is, the further down the list lies the right option of every question.
"""

import numpy as np
from training_toy import toy_shard

from geoloc_ros.training.data import Shard
from geoloc_ros.training.vlm_data import SATELLITE, Truth, VlmData, crop_poses
from geoloc_ros.training.vlm_prompts import Prompts
from geoloc_ros.training.vlm_train import VlmTrainConfig
from geoloc_ros.vlm.questions import VIEWS, load_questions

QUESTIONS = load_questions()
TOY = {
    "batch": 16, "questions": 4, "threads": 1, "warm_up": 2, "save_every": 1000, "image_px": 48,
    "patch_px": 4, "vision_width": 32, "vision_layers": 1, "vision_ffn": 64, "text_width": 32,
    "text_layers": 2, "text_ffn": 64, "heads": 2,
}  # fmt: skip


def toy_config(**changes: float | str) -> VlmTrainConfig:
    return VlmTrainConfig(**{"epochs": 1, **TOY, **changes})


def toy_truth(shard: Shard) -> Truth:
    bright = shard.images[:, 0, 0].mean(axis=1) / 256.0
    options = np.array([len(q.options) - 1 for q in QUESTIONS.questions])
    ground = (bright[:, None] * options).astype(np.int8)
    poses = crop_poses(shard)
    satellite = np.resize(ground, (len(poses), len(options)))
    unasked = [VIEWS[SATELLITE] not in q.views for q in QUESTIONS.questions]
    satellite[:, unasked] = -1
    return Truth(ground, poses, satellite)


def toy_data(towns: int = 2, views: int = 24, image_px: int = 48) -> VlmData:
    shards = [toy_shard(seed, views) for seed in range(1, towns + 1)]
    return VlmData(shards, [toy_truth(s) for s in shards], QUESTIONS, image_px)


def toy_prompts() -> Prompts:
    return Prompts(QUESTIONS)

# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from made_vectors import nearest, unit, views, walks

from geoloc_ros.index.codes import STORAGES, Codes, default_storage

#: largest error of a similarity, share of the ten nearest kept, bytes per dimension
BOUNDS = {
    "int8": (8e-3, 0.90, 1.0),
    "int12": (5e-4, 0.99, 1.5),
    "float16": (1e-3, 0.99, 3.0),
    "float32": (1e-6, 1.0, 5.0),
}


@pytest.mark.parametrize("dim", [1, 3, 64, 130])
@pytest.mark.parametrize("storage", STORAGES)
def test_what_is_stored_compares_like_what_was_given(storage, dim):
    vectors = walks(500, dim)
    codes = Codes.encode(vectors, storage)
    assert (len(codes), codes.dim) == (500, dim)
    most, _, _ = BOUNDS[storage]
    for query in views(vectors, 20):
        found = codes.similarity(query)
        assert found.dtype == np.float32
        assert np.abs(found - vectors @ query).max() < most
        assert np.allclose(
            codes.decode() @ query, found, atol=1e-3 if storage == "float16" else 1e-4
        )
    assert np.allclose(np.linalg.norm(codes.decode(), axis=1), 1.0, atol=1e-5)
    assert np.abs(codes.lengths() - 1.0).max() < 0.02


@pytest.mark.parametrize("storage", STORAGES)
def test_the_nearest_stay_the_nearest_and_the_size_is_as_promised(storage):
    vectors = walks(5000, 128)
    codes = Codes.encode(vectors, storage)
    queries = views(vectors, 100)
    exact = nearest(vectors, queries, 10)
    found = [np.argsort(-codes.similarity(query))[:10] for query in queries]
    kept = np.mean([len(np.intersect1d(*pair)) for pair in zip(exact, found, strict=True)]) / 10
    _, least, per_dim = BOUNDS[storage]
    assert kept >= least
    assert codes.nbytes / 5000 <= 128 * per_dim + 4.2


@pytest.mark.parametrize("storage", STORAGES)
def test_some_rows_are_those_of_all(storage):
    vectors = walks(200, 30)
    codes = Codes.encode(vectors, storage)
    rows = np.array([3, 199, 0, 3])
    query = vectors[7]
    assert np.allclose(codes.similarity(query, rows), codes.similarity(query)[rows], atol=1e-6)
    assert np.array_equal(codes.decode(rows), codes.decode()[rows])
    assert codes.similarity(query, rows[:0]).shape == (0,)
    for wrong in ([200], [-201]):
        with pytest.raises(IndexError):
            codes.similarity(query, np.array(wrong))


def test_rows_from_the_end_are_no_rows():
    codes = Codes.encode(walks(20, 8), "int12")
    with pytest.raises(IndexError, match=r"rows -1\.\.3 of 20"):
        codes.similarity(codes.decode()[0], np.array([3, -1]))


@pytest.mark.parametrize("storage", STORAGES)
def test_the_same_vectors_give_the_same_bytes(storage):
    one, other = (Codes.encode(walks(100, 17), storage) for _ in range(2))
    assert np.array_equal(one.coarse, other.coarse)
    assert np.array_equal(one.scale, other.scale)
    assert storage == "int8" or np.array_equal(one.fine, other.fine)


@pytest.mark.parametrize("storage", STORAGES)
def test_one_vector_and_dimensions_that_are_always_zero(storage):
    vector = np.zeros((1, 9), dtype=np.float32)
    vector[0, 4] = -1.0
    codes = Codes.encode(vector, storage)
    assert np.allclose(codes.decode(), vector, atol=1e-6)
    assert codes.similarity(vector[0])[0] == pytest.approx(1.0, abs=1e-4)
    assert codes.similarity(np.zeros(9, dtype=np.float32))[0] == 0.0


def test_an_odd_vector_among_many_is_not_cut():
    vectors = np.concatenate([walks(3000, 32), unit(np.eye(32)[:3])])
    codes = Codes.encode(vectors, "int12")
    assert np.abs(codes.decode() - vectors).max() < 5e-3


@pytest.mark.parametrize("code", [-128, 127])
@pytest.mark.parametrize("dim", [2, 36, 512, 4096])
def test_no_sum_overflows_whatever_the_codes(code, dim):
    codes = Codes(
        np.full((2, dim), code, dtype=np.int8),
        np.full(dim, 1.0, dtype=np.float32),
        np.full((2, dim // 2), 255 if code > 0 else 0, dtype=np.uint8),
    )
    query = unit(np.ones((1, dim)))[0]
    found = codes.similarity(query)
    assert found[0] == pytest.approx(np.sign(code), abs=3e-3)


@pytest.mark.parametrize("size", [1e-30, 1e-12, 1e10])
def test_a_query_of_any_length_is_compared(size):
    vectors = walks(50, 513)
    codes = Codes.encode(vectors, "int12")
    found = codes.similarity((size * vectors[7]).astype(np.float32))
    assert np.allclose(found / size, vectors @ vectors[7], atol=2e-3)


def test_products_are_those_of_the_whole_numbers():
    rng = np.random.default_rng(5)
    codes = Codes.encode(walks(50, 33), "int12")
    query = rng.normal(size=33).astype(np.float32)
    bits = np.stack([codes.fine & 15, codes.fine >> 4], axis=1)
    numbers = 16.0 * codes.coarse + bits.reshape(50, -1)[:, :33] - 8.0
    vectors = numbers * (codes.scale / 16.0)
    wanted = vectors @ query / np.linalg.norm(vectors, axis=1)
    assert np.allclose(codes.similarity(query), wanted, atol=1e-4)


@pytest.mark.parametrize(("dim", "storage"), [(128, "int12"), (511, "int12"), (512, "int8")])
def test_long_descriptors_need_fewer_bits(dim, storage):
    assert default_storage(dim) == storage

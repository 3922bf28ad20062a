from dataclasses import dataclass, replace

from builder.capture.gemm import Product, choose
from builder.capture.targets import TARGETS


@dataclass(frozen=True)
class Tile:
    block_m: int
    block_n: int
    block_k: int
    num_stages: int
    num_warps: int


TOY = Tile(32, 32, 16, 1, 2)
TILES = [TOY, Tile(64, 64, 32, 2, 4), Tile(64, 128, 32, 3, 4), Tile(128, 64, 32, 3, 4)]
TILES += [Tile(128, 128, 32, 3, 4), Tile(128, 128, 64, 3, 4), Tile(128, 256, 64, 4, 8)]
LARGE = Product(4096, 4096, 1024, 2)


def test_a_large_product_gets_no_toy_tile():
    chosen = {choose(TILES, LARGE, TARGETS["cuda:90"], seed)[0] for seed in range(64)}
    assert TOY not in chosen
    assert all(tile.block_m * tile.block_n >= 64 * 128 for tile in chosen)


def test_seeds_spread_the_choice_and_repeat_it():
    choices = [choose(TILES, LARGE, TARGETS["cuda:90"], seed)[0] for seed in range(64)]
    assert len(set(choices)) >= 3
    assert choices == [choose(TILES, LARGE, TARGETS["cuda:90"], seed)[0] for seed in range(64)]


def test_a_tile_that_does_not_fit_shared_memory_is_not_chosen():
    big = Tile(128, 256, 64, 4, 8)
    product = Product(4096, 4096, 4096, 4)
    for seed in range(32):
        assert choose([big, TILES[1]], product, TARGETS["cuda:86"], seed) == [TILES[1]]


def test_what_is_loaded_is_held_in_shared_memory():
    from_int64 = replace(LARGE, loaded=8)
    chosen = {choose(TILES, from_int64, TARGETS["cuda:90"], seed)[0] for seed in range(32)}
    for tile in chosen:
        held = tile.num_stages * (tile.block_m + tile.block_n) * tile.block_k * 8
        assert held <= TARGETS["cuda:90"].shared_memory


def test_no_offer_gives_no_choice():
    assert choose([], LARGE, TARGETS["cuda:90"], 0) == []

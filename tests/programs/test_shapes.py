from random import Random

import pytest

from builder.programs import shapes
from builder.programs.rng import item_rng, item_seed


def test_draw_stays_within_bounds():
    rng = Random(0)
    drawn = {shapes.draw(rng, shapes.HIDDEN, 256, 1024, multiple=64) for _ in range(200)}
    assert len(drawn) > 5
    assert all(256 <= size <= 1024 and size % 64 == 0 for size in drawn)


def test_draw_says_what_it_cannot_do():
    with pytest.raises(ValueError, match="multiple of 7"):
        shapes.draw(Random(0), shapes.HEADS, multiple=7, low=8)


def test_batches_keep_the_budget():
    rng = Random(0)
    for _ in range(300):
        hidden = shapes.draw(rng, shapes.HIDDEN)
        batch, sequence = shapes.token_batch(rng, hidden, 1 << 20)
        assert batch >= 2
        assert batch * sequence * hidden <= 1 << 20
        channels = shapes.draw(rng, shapes.CHANNELS)
        images, height, width = shapes.image_batch(rng, channels, 1 << 20)
        assert images * channels * height * width <= 1 << 20


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 127, 128, 4096])
def test_other_sizes_differ_and_one_is_odd(size):
    for seed in range(50):
        sizes = shapes.other_sizes(Random(seed), size)
        assert len({size, *sizes}) == 4
        assert min(sizes) >= 2
        assert sizes[1] % 2 == 1


def test_item_generators_depend_on_all_three():
    seeds = {item_seed(*key) for key in ((0, 0, "a"), (1, 0, "a"), (0, 1, "a"), (0, 0, "b"))}
    assert len(seeds) == 4
    assert item_rng(3, 4, "x").random() == item_rng(3, 4, "x").random()

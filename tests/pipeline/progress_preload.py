"""A module that shows a progress bar while it warms up."""


def warm_up():
    from tqdm import tqdm

    assert sum(tqdm(range(3), disable=False)) == 3

"""Plain names for what Triton's templates call ``pid_m``, ``offs_a_m`` and ``idx_y_w``.

The names are those of ``torch/_inductor/kernel/templates`` and ``kernel/flex/templates`` of torch
2.11 to 2.13.  A name that is not listed stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_NAMES = {
    # products
    "pid_m": "tile_row", "pid_n": "tile_col", "grid_m": "row_tiles", "grid_n": "col_tiles",
    "rm": "out_rows", "rn": "out_cols", "rk": "inner", "ram": "a_rows", "rbn": "b_cols",
    "offs_a_m": "a_rows", "offs_b_n": "b_cols", "offs_k": "inner", "idx_m": "row", "idx_n": "col",
    "a_k_idx_vals": "a_inner", "b_k_idx_vals": "b_inner", "idx_q": "batch", "k_idx": "step",
    "idx_q_clamped": "batch_clamped",
    # convolutions
    "nhw": "out_pixels", "nh": "out_lines", "ndhw": "out_voxels", "ndh": "out_lines",
    "nd": "out_slices",
    "idx_y_d": "out_planes", "idx_y_h": "out_rows", "idx_y_w": "out_cols",
    "idx_y_c": "out_channels",
    "idx_x_d": "in_planes", "idx_x_h": "in_rows", "idx_x_w": "in_cols", "idx_x_c": "in_channels",
    "idx_d": "out_plane", "idx_h": "out_row", "idx_w": "out_col", "idx_c": "channel",
    "x_base": "input_base", "w_base": "weight_base", "x_ptrs": "input_ptrs",
    "w_ptrs": "weight_ptrs", "mask_x": "input_mask", "mask_w": "weight_mask",
    "matrix_x": "input_tile", "matrix_w": "weight_tile", "ij": "tap", "ijk": "step",
    # attention
    "m_i": "row_max", "l_i": "row_sum", "m_ij": "new_row_max", "offs_m": "query_rows",
    "offs_n": "key_rows", "desc_q": "query_desc", "desc_k": "key_desc", "desc_v": "value_desc",
    "off_z": "batch", "off_g": "group", "off_hq": "query_head", "off_hkv": "key_head",
    "sparse_idx_z": "mask_batch", "sparse_idx_hq": "mask_head", "sparse_idx_h": "mask_head",
    "start_m": "query_start", "start_n": "key_start", "idx_zq": "query_batch",
    "stride_kv_idx_h": "block_head_stride", "stride_kv_idx_m": "block_row_stride",
    "stride_kv_num_blks_h": "block_count_stride",
    "stride_full_kv_idx_h": "full_block_head_stride",
    "stride_full_kv_idx_m": "full_block_row_stride",
    "stride_full_kv_num_blks_h": "full_block_count_stride",
}  # fmt: skip
_OF_CONVOLUTIONS = {"idx_n": "image", "i": "tap_row", "j": "tap_col", "d": "tap_plane"}


def template_names(found: Collection[str]) -> dict[str, str]:
    """New names by the old ones.

    Args:
        found: names that a kernel uses.
    """
    return _NAMES | _OF_CONVOLUTIONS if "idx_y_c" in found else _NAMES

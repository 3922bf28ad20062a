"""Pools of names that people give to sizes, constructor arguments and inputs."""

from __future__ import annotations

ROLE_NAMES: dict[str, tuple[str, ...]] = {
    "batch": ("batch_size", "batch", "B", "N"),
    "seq": ("seq_len", "length", "num_tokens", "T"),
    "queries": ("num_queries", "query_len", "T_q"),
    "keys": ("num_keys", "key_len", "T_k"),
    "rows": ("num_rows", "rows", "M"),
    "columns": ("num_columns", "columns", "N"),
    "hidden": ("hidden_size", "dim", "d_model", "features", "embed_dim"),
    "inner": ("intermediate_size", "inner_dim", "d_ff", "hidden_features"),
    "in_features": ("in_features", "input_size", "in_dim", "K"),
    "out_features": ("out_features", "output_size", "out_dim"),
    "heads": ("num_heads", "n_heads", "heads"),
    "kv_heads": ("num_kv_heads", "n_kv_heads", "kv_heads"),
    "head_dim": ("head_dim", "d_head", "head_size"),
    "channels": ("channels", "num_channels", "C", "in_channels"),
    "out_channels": ("out_channels", "num_filters", "planes"),
    "groups": ("num_groups", "groups"),
    "height": ("height", "H"),
    "width": ("width", "W"),
    "vocab": ("vocab_size", "num_embeddings", "n_vocab"),
    "classes": ("num_classes", "n_classes", "classes"),
    "num_experts": ("num_experts", "n_experts", "experts"),
    "past": ("cache_len", "past_len", "context_len", "S"),
    "latent": ("latent_dim", "kv_rank", "kv_lora_rank", "rank"),
    "cap": ("soft_cap", "softcap", "cap"),
    "eps": ("eps", "epsilon", "variance_epsilon"),
    "scale": ("scale", "scaling", "factor"),
}

INPUT_NAMES: dict[str, tuple[str, ...]] = {
    "tokens": ("x", "hidden_states", "inputs", "tokens", "hidden"),
    "images": ("x", "images", "feature_map", "inputs", "features"),
    "matrix": ("x", "inputs", "a", "data", "values"),
    "logits": ("logits", "scores", "predictions", "x"),
    "labels": ("target", "labels", "targets", "y"),
    "mask": ("mask", "attention_mask", "valid", "keep"),
    "residual": ("residual", "skip", "shortcut", "identity"),
}

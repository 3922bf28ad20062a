"""What host code of a Triton file may name: the contract's lists."""

from __future__ import annotations


def names(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())


IMPORTS = frozenset({"__future__", "math", "torch", "triton", "typing"})

FORBIDDEN_WORDS = names(
    "_C _dynamo _inductor async_compile extern_kernels __globals__ __builtins__ __subclasses__ "
    "__dict__ __code__ __mro__ __bases__ __base__ __import__ __loader__ __spec__ __self__ __func__ "
    "__closure__ __wrapped__ __getattribute__ __setattr__ __delattr__ __reduce__ __reduce_ex__ "
    "f_globals f_builtins f_locals f_back tb_frame gi_frame cr_frame"
)
FORBIDDEN_BUILTINS = names("__import__ breakpoint compile eval exec globals locals open")

REFLECTION = names("delattr getattr setattr vars")
CODE_LOADERS = names(
    "cpp_extension hub package serialization register_module_backward_hook "
    "register_module_buffer_registration_hook register_module_forward_hook "
    "register_module_forward_pre_hook register_module_full_backward_hook "
    "register_module_module_registration_hook register_module_parameter_registration_hook"
)
FOREIGN_MODULES = names(
    "builtins ctypes gc importlib inspect io multiprocessing os pathlib pickle shutil socket "
    "subprocess sys threading types warnings"
)

ALLOCATIONS = names("empty empty_like empty_permuted empty_strided zeros zeros_like")
VIEW_FUNCTIONS = names(
    "as_strided broadcast_to diagonal flatten movedim moveaxis narrow permute ravel real reshape "
    "select squeeze swapaxes swapdims t transpose unbind unflatten unsqueeze view_as_complex "
    "view_as_real chunk split tensor_split"
)
RETURN_TYPES = names(
    "aminmax cummax cummin frexp kthvalue linalg_cholesky_ex linalg_eig linalg_eigh linalg_inv_ex "
    "linalg_ldl_factor linalg_ldl_factor_ex linalg_lu linalg_lu_factor linalg_lu_factor_ex "
    "linalg_qr linalg_slogdet linalg_solve_ex linalg_svd max median min mode nanmedian sort topk"
)
HOST_TORCH = frozenset(
    f"torch.{name}"
    for name in ALLOCATIONS | VIEW_FUNCTIONS | {f"return_types.{name}" for name in RETURN_TYPES}
) | names(
    "torch.device torch.Size torch.is_tensor torch.is_grad_enabled torch.no_grad "
    "torch.enable_grad torch.initial_seed torch.finfo torch.iinfo torch.cuda.device "
    "torch.cuda.current_device torch.cuda.get_device_properties torch.get_default_dtype "
    "torch.is_floating_point torch.numel"
)
TRITON_HOST = frozenset({"triton.cdiv", "triton.next_power_of_2", "triton.set_allocator"})

METADATA_METHODS = names(
    "data_ptr dim element_size get_device is_complex is_contiguous is_floating_point ndimension "
    "nelement numel size storage_offset stride untyped_storage requires_grad_"
)
VIEW_METHODS = VIEW_FUNCTIONS | names(
    "detach diagonal expand expand_as imag mT unfold view view_as"
)
ALLOCATION_METHODS = names("new_empty new_empty_strided new_zeros zero_")
CONTAINER_METHODS = names(
    "append extend format get index insert items join keys pop setdefault update values "
    "apply save_for_backward mark_dirty mark_non_differentiable set_materialize_grads"
)
HOST_METHODS = METADATA_METHODS | VIEW_METHODS | ALLOCATION_METHODS | CONTAINER_METHODS

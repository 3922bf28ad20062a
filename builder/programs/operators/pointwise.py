"""Operators that work element by element."""

from __future__ import annotations

from builder.programs.operators.registry import table

table("activation", "float", {
    "relu": ("torch.relu({x})", "F.relu({x})", "{x}.relu()", "{x}.clamp(min=0)", "nn.ReLU()"),
    "gelu": ("F.gelu({x})", "nn.GELU()"),
    "gelu_tanh": ('F.gelu({x}, approximate="tanh")', 'nn.GELU(approximate="tanh")'),
    "silu": ("F.silu({x})", "{x} * torch.sigmoid({x})", "nn.SiLU()"),
    "leaky_relu": ("F.leaky_relu({x}, {slope})", "nn.LeakyReLU({slope})"),
    "elu": ("F.elu({x})", "F.elu({x}, alpha={alpha})", "nn.ELU()"),
    "selu": ("F.selu({x})", "torch.selu({x})", "nn.SELU()"),
    "celu": ("F.celu({x}, alpha={alpha})", "nn.CELU({alpha})"),
    "hardswish": ("F.hardswish({x})", "nn.Hardswish()"),
    "hardtanh": ("F.hardtanh({x})", "{x}.clamp(-1, 1)", "nn.Hardtanh()"),
    "relu6": ("F.relu6({x})", "{x}.clamp(0, 6)", "nn.ReLU6()"),
    "mish": ("F.mish({x})", "{x} * torch.tanh(F.softplus({x}))", "nn.Mish()"),
    "softplus": ("F.softplus({x})", "nn.Softplus()"),
    "softsign": ("F.softsign({x})", "{x} / (1 + {x}.abs())", "nn.Softsign()"),
    "tanhshrink": ("F.tanhshrink({x})", "{x} - torch.tanh({x})", "nn.Tanhshrink()"),
    "squared_relu": ("torch.relu({x}).square()", "F.relu({x}) ** 2"),
    "quick_gelu": ("{x} * torch.sigmoid(1.702 * {x})",),
})  # fmt: skip

table("activation", "moderate", {
    "sigmoid": ("torch.sigmoid({x})", "{x}.sigmoid()", "F.sigmoid({x})", "nn.Sigmoid()"),
    "tanh": ("torch.tanh({x})", "{x}.tanh()", "nn.Tanh()"),
    "hardsigmoid": ("F.hardsigmoid({x})", "nn.Hardsigmoid()"),
    "logsigmoid": ("F.logsigmoid({x})", "nn.LogSigmoid()"),
    "softshrink": ("F.softshrink({x}, {slope})", "nn.Softshrink({slope})"),
    "hardshrink": ("F.hardshrink({x}, {slope})",),
    "threshold": ("F.threshold({x}, {slope}, 0.0)",),
})  # fmt: skip

table("unary", "moderate", {
    "exp": ("torch.exp({x})", "{x}.exp()", "torch.exp(-{x})"),
    "exp2": ("torch.exp2({x})", "2.0 ** {x}"),
    "expm1": ("torch.expm1({x})", "{x}.expm1()"),
    "sinh": ("torch.sinh({x})",),
    "cosh": ("torch.cosh({x})",),
    "erf": ("torch.erf({x})", "torch.special.erf({x})"),
    "erfc": ("torch.erfc({x})",),
    "atan": ("torch.atan({x})", "{x}.atan()"),
    "asinh": ("torch.asinh({x})",),
    "sinc": ("torch.sinc({x})",),
})  # fmt: skip

table("unary", "float", {
    "sin": ("torch.sin({x})", "{x}.sin()"),
    "cos": ("torch.cos({x})", "{x}.cos()"),
    "abs": ("{x}.abs()", "torch.abs({x})"),
    "neg": ("-{x}", "torch.neg({x})"),
    "square": ("{x}.square()", "{x} ** 2", "{x} * {x}", "torch.square({x})"),
    "signed_sqrt": ("torch.sign({x}) * {x}.abs().sqrt()",),
    "clamp": ("{x}.clamp(-{bound}, {bound})", "torch.clamp({x}, min=-{bound}, max={bound})"),
    "clamp_max": ("{x}.clamp(max={bound})", "torch.clamp({x}, max={bound})"),
    "scale": ("{scale} * {x}", "{x} * {scale}"),
    "shift": ("{x} + {offset}", "{x} - {offset}", "1.0 - {x}"),
    "shrink_by": ("{x} / {bound}",),
    "cube": ("{x} ** 3", "torch.pow({x}, 3)"),
    "positive_part": ("torch.where({x} > 0, {x}, {slope} * {x})",),
})  # fmt: skip

table("unary", "positive", {
    "log": ("torch.log({x})", "{x}.log()"),
    "log2": ("torch.log2({x})", "{x}.log2()"),
    "log10": ("torch.log10({x})",),
    "log1p": ("torch.log1p({x})", "{x}.log1p()"),
    "sqrt": ("torch.sqrt({x})", "{x}.sqrt()"),
    "rsqrt": ("torch.rsqrt({x})", "{x}.rsqrt()", "1.0 / torch.sqrt({x})"),
    "reciprocal": ("{x}.reciprocal()", "1.0 / {x}", "torch.reciprocal({x})"),
    "power": ("{x} ** 0.75", "torch.pow({x}, 1.5)"),
})  # fmt: skip

table("unary", "unit", {
    "logit": ("torch.logit({x}, eps=1e-3)",),
    "entropy_term": ("-{x} * torch.log({x} + 1e-3)",),
    "asin": ("torch.asin({x} * 0.99)",),
    "acos": ("torch.acos({x} * 0.99)",),
    "atanh": ("torch.atanh({x} * 0.9)",),
})  # fmt: skip

table("rounding", "single", {
    "floor": ("torch.floor({x})", "{x}.floor()"),
    "ceil": ("torch.ceil({x})", "{x}.ceil()"),
    "round": ("torch.round({x})", "{x}.round()", "torch.round({x} * 4.0) / 4.0"),
    "trunc": ("torch.trunc({x})",),
    "fmod": ("torch.fmod({x}, {bound})",),
    "remainder": ("torch.remainder({x}, {bound})", "{x} % {bound}"),
    "frac": ("torch.frac({x})", "{x} - {x}.floor()"),
    "sign": ("torch.sign({x})", "{x}.sign()"),
})  # fmt: skip

table("binary", "float broad", {
    "add": ("{x} + {y}", "torch.add({x}, {y})", "{x} + {scale} * {y}"),
    "sub": ("{x} - {y}", "torch.sub({x}, {y})", "{y} - {x}"),
    "mul": ("{x} * {y}", "torch.mul({x}, {y})", "{x} * (1 + {y})"),
    "maximum": ("torch.maximum({x}, {y})", "torch.max({x}, {y})"),
    "minimum": ("torch.minimum({x}, {y})", "torch.min({x}, {y})"),
    "squared_difference": ("({x} - {y}).square()", "({x} - {y}) ** 2"),
    "absolute_difference": ("({x} - {y}).abs()", "torch.abs({x} - {y})"),
    "gate": ("{x} * torch.sigmoid({y})", "{x} * {y}.sigmoid()"),
    "swiglu": ("F.silu({x}) * {y}", "{x} * F.silu({y})"),
    "geglu": ("F.gelu({x}) * {y}", "{x} * F.gelu({y})"),
    "residual_tanh": ("{x} + torch.tanh({y})",),
    "hypot": ("torch.hypot({x}, {y})", "torch.sqrt({x} * {x} + {y} * {y})"),
    "logaddexp": ("torch.logaddexp({x}, {y})",),
    "copysign": ("torch.copysign({x}, {y})",),
    "lerp": ("torch.lerp({x}, {y}, {share})", "{x} + {share} * ({y} - {x})"),
    "fmax": ("torch.fmax({x}, {y})",),
    "fmin": ("torch.fmin({x}, {y})",),
})  # fmt: skip

table("binary", "float broad_positive", {
    "div": ("{x} / {y}", "torch.div({x}, {y})", "{x} / ({y} + 1.0)"),
    "pow": ("torch.pow({y}, torch.tanh({x}))", "{y} ** torch.sigmoid({x})"),
    "atan2": ("torch.atan2({x}, {y})",),
    "xlogy": ("torch.xlogy({x}, {y})", "{x} * torch.log({y})"),
})  # fmt: skip

table("binary", "single broad_single", {
    "heaviside": ("torch.heaviside({x}, {y})",),
})  # fmt: skip

table("ternary", "float broad broad", {
    "addcmul": ("torch.addcmul({x}, {y}, {z})", "{x} + {y} * {z}",
                "torch.addcmul({x}, {y}, {z}, value={scale})"),
    "lerp_tensor": ("torch.lerp({x}, {y}, torch.sigmoid({z}))",
                    "{x} + torch.sigmoid({z}) * ({y} - {x})"),
    "modulate": ("{x} * (1 + {y}) + {z}", "(1 + {y}) * {x} + {z}"),
})  # fmt: skip

table("ternary", "float broad broad_positive", {
    "addcdiv": ("torch.addcdiv({x}, {y}, {z})", "{x} + {y} / {z}"),
    "standardise": ("({x} - {y}) / {z}",),
})  # fmt: skip

table("compare", "single broad_single", {
    "gt": ("{x} > {y}", "torch.gt({x}, {y})"),
    "ge": ("{x} >= {y}", "torch.ge({x}, {y})"),
    "lt": ("{x} < {y}", "torch.lt({x}, {y})"),
    "le": ("{x} <= {y}",),
})  # fmt: skip

table("compare", "single", {
    "gt_number": ("{x} > {offset}", "{x} >= {offset}"),
    "lt_number": ("{x} < {offset}", "{x}.abs() < {bound}"),
    "is_near": ("torch.isclose({x}, torch.zeros_like({x}), atol={bound})",),
})  # fmt: skip

table("logic", "mask mask_like", {
    "logical_and": ("{x} & {y}", "torch.logical_and({x}, {y})"),
    "logical_or": ("{x} | {y}", "torch.logical_or({x}, {y})"),
    "logical_xor": ("{x} ^ {y}", "torch.logical_xor({x}, {y})"),
})  # fmt: skip

table("logic", "mask", {
    "logical_not": ("~{x}", "torch.logical_not({x})"),
    "mask_to_float": ("{x}.float()", "{x}.to(torch.float32)"),
})  # fmt: skip

table("select", "float mask_of", {
    "masked_fill": ("{x}.masked_fill(~{y}, 0.0)", "{x}.masked_fill(~{y}, {offset})",
                    "torch.masked_fill({x}, ~{y}, -{bound})"),
    "mask_out": ("torch.where({y}, {x}, 0.0)", "{x} * {y}.to({x}.dtype)"),
})  # fmt: skip

table("select", "float broad mask_of", {
    "where": ("torch.where({z}, {x}, {y})", "torch.where(~{z}, {y}, {x})"),
})  # fmt: skip

table("cast", "narrow", {
    "float": ("{x}.float()", "{x}.to(torch.float32)"),
})  # fmt: skip


table("join", "float other", {
    "add_mean": ("{x} + {y}.mean()", "{x} - {y}.mean()"),
    "scale_by_mean": ("{x} * {y}.mean()", "{x} * (1.0 + {y}.mean())"),
})  # fmt: skip

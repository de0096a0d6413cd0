"""Exponentials, trigonometry, special functions."""

from __future__ import annotations

import torch
from op_rows import FLOATS, INTEGERS, Row, binary, pointwise, run_row, unary

REAL = (torch.float32, torch.float64)


def polynomial(name: str) -> Row:
    function = getattr(torch.special, name)
    return binary(name, lambda x, n: function(x, n.round()), dtypes=REAL, low=0.0, high=4.0, scale=64, grad=False)


FUNCTIONS = [
    binary("atan2", scale=4),
    binary("hypot", scale=4),
    binary("logaddexp", scale=4),
    binary("logaddexp2", scale=4),
    binary("xlogy", low=0.1, scale=4),
    *(unary(name, dtypes=(*FLOATS, torch.int64, torch.bool), scale=4) for name in ("exp", "exp2", "expm1", "sin", "cos", "atan", "sinh", "cosh", "tanh")),
    *(unary(name, dtypes=(*FLOATS, torch.int64), scale=4) for name in ("asinh", "erf", "erfc", "sigmoid")),
    *(unary(name, low=0.2, scale=4) for name in ("log", "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal", "lgamma")),
    unary("digamma", low=0.2, scale=4, grad=False),
    *(unary(name, low=-0.9, high=0.9, scale=8) for name in ("asin", "acos", "atanh", "erfinv", "tan")),
    unary("acosh", low=1.2, scale=8),
    unary("log_int", lambda x: torch.log(x + 1), dtypes=(*INTEGERS, torch.bool), low=0, grad=False),
    unary("sqrt_int", torch.sqrt, dtypes=(*INTEGERS, torch.bool), low=0, grad=False),
    unary("reciprocal_int", lambda x: torch.reciprocal(x + 1), dtypes=INTEGERS, low=0, grad=False),
    unary("log_negative", lambda x: torch.log(x), grad=False),
    unary("logit", lambda x: torch.logit(x, eps=1e-3), low=0.0, high=1.0, scale=16),
    unary("deg2rad", scale=4),
    # special functions
    unary("sinc", scale=8),
    unary("i0", scale=8),
    unary("digamma_gradient", torch.digamma, low=0.3, scale=8),
    *(unary(name, getattr(torch.special, name), dtypes=REAL, scale=8) for name in ("i0e", "i1", "i1e", "erfcx", "log_ndtr", "ndtr")),
    unary("entr", torch.special.entr, dtypes=REAL, low=-0.5, scale=4, grad=False),
    unary("entr_gradient", torch.special.entr, dtypes=REAL, low=0.1, scale=4),
    unary("ndtri", torch.special.ndtri, dtypes=REAL, low=0.02, high=0.98, scale=8),
    *(unary(name, getattr(torch.special, name), dtypes=REAL, low=0.1, scale=8, grad=False) for name in ("airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "modified_bessel_i0", "modified_bessel_i1", "modified_bessel_k0", "modified_bessel_k1", "scaled_modified_bessel_k0", "scaled_modified_bessel_k1", "spherical_bessel_j0")),
    *map(polynomial, ("chebyshev_polynomial_t", "chebyshev_polynomial_u", "chebyshev_polynomial_v", "chebyshev_polynomial_w", "shifted_chebyshev_polynomial_t", "shifted_chebyshev_polynomial_u", "shifted_chebyshev_polynomial_v", "shifted_chebyshev_polynomial_w", "hermite_polynomial_h", "hermite_polynomial_he", "laguerre_polynomial_l", "legendre_polynomial_p")),
    unary("hermite_number", lambda x: torch.special.hermite_polynomial_h(x, 3), dtypes=REAL, scale=64, grad=False),
    unary("legendre_of_number", lambda n: torch.special.legendre_polynomial_p(0.5, n.round()), dtypes=REAL, low=0, scale=64, grad=False),
    binary("zeta", torch.special.zeta, dtypes=REAL, low=1.5, scale=8, grad=False),
    unary("zeta_number", lambda x: torch.special.zeta(2.0, x), dtypes=REAL, low=1.5, scale=8, grad=False),
    *(unary(f"polygamma_{n}", lambda x, n=n: torch.polygamma(n, x), dtypes=REAL, low=0.3, scale=16, grad=n < 3) for n in (0, 1, 2, 3)),
    unary("mvlgamma", lambda x: torch.mvlgamma(x, 2), dtypes=REAL, low=1.2, scale=8, extern=True),
    binary("igamma", dtypes=REAL, low=0.2, scale=8, grad=False),
    binary("igammac", dtypes=REAL, low=0.2, scale=8, grad=False),
    binary("xlog1py", torch.special.xlog1py, low=0.1, scale=4),
    unary("xlog1py_number", lambda x: torch.special.xlog1py(2.5, x) + torch.special.xlog1py(x, 0.5), low=0.1, scale=4),
    unary("xlogy_number", lambda x: torch.xlogy(2.5, x) + torch.xlogy(x, 0.5), low=0.1, scale=4),
    unary("angle", dtypes=(*FLOATS, torch.int64, torch.bool), grad=False),
    unary("frexp", lambda x: torch.frexp(x), dtypes=FLOATS, grad=False),
    binary("ldexp", lambda x, n: torch.ldexp(x, n.round()), scale=4, grad=False),
    unary("logit_plain", lambda x: torch.logit(x), low=0.05, high=0.95, scale=8),
    unary("rad2deg", scale=4),
]  # fmt: skip


@pointwise(FUNCTIONS)
def test_function(row: Row, dtype: torch.dtype) -> None:
    run_row(row, dtype)

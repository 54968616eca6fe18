#!/usr/bin/env python3
"""Writes src/base/pow10.inc: the powers of ten that bp_decimal_f64() multiplies by.

g(k) = ceil(10^k * 2^-(floor(log2(10^k)) - 127)), k = -292..324, as two 64-bit words.
"""
import os

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def power(k):
    if k >= 0:
        n = 10 ** k
        shift = n.bit_length() - 128
        return -(-n >> shift) if shift > 0 else n << -shift
    d = 10 ** -k
    bits = d.bit_length() + 127  # 2^bits / d lies in [2^127, 2^128)
    g = -(-(1 << bits) // d)
    assert 1 << 127 <= g < 1 << 128
    return g


with open(os.path.join(ROOT, "src/base/pow10.inc"), "w") as f:
    f.write("/* Made by tools/make-pow10.py, which says what the numbers are. */\n")
    for k in range(-292, 325):
        g = power(k)
        f.write(f"{{ 0x{g >> 64:016x}, 0x{g & (1 << 64) - 1:016x} }}, /* {k} */\n")

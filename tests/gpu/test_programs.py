"""Whole random programs on the kernels of a GPU: value, gradient and second derivative."""

from __future__ import annotations

from hypothesis import given, settings

from chainrule.testing import Program, check_program, programs


@settings(max_examples=20)
@given(programs())
def test_random_programs_agree_with_the_cpu(program: Program):
    check_program(program, devices=["emulated"])

"""Gradient checking: oracles of derivatives, and what is compared with them."""

"""Exact values and gradients: by quadrature, enumeration, integral or closed form; `auto.exact` chooses."""

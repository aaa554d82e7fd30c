"""Reductions of per-example gradients without the gradients: formulas of factors, and where in a graph they hold."""

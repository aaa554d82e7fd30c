"""Property checks of pure functions: one call, one verdict, and no chance in any of them."""

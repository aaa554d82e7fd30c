"""Wrong versions made of the user's own object, and what the checks that fit it make of them."""

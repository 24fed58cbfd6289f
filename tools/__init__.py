"""Programs for maintainers; nothing of the product imports them."""

"""AWS's managed policies that exist here, read-only: one JSON file each, and the `catalogue` that reads them."""

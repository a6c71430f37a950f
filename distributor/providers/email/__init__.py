"""Who takes mail: one file a vendor."""

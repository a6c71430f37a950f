"""Who gets what, when: pure decisions on values; clocks, files and tables stay outside."""

"""The audience: people, lists and subscriptions. It knows nothing of sending."""

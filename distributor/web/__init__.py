"""The web endpoint: where readers, forms and providers' events arrive."""

"""The multimodal model that we train ourselves: small, offline, and at home only in its own domain's drawings."""

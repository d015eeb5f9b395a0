"""How users, items and modalities meet: ``bridge`` (graphs), ``fusion`` (putting modalities together), ``filtration`` (leaving noise out)."""

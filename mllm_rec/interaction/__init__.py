"""How users, items and modalities meet: ``bridge`` (graphs), ``contents`` (what systems read), ``fusion`` (putting modalities together), ``filtration`` (leaving noise out)."""

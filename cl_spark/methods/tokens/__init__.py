"""Token classification: sentences whose every token has a label, such as the names in a text."""

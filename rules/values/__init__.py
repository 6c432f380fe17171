"""The values of an action: literals, `{{ … }}` templates and filters, checked and filled in."""

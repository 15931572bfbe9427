"""The file store: `store` is the way in; `layout` and `saving` say what it does on the disk."""

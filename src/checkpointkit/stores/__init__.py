"""Stores: `base` is the contract, `memory` and `files` are two that keep it."""

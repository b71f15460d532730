"""Policies: the network, bundles on disk, and the runtime that serves and swaps them."""

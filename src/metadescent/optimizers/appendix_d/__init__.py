"""Rules whose coordinates communicate: global averages and memories (appendix D)."""

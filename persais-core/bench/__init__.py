"""How fast and how large: this framework beside a minimal bot, measured in one run on one machine.

Figures are ratios, because machines differ and are noisy. Nothing is judged: a bench prints, and a person reads.
"""

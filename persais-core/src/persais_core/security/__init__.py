"""Who may do what, what may be shown, and where untrusted code runs."""

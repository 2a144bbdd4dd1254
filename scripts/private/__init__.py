"""Parts of scripts/privacy.py and scripts/membership.py."""

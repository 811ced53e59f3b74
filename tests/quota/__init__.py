"""The quota: that it never lets too much through, and wastes little."""

"""The Lead Provider API in parts: its terms, what it is asked, what it answers, what it refuses.

One idea: each module answers one question, and `gateway.contracts.lead_provider_v3` puts them
together. A § names the section of the API's description that a rule was taken from.
"""

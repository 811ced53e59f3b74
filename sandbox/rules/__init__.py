"""What may be done to the world through the API, and the words in which the rest is refused.

Every rule is a function of the state, the request and the time. It answers with the changes to
write, or with the refusal; it writes nothing itself.
"""

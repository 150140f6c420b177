"""The promises, judged by the true state of the world; of a listener's beliefs, only its journal counts.

Each act is judged at the moment when it is sent. What the documentation leaves open is left open here:
a slot that Redis lost, or that ran out with its machine silent, counts for nothing (`Leases`); a peer that
was lost to somebody else counts until its own listener could have told of it, and as long as the last word
of that one counts; what changed between the last look at a process and the act could not be known.
"""

"""Two hosts with real workers and listeners, and a hand that does to them whatever can happen, by a seed.

``python -m tests.chaos --rounds 200 --seed 1`` runs it. The promises are judged from outside: by what
supervisord, the frameworks' own records and the jobs themselves show.
"""

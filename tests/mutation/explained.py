"""The mutants that no test can catch, and why: they change nothing that is promised."""

from __future__ import annotations

THE_NEXT_LOOK = "in the very moment either may be right: the next look comes soon"
OWN_LIMIT_IS_KNOWN = "a reason without an urgency of its own is the own limit: both numbers are known"

EXPLAINED: dict[str, str] = {
    "child.py, in_child: not sent and os.waitpid(pid, os.WNOHANG) == (0, 0) -> "
    "(os.waitpid(pid, os.WNOHANG) == (0, 0))": (
        "a child that has answered does nothing more: it may as well be killed"
    ),
    "commands/doctor/redis.py, check_clock: ahead > 0 -> (ahead >= 0)": (
        "it is asked only for what is further away from 0"
    ),
    "commands/least_squares.py, non_negative: min(solved) > 0 -> (min(solved) >= 0)": (
        "a value of exactly 0 is the same in the sum, whether its column counts or not"
    ),
    "commands/least_squares.py, non_negative: index in active -> False": (
        "it goes another way to the same values: those that count are solved anew in the next turn"
    ),
    "commands/suspects_of.py, of: value -> True": "it adds products with 0",
    "notices/job_growth.py, _share: len(classes) > MAX_CLASSES -> (len(classes) >= MAX_CLASSES)": (
        "only the first ten of these classes are shown"
    ),
    "workers/laravel.py, more_advice: JOB_TIMEOUT.seconds(program.command) or 0.0 -> "
    "(JOB_TIMEOUT.seconds(program.command))": "the option has a default, so there are always seconds",
    "coordination/lua/common.lua, hold: "
    "if till > meta.settle then meta.settle, meta.settle_of, meta.settle_cause = till, till, cause end -> "
    "if till >= meta.settle then meta.settle, meta.settle_of, meta.settle_cause = till, till, cause end": (
        "of two waits that end in the same millisecond either cause may be named"
    ),
    "coordination/lua/common.lua, strictest: "
    "if l > least or (l == least and least_of and of < least_of) then least, least_of = l, of end -> "
    "if l > least or (l == least and least_of and of <= least_of) then least, least_of = l, of end": (
        "where both names are the same, either may be kept"
    ),
    "coordination/lua/common.lua, strictest: "
    "if m < most or (m == most and most_of and of < most_of) then most, most_of = m, of end -> "
    "if m < most or (m == most and most_of and of <= most_of) then most, most_of = m, of end": (
        "where both names are the same, either may be kept"
    ),
    "coordination/lua/common.lua, load_slots: elseif slot then -> elseif true then": (
        "the list of slots and the slots are written in one script and stand in one hash: none is listed "
        "without being there"
    ),
    "coordination/lua/common.lua, load_slots: "
    "if now - meta.at > request.fresh then -> if now - meta.at >= request.fresh then": (
        "of a silence of three heartbeats to the millisecond either may be said; then it settles, and waits"
    ),
    "coordination/rules.py, _goes_before: rival.rank(now) < own -> (rival.rank(now) <= own)": (
        "a rank ends with the worker's name, and a rival is another worker: no two ranks are equal"
    ),
    "listener/actions.py, _do: action is Action.RESUME -> True": "every other action was dealt with above",
    "coordination/lua/acquire.lua, goes_before: "
    "local is_before = is_patient or waited < since or (waited == since and id < request.id) -> "
    "local is_before = is_patient or waited < since or (waited == since and id <= request.id)": (
        "the one that asks is no rival of its own: could_go refuses it"
    ),
    "coordination/lua/acquire.lua, is_better: "
    "local is_before = urgency > request.urgency or waited < since "
    "or (waited == since and id < request.id) -> "
    "local is_before = urgency > request.urgency or waited < since "
    "or (waited == since and id <= request.id)": (
        "the one that asks is no rival of its own: could_go refuses it"
    ),
    "coordination/lua/acquire.lua, is_better: "
    "return not best or waited < best_since or (waited == best_since and id < best) -> "
    "return not best or waited <= best_since or (waited == best_since and id < best)": (
        "of the equally urgent Redis gives the greater names first: the later one is the less"
    ),
    "coordination/lua/acquire.lua, is_better: "
    "return not best or waited < best_since or (waited == best_since and id < best) -> "
    "return not best or waited < best_since or (waited == best_since and id <= best)": (
        "nobody stands in a sorted set twice"
    ),
    "coordination/lua/acquire.lua, judge: if meta.released > 0 and ended < request.cooldown then -> "
    "if meta.released >= 0 and ended < request.cooldown then": ("0 is 1970: no cooldown is as long as that"),
    "coordination/lua/publish.lua, : if urgency >= 0 then -> if urgency > 0 then": (
        "an urgency is memory over limit of one that is over it; -1 stands for none"
    ),
    "listener/slots.py, has_new_name: "
    "self._clock() - self._ledger.contents.listener_since < live_seconds -> "
    "(self._clock() - self._ledger.contents.listener_since <= live_seconds)": (
        "in the very moment in which the former name stops counting either may be said"
    ),
    "listener/drainer.py, step: answer is not None -> True": (
        "without an answer nothing follows: the second look is only spared"
    ),
    "listener/drainer.py, _act: action is Action.STOP and outcome is Outcome.UNCERTAIN -> "
    "(outcome is Outcome.UNCERTAIN)": (
        "what supervisord said to a stop counts in STOPPING alone, and a look comes before any stop"
    ),
    "listener/drain_observer.py, with_tree: seen.process is not None and drain.is_process(seen.process) -> "
    "(drain.is_process(seen.process))": (
        "a drain whose process is gone from supervisord is over, and reaches no stop"
    ),
    "listener/drainer.py, _forget: self._asked_at.pop(drain.worker, None) -> pass": (
        "each drain asks anew before it acts; what would stay is a number for each worker"
    ),
    "listener/drainer.py, _forget: self._unanswered.discard(drain.worker) -> pass": (
        "the first look of the worker's next drain, at which it only asks, discards it too"
    ),
    "listener/drain_observer.py, observe: self._has_command(drain) and process is not None "
    "and _is_suspended(process, table) -> (process is not None and _is_suspended(process, table))": (
        "only spares a look: the rules go by the command of the drain, too"
    ),
    "workers/ownership.py, why_not_own: seconds < 0 -> (seconds <= 0)": (
        "a record that begins in the same moment fits, and needs no reason"
    ),
    "rules/policy.py, _verdict: seen.memory_bytes or 0 -> (seen.memory_bytes)": OWN_LIMIT_IS_KNOWN,
    "rules/policy.py, _verdict: terms.limit_bytes or 1 -> (terms.limit_bytes)": OWN_LIMIT_IS_KNOWN,
    "rules/policy.py, _reasons: seen.sure_bytes or 0 -> (seen.sure_bytes)": (
        "the memory is known here, and what it surely is with it"
    ),
    "rules/policy.py, _reasons: seen.uptime_seconds > _age_limit(seen.process, max_age) -> "
    "(seen.uptime_seconds >= _age_limit(seen.process, max_age))": "in the very moment either may be right",
    "rules/hours.py, opens_at: opens > local -> (opens >= local)": (
        "a window that opens at this moment was found open in the line before"
    ),
    "rules/drain.py, acknowledge: action is Action.EVIDENCE and outcome is not Outcome.DONE -> "
    "(outcome is not Outcome.DONE)": "no other action that comes so far changes the evidence",
    "rules/from_the_stop.py, _stop_new_process: plan.hard_limit_bytes or 0 -> (plan.hard_limit_bytes)": (
        "a process above its hard limit has one"
    ),
    "listener/drainer.py, _program: program is None and seen.process is not None "
    "and self._clock() >= drain.deadline -> (program is None and self._clock() >= drain.deadline)": (
        "the drain of a worker that is gone is over in this step: only spares a request"
    ),
    "listener/drainer.py, _program: self._clock() >= drain.deadline -> (self._clock() > drain.deadline)": (
        "in the very moment either may be right: the next poll asks"
    ),
    "listener/adoption.py, _forget_ended: not late or any(pool.failure is not None for pool in survey.pools) "
    "-> (any((pool.failure is not None for pool in survey.pools)))": (
        "without any, the contents stay the same, and the same contents are not written again"
    ),
    "listener/requests.py, end: over or ended or served -> True": (
        "without any, the contents stay the same, and the same contents are not written again"
    ),
    "coordination/rules.py, others: own is not None and own >= queues -> (own is not None)": (
        "a worker's request and its report come from one look, with the same queues"
    ),
    "world/http_post.py, _some: left_seconds <= 0 -> (left_seconds < 0)": (
        "in the very moment either may be right: a read that may take no time ends at once"
    ),
    "listener/growth.py, _read: finding.seen.sure_bytes or 0 -> (finding.seen.sure_bytes)": (
        "a worker whose memory is unknown is not watched"
    ),
    "coordination/in_process.py, acquire: answer.granted and request.token is not None -> (answer.granted)": (
        "a request without a token is only considered; the condition shows the type"
    ),
    "listener/hearing.py, judge: self._silence < DOUBT_PERIODS * period -> "
    "(self._silence <= DOUBT_PERIODS * period)": THE_NEXT_LOOK,
    "listener/hearing.py, judge: self._silence - self._asked_at > period -> "
    "(self._silence - self._asked_at >= period)": THE_NEXT_LOOK,
    "listener/hearing.py, judge: self._silence - self._asked_at < self.look_seconds -> "
    "(self._silence - self._asked_at <= self.look_seconds)": THE_NEXT_LOOK,
    "listener/hearing.py, _has_been_frozen: now - since > 2 * self.look_seconds -> "
    "(now - since >= 2 * self.look_seconds)": THE_NEXT_LOOK,
    "listener/hearing.py, _judge_deaf: self._record is not None and restarts < MAX_RESTARTS and ends_in <= 0 "
    "and self._record.save(restarts=restarts + 1, period_seconds=self._record.period_seconds) -> "
    "(restarts < MAX_RESTARTS and ends_in <= 0 "
    "and self._record.save(restarts=restarts + 1, period_seconds=self._record.period_seconds))": (
        "without a record the restarts count as MAX_RESTARTS"
    ),
}

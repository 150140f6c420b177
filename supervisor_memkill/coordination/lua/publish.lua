-- Report the workers of one listener, and renew the slots that it holds.
--
-- KEYS: as in common.lua.
-- ARGV[1]: JSON of
--   listener, instance   the name of the listener, and its random id, kept over restarts
--   version              the version of this protocol
--   process              the listener's process; another listener may find out whether it has ended
--   known                the state that the listener saw last: epoch, seq, at; absent at first
--   epoch                the epoch that the listener saw last, also before it was restarted; absent if unknown
--   is_new               true: the listener never saw this pool, also not before it was restarted
--   fresh_epoch, settle  if data was lost: the new epoch, and how long no slot is granted (ms)
--   fresh, ttl           how long the report counts, how long a slot lasts (ms)
--   age                  how long ago the workers were seen (ms): they do not count as in service for so much less
--   min_available, max_draining
--   report               a random id of this report
--   workers              list of {id, JSON of the worker, 1 if in service, queues, urgency or -1}
--   base                 the id of the report before: all workers of that one are reported again as they were,
--                        except those in `workers` and in `gone`. None of them asks for a slot. Absent: `workers`
--                        are all
--   gone                 with `base`: list of the ids of workers that are not there any more
--   answered             set of the ids of the requests that this listener has answered: {id: true}
--   answers              JSON of these answers, which is kept as it is
--   holdings             list of {id, token, 1 if the worker is out of service, why it does not come back or ''}
-- Returns JSON of
--   again                `base` is not what is here: nothing was changed, and all workers must be sent
--   taken                another live listener has this name: nothing was changed
--   taken_by             then: process of that listener, and for how long its record still counts (left, ms)
--   held                 the tokens that hold a slot
--   open                 the ids of all open requests; absent if there is none
--   offers               list of {id, text, age (ms), time left (ms), -1 if without an end} of the open requests
--                        that are not answered, the oldest first, some at a time; absent if there is none
--   epoch, seq, at       the new state, for `known` of the next call

local MAX_OFFERS = 10

local request = cjson.decode(ARGV[1])
local now = clock()

local taken, before = is_taken(request, now)
if taken then return cjson.encode({taken = true, taken_by = taken_by(before, now), held = {}}) end

-- Until then the workers count as in service: not for longer than a report counts after they were seen.
local up_till = now + math.max(-1, request.fresh - request.age)

-- The workers that are reported again as they were: list of {id, JSON of the worker, score}; nil if one of
-- them is not here any more as the listener reported it.
local CHUNK = 100
local function reported_again()
  if not before or before.instance ~= request.instance or before.report ~= request.base then return nil end
  if is_lost(read_meta(), now, request) then return nil end
  local other, ids, found = {}, {}, {}
  for _, worker in ipairs(request.workers) do other[worker[1]] = true end
  for _, id in ipairs(request.gone) do other[id] = true end
  for _, id in ipairs(before.workers) do
    if not other[id] then ids[#ids + 1] = id end
  end
  local seen = string.format('%.0f}', now)
  for first = 1, #ids, CHUNK do
    local last, fields = math.min(first + CHUNK - 1, #ids), {}
    for index = first, last do fields[#fields + 1] = 'w:' .. ids[index] end
    local texts = redis.call('HMGET', KEYS[1], unpack(fields))
    for index = first, last do
      local text = texts[index - first + 1]
      local kept = text and string.match(text, '^(.*,"seen":)%d+}$')
      local score = redis.call('ZSCORE', KEYS[2], ids[index])
      if not kept or not score then return nil end
      local sig = math.floor(tonumber(score) / SPAN)
      found[#found + 1] = {ids[index], kept .. seen, up_score(sig, up_till)}
    end
  end
  return found
end

local again = {}
if request.base then
  again = reported_again()
  if not again then return cjson.encode({again = true}) end
end

local meta = load_meta(now, request)
local slots = load_slots(meta, now, request)
local rules = request.min_available .. '/' .. request.max_draining
meta.rules[rules] = now + request.fresh
meta.rules_of = meta.rules_of or {}
meta.rules_of[rules] = {listener = request.listener, till = now + request.fresh}

local function forget(id)
  redis.call('HDEL', KEYS[1], 'w:' .. id)
  redis.call('ZREM', KEYS[2], id)
  redis.call('ZREM', KEYS[3], id)
  redis.call('ZREM', KEYS[4], id)
end

local present, ids, listed = {}, {}, {}
for _, worker in ipairs(request.workers) do
  local id, text, is_up, sig, urgency = unpack(worker)
  present[id] = true
  ids[#ids + 1] = id
  redis.call('HSET', KEYS[1], 'w:' .. id, string.sub(text, 1, -2) .. ',"seen":' .. string.format('%.0f', now) .. '}')
  local index = is_up == 1 and sig_index(meta, sig) or NOT_UP
  redis.call('ZADD', KEYS[2], up_score(index, up_till), id)
  if urgency >= 0 then
    redis.call('ZADD', KEYS[3], urgency, id)
    redis.call('ZADD', KEYS[4], 'NX', string.format('%.0f', now), id)
  else
    redis.call('ZREM', KEYS[3], id)
    redis.call('ZREM', KEYS[4], id)
  end
end
for first = 1, #again, CHUNK do
  local fields, scores = {}, {}
  for index = first, math.min(first + CHUNK - 1, #again) do
    local id, text, score = unpack(again[index])
    present[id] = true
    fields[#fields + 1] = 'w:' .. id
    fields[#fields + 1] = text
    scores[#scores + 1] = score
    scores[#scores + 1] = id
  end
  redis.call('HSET', KEYS[1], unpack(fields))
  redis.call('ZADD', KEYS[2], unpack(scores))
end
if request.base then
  -- In the order in which they were, then those that are new.
  local sent = ids
  ids = {}
  for _, id in ipairs(before.workers) do
    listed[id] = true
    if present[id] then ids[#ids + 1] = id end
  end
  for _, id in ipairs(sent) do
    if not listed[id] then ids[#ids + 1] = id end
  end
end
for _, id in ipairs(before and before.workers or {}) do
  if not present[id] then forget(id) end
end
-- If hosts come and go, new names of hosts and queues appear again and again. So workers without a report
-- for a day are removed, and sets of queues that no worker has. Each call sweeps one of the sets.
local swept = (meta.swept or NOT_UP) + 1
if swept > #meta.sigs then swept = NOT_UP end
meta.swept = swept
local silent = redis.call(
  'ZRANGEBYSCORE', KEYS[2], up_score(swept, 0), up_score(swept, now - FORGET), 'LIMIT', 0, 20)
for _, id in ipairs(silent) do
  forget(id)
  local listener = string.match(id, '^([^/]+/[^/]+)/')
  if listener then redis.call('HDEL', KEYS[1], 'l:' .. listener, 'k:' .. listener) end
end
if swept ~= NOT_UP and redis.call('ZCOUNT', KEYS[2], up_score(swept, 0), up_score(swept, SPAN - 1)) == 0 then
  meta.sigs[swept] = false
  while #meta.sigs > 0 and not meta.sigs[#meta.sigs] do meta.sigs[#meta.sigs] = nil end
end
local listener = cjson.encode({
  instance = request.instance, ['until'] = now + request.fresh, seen = now, workers = ids,
  version = request.version, process = request.process, rules = rules, report = request.report,
})
redis.call(
  'HSET', KEYS[1], 'l:' .. request.listener, string.sub(listener, 1, -2) .. ',"answers":' .. request.answers .. '}')

local held = {}
for _, holding in ipairs(request.holdings) do
  local id, token, is_out, not_back = unpack(holding)
  local slot = slots[id]
  if slot and slot.token == token then
    slot.renewed, slot.expires, slot.not_back = now, now + request.ttl, not_back
    put_slot(meta, slots, id, slot)
    held[#held + 1] = token
  elseif is_out == 1 then
    -- The slot was lost, with the data of this Redis or in a long absence. But the worker is out of service
    -- already, and only the end of the drain brings it back. This is a new slot, not the old one revived.
    put_slot(meta, slots, id, {
      token = token, since = now, renewed = now, expires = now + request.ttl, not_back = not_back,
    })
    held[#held + 1] = token
  end
end

local open, offers = {}, {}
for _, entry in ipairs(open_requests(now)) do
  local id, made, till = unpack(entry)
  open[#open + 1] = id
  local text = not request.answered[id] and #offers < MAX_OFFERS and redis.call('HGET', KEYS[1], 'q:' .. id)
  if text then
    offers[#offers + 1] = {id, text, math.max(0, now - made), till > 0 and till - now or -1}
  end
end

save_meta(meta, now, request)
return cjson.encode({
  open = open[1] and open or nil, offers = offers[1] and offers or nil,
  taken = false, held = held, epoch = meta.epoch, seq = meta.seq, at = meta.at,
})

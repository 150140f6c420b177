-- What the scripts of coordination find in Redis: redis.call for the commands that they use, and cjson.
--
-- Keys hold {kind, values}; hashes keep text by field, sorted sets a number by member. Returns functions
-- for the world: compile, run, now, dump, load, delete, keys.

local data = {}
local now_seconds, now_micros = '0', '0'

-- --- commands ------------------------------------------------------------------------------------

local function text_of(value) -- as Redis turns a script's numbers into arguments
  return type(value) == 'number' and string.format('%.17g', value) or value
end

local function values_at(key, kind, make)
  local found = data[key]
  if not found then
    if not make then return {} end
    found = {kind, {}}
    data[key] = found
  end
  if found[1] ~= kind then error('WRONGTYPE Operation against a key holding the wrong kind of value') end
  return found[2]
end

local function drop_if_empty(key)
  if data[key] and next(data[key][2]) == nil then data[key] = nil end
end

local function score_of(text)
  if text == '-inf' then return -math.huge end
  if text == '+inf' then return math.huge end
  return assert(tonumber(text), 'ERR min or max is not a float')
end

local function remove(key, kind, ...)
  local values, count = values_at(key, kind), 0
  for _, name in ipairs({...}) do
    if values[name] ~= nil then
      values[name], count = nil, count + 1
    end
  end
  drop_if_empty(key)
  return count
end

local function range(key, from, to, is_up, options)
  local found = {}
  for member, score in pairs(values_at(key, 'zset')) do
    if score >= from and score <= to then found[#found + 1] = member end
  end
  local scores = values_at(key, 'zset')
  table.sort(found, function(a, b)
    if scores[a] ~= scores[b] then return (scores[a] < scores[b]) == is_up end
    return a ~= b and (a < b) == is_up
  end)
  local with_scores, offset, count, index = false, 0, #found, 1
  while options[index] do
    if options[index] == 'WITHSCORES' then
      with_scores, index = true, index + 1
    else
      assert(options[index] == 'LIMIT', 'ERR syntax error')
      offset, count, index = tonumber(options[index + 1]), tonumber(options[index + 2]), index + 3
    end
  end
  local answer = {}
  for place = offset + 1, math.min(offset + count, #found) do
    answer[#answer + 1] = found[place]
    if with_scores then answer[#answer + 1] = text_of(scores[found[place]]) end
  end
  return answer
end

local commands = {
  TIME = function() return {now_seconds, now_micros} end,
  HGET = function(key, field) return values_at(key, 'hash')[field] or false end,
  HMGET = function(key, ...)
    local values, answer = values_at(key, 'hash'), {}
    for index, field in ipairs({...}) do answer[index] = values[field] or false end
    return answer
  end,
  HSET = function(key, ...)
    local values, given, count = values_at(key, 'hash', true), {...}, 0
    for index = 1, #given, 2 do
      if values[given[index]] == nil then count = count + 1 end
      values[given[index]] = given[index + 1]
    end
    return count
  end,
  HDEL = function(key, ...) return remove(key, 'hash', ...) end,
  HGETALL = function(key)
    local answer = {}
    for field, value in pairs(values_at(key, 'hash')) do
      answer[#answer + 1], answer[#answer + 2] = field, value
    end
    return answer
  end,
  DEL = function(...)
    local count = 0
    for _, key in ipairs({...}) do
      if data[key] then
        data[key], count = nil, count + 1
      end
    end
    return count
  end,
  ZADD = function(key, ...)
    local given = {...}
    local only_new = given[1] == 'NX'
    if only_new then table.remove(given, 1) end
    local values, count = values_at(key, 'zset', true), 0
    for index = 1, #given, 2 do
      local is_new = values[given[index + 1]] == nil
      if is_new or not only_new then values[given[index + 1]] = score_of(given[index]) end
      if is_new then count = count + 1 end
    end
    return count
  end,
  ZREM = function(key, ...) return remove(key, 'zset', ...) end,
  ZSCORE = function(key, member)
    local score = values_at(key, 'zset')[member]
    return score and text_of(score) or false
  end,
  ZCOUNT = function(key, from, to)
    local least, most, count = score_of(from), score_of(to), 0
    for _, score in pairs(values_at(key, 'zset')) do
      if score >= least and score <= most then count = count + 1 end
    end
    return count
  end,
  ZRANGEBYSCORE = function(key, from, to, ...)
    return range(key, score_of(from), score_of(to), true, {...})
  end,
  ZREVRANGEBYSCORE = function(key, to, from, ...)
    return range(key, score_of(from), score_of(to), false, {...})
  end,
}

redis = {
  call = function(name, ...)
    local command = assert(commands[name], 'no such command here: ' .. tostring(name))
    local arguments = {...}
    for index = 1, #arguments do arguments[index] = text_of(arguments[index]) end
    return command(unpack(arguments))
  end,
}

-- --- cjson ---------------------------------------------------------------------------------------

local null = setmetatable({}, {__tostring = function() return 'null' end})
local escapes = {
  ['"'] = '\\"', ['\\'] = '\\\\', ['/'] = '\\/', ['\b'] = '\\b', ['\f'] = '\\f', ['\n'] = '\\n',
  ['\r'] = '\\r', ['\t'] = '\\t', ['\127'] = '\\u007f',
}
for code = 0, 31 do
  local letter = string.char(code)
  escapes[letter] = escapes[letter] or string.format('\\u%04x', code)
end

local function quote(text)
  return '"' .. string.gsub(text, '[%c"\\/\127]', escapes) .. '"'
end

local function encode(value)
  local kind = type(value)
  if value == null or kind == 'nil' then return 'null' end
  if kind == 'string' then return quote(value) end
  if kind == 'number' then return string.format('%.14g', value) end
  if kind == 'boolean' then return tostring(value) end
  assert(kind == 'table', 'Cannot serialise ' .. kind)
  local parts = {}
  if #value > 0 then
    for index = 1, #value do parts[index] = encode(value[index]) end
    return '[' .. table.concat(parts, ',') .. ']'
  end
  for name, inner in pairs(value) do
    parts[#parts + 1] = quote(text_of(name)) .. ':' .. encode(inner)
  end
  return '{' .. table.concat(parts, ',') .. '}'
end

local function utf8_of(code)
  if code < 0x80 then return string.char(code) end
  if code < 0x800 then return string.char(0xC0 + math.floor(code / 0x40), 0x80 + code % 0x40) end
  if code < 0x10000 then
    return string.char(0xE0 + math.floor(code / 0x1000), 0x80 + math.floor(code / 0x40) % 0x40, 0x80 + code % 0x40)
  end
  return string.char(
    0xF0 + math.floor(code / 0x40000), 0x80 + math.floor(code / 0x1000) % 0x40,
    0x80 + math.floor(code / 0x40) % 0x40, 0x80 + code % 0x40)
end

local unescapes = {b = '\b', f = '\f', n = '\n', r = '\r', t = '\t', ['"'] = '"', ['\\'] = '\\', ['/'] = '/'}

local function unquote(text)
  if not string.find(text, '\\u', 1, true) then
    return (string.gsub(text, '\\(.)', unescapes))
  end
  text = string.gsub(text, '\\u([dD][89abAB]%x%x)\\u([dD][c-fC-F]%x%x)', function(high, low)
    return utf8_of(0x10000 + (tonumber(high, 16) - 0xD800) * 0x400 + tonumber(low, 16) - 0xDC00)
  end)
  return (string.gsub(text, '\\(u?)(.)(%x?%x?%x?)', function(is_code, letter, rest)
    if is_code == 'u' then return utf8_of(tonumber(letter .. rest, 16)) end
    return unescapes[letter] .. rest
  end))
end

local find, byte, sub = string.find, string.byte, string.sub
local words = {t = true, f = false, n = null}
local decode_at

local function string_at(text, at)
  local from, to = at + 1, at
  repeat
    to = assert(find(text, '["\\]', to + 1), 'Expected value but found invalid token')
    local is_escape = byte(text, to) == 92
    if is_escape then to = to + 1 end
  until not is_escape
  local found = sub(text, from, to - 1)
  return find(found, '\\', 1, true) and unquote(found) or found, to + 1
end

local function skip(text, at)
  return find(text, '[^ \t\r\n]', at) or #text + 1
end

local function list_at(text, at)
  local found, count = {}, 0
  at = skip(text, at + 1)
  if byte(text, at) == 93 then return found, at + 1 end
  while true do
    count = count + 1
    found[count], at = decode_at(text, at)
    at = skip(text, at)
    if byte(text, at) == 93 then return found, at + 1 end
    assert(byte(text, at) == 44, 'Expected comma or array end')
    at = skip(text, at + 1)
  end
end

local function object_at(text, at)
  local found, name = {}, nil
  at = skip(text, at + 1)
  if byte(text, at) == 125 then return found, at + 1 end
  while true do
    assert(byte(text, at) == 34, 'Expected object key string')
    name, at = string_at(text, at)
    at = skip(text, at)
    assert(byte(text, at) == 58, 'Expected colon')
    found[name], at = decode_at(text, skip(text, at + 1))
    at = skip(text, at)
    if byte(text, at) == 125 then return found, at + 1 end
    assert(byte(text, at) == 44, 'Expected comma or object end')
    at = skip(text, at + 1)
  end
end

function decode_at(text, at)
  local first = byte(text, at)
  if first == 34 then return string_at(text, at) end
  if first == 123 then return object_at(text, at) end
  if first == 91 then return list_at(text, at) end
  local _, to, word = find(text, '^([tfn])%l+', at)
  if word then return words[word], to + 1 end
  _, to, word = find(text, '^(-?%d[%d.eE+-]*)', at)
  return assert(tonumber(word), 'Expected value but found invalid token'), to + 1
end

cjson = {
  null = null,
  encode = encode,
  decode = function(text)
    local value, to = decode_at(text, skip(text, 1))
    assert(skip(text, to) > #text, 'Expected the end')
    return value
  end,
}

-- --- for the world -------------------------------------------------------------------------------

local function copy(value)
  if type(value) ~= 'table' then return value end
  local found = {}
  for name, inner in pairs(value) do found[name] = copy(inner) end
  return found
end

local compiled = {}

return {
  compile = function(name, text) compiled[name] = assert(loadstring(text, '=' .. name)) end,
  run = function(name, keys, argument)
    KEYS, ARGV = keys, {argument}
    return compiled[name]()
  end,
  now = function(seconds, micros) now_seconds, now_micros = seconds, micros end,
  dump = function() return copy(data) end,
  load = function(dumped) data = copy(dumped) end,
  clear = function() data = {} end,
  delete = function(key) data[key] = nil end,
  data = function() return data end,
}

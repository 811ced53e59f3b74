-- The commands that quota.lua uses, on tables of one Lua state. Scores are numbers, hash fields text.

local hashes, sets, seconds = {}, {}, 0

local function text(number)
  if number == math.floor(number) and math.abs(number) < 1e17 then
    return string.format('%.0f', number)
  end
  return string.format('%.17g', number)
end

local function bound(given)
  given = tostring(given)
  if given == '+inf' then return math.huge, false end
  if given == '-inf' then return -math.huge, false end
  if string.sub(given, 1, 1) == '(' then return tonumber(string.sub(given, 2)), true end
  return tonumber(given), false
end

local function within(key, from, to)
  local least, above = bound(from)
  local most, below = bound(to)
  local found = {}
  for member, score in pairs(sets[key] or {}) do
    local high_enough = above and score > least or not above and score >= least
    local low_enough = below and score < most or not below and score <= most
    if high_enough and low_enough then found[#found + 1] = member end
  end
  local set = sets[key]
  table.sort(found, function(one, other)
    if set[one] ~= set[other] then return set[one] < set[other] end
    return one < other
  end)
  return found
end

local function size(of)
  local number = 0
  for _ in pairs(of or {}) do number = number + 1 end
  return number
end

local function drop_empty(from, key)
  if from[key] and next(from[key]) == nil then from[key] = nil end
end

local commands = {}

function commands.HMGET(key, ...)
  local found = {}
  for i, name in ipairs({...}) do found[i] = (hashes[key] or {})[name] or false end
  return found
end

function commands.HGET(key, name) return (hashes[key] or {})[name] or false end

function commands.HSET(key, ...)
  local flat = {...}
  hashes[key] = hashes[key] or {}
  for i = 1, #flat - 1, 2 do hashes[key][flat[i]] = tostring(flat[i + 1]) end
  return #flat / 2
end

function commands.HINCRBY(key, name, by)
  hashes[key] = hashes[key] or {}
  local number = tonumber(hashes[key][name] or 0) + tonumber(by)
  hashes[key][name] = text(number)
  return number
end

function commands.HLEN(key) return size(hashes[key]) end

function commands.ZADD(key, score, member)
  sets[key] = sets[key] or {}
  local fresh = sets[key][member] == nil
  sets[key][member] = tonumber(score)
  return fresh and 1 or 0
end

function commands.ZCARD(key) return size(sets[key]) end
function commands.ZCOUNT(key, from, to) return #within(key, from, to) end

function commands.ZSCORE(key, member)
  local score = (sets[key] or {})[member]
  return score and text(score) or false
end

function commands.ZRANGEBYSCORE(key, from, to, ...)
  local options, with, offset, count = {...}, false, 0, math.huge
  for i, option in ipairs(options) do
    if option == 'WITHSCORES' then with = true end
    if option == 'LIMIT' then offset, count = tonumber(options[i + 1]), tonumber(options[i + 2]) end
  end
  local found = {}
  for i, member in ipairs(within(key, from, to)) do
    if i > offset and i <= offset + count then
      found[#found + 1] = member
      if with then found[#found + 1] = text(sets[key][member]) end
    end
  end
  return found
end

function commands.ZREM(key, member)
  local there = sets[key] and sets[key][member] ~= nil
  if there then sets[key][member] = nil end
  drop_empty(sets, key)
  return there and 1 or 0
end

function commands.ZREMRANGEBYSCORE(key, from, to)
  local found = within(key, from, to)
  for _, member in ipairs(found) do sets[key][member] = nil end
  drop_empty(sets, key)
  return #found
end

function commands.DEL(...)
  local gone = 0
  for _, key in ipairs({...}) do
    if hashes[key] or sets[key] then gone = gone + 1 end
    hashes[key], sets[key] = nil, nil
  end
  return gone
end

function commands.PEXPIRE(key) return (hashes[key] or sets[key]) and 1 or 0 end

function commands.TIME()
  local whole = math.floor(seconds / 1000000)
  return {text(whole), text(seconds - whole * 1000000)}
end

function commands.INFO() return 'master_replid:simulated\r\n' end

local function call(name, ...) return commands[name](...) end
redis = {call = call, pcall = call}

local scripts = {}

return {
  load = function(sha, source) scripts[sha] = assert(loadstring(source)) end,
  run = function(sha, micros, keys, arguments)
    seconds, KEYS, ARGV = micros, keys, arguments
    return scripts[sha]()
  end,
  flush = function() hashes, sets = {}, {} end,
}

-- wrk: one bind a request, each with parties and an idempotency key of its own.
local threads = {}
function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  local file = io.open(args[1], "r")
  bearer = file:read("*l")
  file:close()
  seed = tonumber(args[2])
  math.randomseed(seed)
  count = 0
  bound = 0
  refused = 0
end

function request()
  count = count + 1
  local body = string.format(
    '{"mode":"AXYB","a":"+86138%08d","b":"+86139%08d","order_id":"wrk-%d","scene":"parcel","ttl":3600}',
    math.random(0, 99999999), math.random(0, 99999999), count)
  return wrk.format("POST", "/v1/bindings", {
    ["Content-Type"] = "application/json",
    ["Authorization"] = "Bearer " .. bearer,
    ["Idempotency-Key"] = string.format("wrk-%d-%d", seed, count),
  }, body)
end

function response(status)
  if status == 201 then
    bound = bound + 1
  else
    refused = refused + 1
  end
end

function done(summary)
  local good, bad = 0, 0
  for _, thread in ipairs(threads) do
    good = good + thread:get("bound")
    bad = bad + thread:get("refused")
  end
  print(string.format("bound %d refused %d us %d", good, bad, summary.duration))
end

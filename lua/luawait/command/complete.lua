--- What a word at the prompt can become: `as` -> `async`, `async.ga` -> `async.gather`, `queue:p` -> `queue:put`. Looks
-- into tables and metatables without calling anything of theirs.
local KEYWORDS = {}
for word in ([[
  and break do else elseif end false for function goto if in local nil not or repeat return then true until while]]
):gmatch("%a+") do
  KEYWORDS[word] = true
end

local DEPTH = 8 -- of tables behind __index

-- The tables that a field of `value` is looked up in, in order.
local function tables_of(value)
  local found = {}
  while #found < DEPTH do
    if type(value) == "table" then found[#found + 1] = value end
    local meta = debug.getmetatable(value)
    value = type(meta) == "table" and rawget(meta, "__index")
    if type(value) ~= "table" then break end
  end
  return found
end

local function field(value, key)
  for _, fields in ipairs(tables_of(value)) do
    local result = rawget(fields, key)
    if result ~= nil then return result end
  end
end

-- The value of a path like `a.b.c`; nil if there is none.
local function value_of(path)
  local value = _G
  for key in path:gmatch("[^.:]+") do
    value = field(value, key)
    if value == nil then return nil end
  end
  return value
end

local function add_names(names, fields, start, callable)
  for name, value in next, fields do
    if type(name) == "string" and name:find("^[%a_][%w_]*$") and name:sub(1, #start) == start
      and (not callable or type(value) == "function") then
      names[name] = true
    end
  end
end

-- How long the strings have a beginning in common.
local function common_length(words)
  local first = words[1]
  for length = #first, 1, -1 do
    local same = true
    for _, word in ipairs(words) do same = same and word:sub(1, length) == first:sub(1, length) end
    if same then return length end
  end
  return 0
end

--- What a word can become: what is to be inserted behind it ("" if that is not known), and the names to choose from.
return function(word)
  local path, separator, start = word:match("^(.-)([.:]?)([%a_]?[%w_]*)$")
  local set, names = {}, {}
  local value = path and value_of(path)
  if value == nil then return "" end
  for _, fields in ipairs(tables_of(value)) do add_names(set, fields, start, separator == ":") end
  if path == "" then add_names(set, KEYWORDS, start) end
  for name in pairs(set) do names[#names + 1] = name end
  if #names == 0 then return "" end
  table.sort(names)
  return names[1]:sub(#start + 1, common_length(names)), table.concat(names, "  ")
end

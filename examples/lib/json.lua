-- Writes JSON. The text is valid UTF-8 whatever the strings hold: bytes that are not become U+FFFD.
local json = {}

json.null = setmetatable({}, { __tostring = function() return "null" end })

local escapes = {
  ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t",
}

local function escape(char)
  return escapes[char] or ("\\u%04x"):format(char:byte())
end

-- Copies the runs that are valid, and one mark for each byte that is not.
local function valid_utf8(text)
  local pieces, from = {}, 1
  while true do
    local length, bad = utf8.len(text, from)
    if length then break end
    pieces[#pieces + 1] = text:sub(from, bad - 1)
    pieces[#pieces + 1] = "\u{FFFD}"
    from = bad + 1
  end
  return table.concat(pieces) .. text:sub(from)
end

local function encode_string(text)
  return '"' .. valid_utf8(text):gsub('[%c"\\]', escape) .. '"'
end

local function encode_number(number)
  if math.type(number) == "integer" then return ("%d"):format(number) end
  if number ~= number or number == math.huge or number == -math.huge then return "null" end
  return (("%.14g"):format(number):gsub(",", "."))
end

local encode

local function encode_array(list)
  local parts = {}
  for i, value in ipairs(list) do parts[i] = encode(value) end
  return "[" .. table.concat(parts, ",") .. "]"
end

local function encode_object(object)
  local parts = {}
  for key, value in pairs(object) do parts[#parts + 1] = encode_string(key) .. ":" .. encode(value) end
  table.sort(parts)
  return "{" .. table.concat(parts, ",") .. "}"
end

-- nil, booleans, numbers (those that JSON has no word for become null), strings, json.null, and tables of these: with
-- string keys an object, otherwise an array.
function encode(value)
  local kind = type(value)
  if value == nil or value == json.null then return "null" end
  if kind == "boolean" then return tostring(value) end
  if kind == "number" then return encode_number(value) end
  if kind == "string" then return encode_string(value) end
  assert(kind == "table", kind)
  return type(next(value)) == "string" and encode_object(value) or encode_array(value)
end

json.encode = encode

return json

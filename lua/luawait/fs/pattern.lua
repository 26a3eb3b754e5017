--- Patterns for names, as a shell has them: `*`, `?`, `[a-z]`, `[!a-z]`. Characters are those of UTF-8; a byte that
-- belongs to none counts as one.
local pattern = {}

local LONG = { -- characters of more than one byte
  "^[\194-\223][\128-\191]",
  "^[\224-\239][\128-\191][\128-\191]",
  "^[\240-\244][\128-\191][\128-\191][\128-\191]",
}
local STAR, ONE = {}, {}

local function long_character(text, at)
  for _, form in ipairs(LONG) do
    local character = text:match(form, at)
    if character then return character end
  end
end

local function characters(text)
  local list, at = {}, 1
  while at <= #text do
    local character = text:byte(at) > 127 and long_character(text, at) or text:sub(at, at)
    list[#list + 1] = character
    at = at + #character
  end
  return list
end

local function code(character)
  if #character == 1 then return character:byte() end
  local ok, point = pcall(utf8.codepoint, character, 1, 1, true)
  return ok and point or -1
end

--- The set that begins behind the "[" at `at`, and where it ends; nil if nothing ends it.
local function parse_set(list, at)
  local set = { negated = list[at + 1] == "!" or list[at + 1] == "^" }
  local first = at + (set.negated and 2 or 1)
  local i = first
  while list[i] and (list[i] ~= "]" or i == first) do
    local is_range = list[i + 1] == "-" and list[i + 2] and list[i + 2] ~= "]"
    set[#set + 1] = { code(list[i]), code(list[is_range and i + 2 or i]) }
    i = i + (is_range and 3 or 1)
  end
  if list[i] then return set, i end
end

--- Has the text characters that stand for others?
function pattern.is_magic(text)
  return text:find("[*?[]") ~= nil
end

--- Returns the pattern in a form for `matches`.
function pattern.compile(text)
  local list, tokens, i = characters(text), {}, 1
  while list[i] do
    local token = list[i]
    if token == "*" then
      token = STAR
    elseif token == "?" then
      token = ONE
    elseif token == "[" then
      local set, last = parse_set(list, i)
      if set then token, i = set, last end
    end
    if token ~= STAR or tokens[#tokens] ~= STAR then tokens[#tokens + 1] = token end
    i = i + 1
  end
  return tokens
end

local function fits(token, character)
  if token == ONE or token == character then return true end
  if type(token) ~= "table" or token == STAR or not character then return false end
  local point, found = code(character), false
  for _, range in ipairs(token) do found = found or (range[1] <= point and point <= range[2]) end
  return found ~= token.negated
end

--- Is all of `name` what the compiled pattern says? Takes no more than their lengths multiplied.
function pattern.matches(tokens, name)
  local list = characters(name)
  local i, j, star, mark = 1, 1, nil, nil
  while i <= #list do
    if tokens[j] == STAR then
      star, mark, j = j, i, j + 1
    elseif tokens[j] and fits(tokens[j], list[i]) then
      i, j = i + 1, j + 1
    elseif star then
      mark = mark + 1
      i, j = mark, star + 1
    else
      return false
    end
  end
  while tokens[j] == STAR do j = j + 1 end
  return tokens[j] == nil
end

return pattern

-- Reads a command line: options by a list that says what there is, and the other words.
local options = {}

-- Checks for a value: they return it converted, or nil.
function options.text(value)
  return value ~= "" and value or nil
end

-- A whole number from `least` on.
function options.count(least)
  return function(value)
    local number = value:match("^%d+$") and math.tointeger(tonumber(value))
    return number and number >= least and number <= 1000000 and number or nil
  end
end

-- A number of seconds above zero.
function options.seconds(value)
  local number = value:match("^[%d.]+$") and tonumber(value)
  return number and number > 0 and number <= 1000000 and number or nil
end

local function find(list, name)
  for _, option in ipairs(list) do
    if option.name == name then return option end
  end
end

-- Takes the words and a list of options: `name`, and for those with a value `value` (what it is, for messages) and
-- `check`. Returns a table of the values by option name, and the array of the other words; or nil and what is wrong.
-- "--name=value" is "--name value"; after "--" there are no options.
function options.parse(words, list)
  local values, others = {}, {}
  local i = 1
  while i <= #words do
    local word = words[i]
    local name, inline = word:match("^(%-%-[^=]+)=?(.*)$")
    local option = name and find(list, name:sub(3))
    if word == "--" then
      table.move(words, i + 1, #words, #others + 1, others)
      break
    elseif word:sub(1, 1) ~= "-" or word == "-" then
      others[#others + 1] = word
    elseif not option then
      return nil, ("unknown option %s"):format(word)
    elseif not option.value then
      if word:find("=", 1, true) then return nil, ("%s takes no value"):format(name) end
      values[option.name] = true
    else
      if not word:find("=", 1, true) then
        i = i + 1
        inline = words[i]
      end
      if not inline then return nil, ("%s needs a value: %s"):format(name, option.value) end
      values[option.name] = option.check(inline)
      if values[option.name] == nil then return nil, ("%s %s: expected %s"):format(name, inline, option.value) end
    end
    i = i + 1
  end
  return values, others
end

return options

-- Prints how many of the lines of lua/luawait ran, and which did not: scripts/coverage.lua LUAC FILE_OF_LINES, the
-- latter of "path:line" lines, as spec/support/linecount.c writes them.
local luac, noted = ...

local ran = {}
for line in io.lines(noted) do
  local path, number = line:match("/(lua/luawait/.-%.lua):(%d+)$")
  if path then
    ran[path] = ran[path] or {}
    ran[path][tonumber(number)] = true
  end
end

local function read_lines(path)
  local lines = {}
  for line in io.lines(path) do lines[#lines + 1] = line end
  return lines
end

--- Lines with instructions; not those that only end a block or a call, whose instructions may be out of reach.
local function code_lines(path)
  local text, found = read_lines(path), {}
  local pipe <close> = assert(io.popen(("%s -p -l '%s'"):format(luac, path)))
  for line in pipe:lines() do
    local number, name = line:match("^\t%d+\t%[(%d+)%]\t([A-Z0-9]+)")
    number = tonumber(number)
    local ends = number and (text[number]:find("^%s*end[%s,)}]*$") or text[number]:find("^[%s,)}]*$"))
    if number and name ~= "VARARGPREP" and not ends then found[number] = true end
  end
  return found, text
end

local function missed_lines(path)
  local missed, total = {}, 0
  local found, text = code_lines(path)
  for number = 1, #text do
    if found[number] then
      total = total + 1
      if not (ran[path] or {})[number] then missed[#missed + 1] = number end
    end
  end
  return missed, total
end

local pipe <close> = assert(io.popen("find lua/luawait -name '*.lua' | sort"))
local all, all_missed = 0, 0
print(("%-44s %6s %6s %6s   %s"):format("File", "Lines", "Exec", "Cover", "Missing"))
for path in pipe:lines() do
  local missed, total = missed_lines(path)
  all, all_missed = all + total, all_missed + #missed
  print(("%-44s %6d %6d %5d%%   %s"):format(path, total, total - #missed, (total - #missed) * 100 // math.max(total, 1),
    table.concat(missed, ",")))
end
print(("%-44s %6d %6d %5.1f%%"):format("TOTAL", all, all - all_missed, (all - all_missed) * 100 / math.max(all, 1)))
os.exit(all > 0 and all_missed < all)

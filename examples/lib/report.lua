-- What fetch_all prints: a table, a timeline with a bar for each request, and the sum.
-- A row is { url=, status=, bytes=, attempts=, error= (text), spans= }; a span is
-- { kind = "request" | "pause", from=, to= }, in seconds since the beginning.
local report = {}

local function length(text)
  return utf8.len(text)
end

-- What came from outside may hold anything; the terminal gets valid UTF-8 without control characters.
local function printable(text)
  if not utf8.len(text) then text = text:gsub("[\x80-\xff]", "?") end
  return (text:gsub("%c", "?"):gsub("\xc2[\x80-\x9f]", "?"))
end

-- Cuts the middle out of a text that is too long.
local function shorten(text, width)
  if length(text) <= width then return text end
  local head = width // 3
  local tail = width - head - 3
  return text:sub(1, utf8.offset(text, head + 1) - 1) .. "..." .. text:sub(utf8.offset(text, -tail))
end

local function left(text, width)
  return text .. (" "):rep(width - length(text))
end

local function right(text, width)
  return (" "):rep(width - length(text)) .. text
end

-- 1234567 -> "1,234,567"
local function thousands(number)
  local text = ("%d"):format(number):reverse():gsub("(%d%d%d)", "%1,"):reverse()
  return (text:gsub("^,", ""))
end

-- 1 -> "1 URL", 1000 -> "1,000 URLs"
function report.count(number, what)
  return ("%s %s%s"):format(thousands(number), what, number == 1 and "" or "s")
end

-- How long a job kept somebody waiting: its requests and the pauses between them.
function report.seconds(row)
  local sum = 0
  for _, span in ipairs(row.spans) do sum = sum + span.to - span.from end
  return sum
end

local function widest(rows, field, least)
  local width = least
  for _, row in ipairs(rows) do width = math.max(width, length(row[field])) end
  return width
end

local function write_table(rows, style)
  local lines = {}
  for i, row in ipairs(rows) do
    lines[i] = {
      row = row,
      url = shorten(printable(row.url), style.columns // 2),
      bytes = row.bytes and thousands(row.bytes) or "-",
      ms = ("%d"):format(math.floor(report.seconds(row) * 1000 + 0.5)),
    }
  end
  local number, url = math.max(2, #tostring(#rows)), widest(lines, "url", 3)
  local bytes, ms = widest(lines, "bytes", 5), widest(lines, "ms", 4)
  io.write(style.bold, right("#", number), "  ", left("URL", url), "  status  ", right("bytes", bytes), "  ",
    right("ms", ms), "  tries  error", style.plain, "\n")
  for i, line in ipairs(lines) do
    local row = line.row
    local status = row.status and tostring(row.status) or "-"
    local text = table.concat({ right(tostring(i), number), left(line.url, url), right(status, 6),
      right(line.bytes, bytes), right(line.ms, ms), right(tostring(row.attempts), 5) }, "  ")
    io.write(text, row.error and "  " .. style.bad .. printable(row.error) .. style.plain or "", "\n")
  end
end

-- The URLs without http://, and without the host where it is that of the first.
local function labels(rows)
  local all, host = {}, nil
  for i, row in ipairs(rows) do
    local label = printable(row.url):gsub("^http://", "")
    host = host or label:match("^[^/]+/") or label
    local same = #rows > 1 and label:sub(1, #host) == host
    all[i] = same and label:sub(#host) or label
  end
  return all
end

-- A line of cells, each a moment: requests are solid, pauses are not.
local function bar(row, width, scale, style)
  local cells = {}
  for i = 1, width do cells[i] = " " end
  for _, kind in ipairs({ "pause", "request" }) do
    for _, span in ipairs(row.spans) do
      local from = math.min(math.floor(span.from / scale), width - 1)
      local to = math.max(from + 1, math.min(math.ceil(span.to / scale), width))
      for i = from + 1, span.kind == kind and to or from do cells[i] = style[kind] end
    end
  end
  return (table.concat(cells):gsub(" +$", ""))
end

local function write_timeline(rows, took, style)
  local texts, label = labels(rows), #"timeline"
  for i, text in ipairs(texts) do
    texts[i] = shorten(text, style.columns // 3)
    label = math.max(label, length(texts[i]))
  end
  local number = math.max(2, #tostring(#rows))
  local width = math.max(20, style.columns - label - number - 5)
  local scale = math.max(took, 0.001) / width
  local margin, axis = (" "):rep(number + 2), "0" .. right(("%.2f s"):format(took), width - 1)
  io.write("\n", style.bold, margin, left("timeline", label), "  ", axis, style.plain, "\n")
  for i, row in ipairs(rows) do
    local colour = row.error and style.bad or style.good
    local cells = bar(row, width, scale, style)
    io.write(right(tostring(i), number), "  ", left(texts[i], label), "  ", colour, cells, style.plain, "\n")
  end
  io.write(margin, left("", label), "  ", style.request, " request  ", style.pause, " pause before a retry\n")
end

local function write_sum(rows, took)
  local waits, bytes, failed = 0, 0, 0
  for _, row in ipairs(rows) do
    waits = waits + report.seconds(row)
    bytes = bytes + (row.bytes or 0)
    failed = failed + (row.error and 1 or 0)
  end
  io.write(("\n%s: %d fetched (%s), %d failed.\n"):format(
    report.count(#rows, "URL"), #rows - failed, report.count(bytes, "byte"), failed))
  io.write(("The waits add up to %.2f s; together they took %.2f s, %.1f times less.\n"):format(
    waits, took, waits / math.max(took, 0.001)))
end

-- Writes it all to stdout. `title`: the first line; `took`: seconds; `style`: `columns`, `utf8`, `colour`.
function report.write(title, rows, took, style)
  local colour = style.colour
  style = {
    columns = style.columns,
    request = style.utf8 and "█" or "#",
    pause = style.utf8 and "·" or ".",
    bold = colour and "\27[1m" or "",
    good = colour and "\27[32m" or "",
    bad = colour and "\27[31m" or "",
    plain = colour and "\27[0m" or "",
  }
  io.write(title, "\n\n")
  write_table(rows, style)
  write_timeline(rows, took, style)
  write_sum(rows, took)
end

return report

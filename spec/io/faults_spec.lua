-- Every call of libuv that can return an error does so once, in turn, in programs that touch every public function.
local async = require "luawait"
local fs = require "luawait.fs"
local net = require "luawait.net"
local process = require "luawait.process"
local signal = require "luawait.signal"
local std = require "luawait.std"
local testing = require "luawait.testing"
local tty = require "luawait.tty"
local faults = require "spec.support.faults"
local helpers = require "spec.support.helpers"
local programs = require "spec.support.programs"

-- Functions of libuv that the module calls and that call_faults.c leaves alone: those that return no error, or none
-- where their arguments are in order.
local cannot_fail = {}
for name in ([[
  uv_async_send uv_backend_fd uv_backend_timeout uv_buf_init uv_check_init uv_check_start uv_err_name_r
  uv_freeaddrinfo uv_fs_req_cleanup uv_gettimeofday uv_guess_handle uv_handle_type_name uv_hrtime uv_idle_init
  uv_idle_start uv_idle_stop uv_ip4_addr uv_ip6_addr uv_ip_name uv_is_closing uv_is_readable uv_is_writable
  uv_loop_alive uv_mutex_destroy uv_mutex_lock uv_mutex_unlock uv_now uv_os_getpid uv_os_tmpdir uv_pipe_init
  uv_poll_stop uv_prepare_init uv_prepare_start uv_read_stop uv_ref uv_run uv_signal_init uv_signal_stop uv_sleep
  uv_stop uv_stream_get_write_queue_size uv_strerror_r uv_tcp_init uv_thread_join uv_timer_init uv_timer_start
  uv_timer_stop uv_translate_sys_error uv_udp_get_send_queue_count uv_udp_recv_stop uv_udp_using_recvmmsg uv_unref
  uv_update_time uv_version_string uv_walk]])
  :gmatch("%S+") do
  cannot_fail[name] = true
end

-- print writes to stdout, and std.tostring is all that is behind it; `it` is for busted's specs, and fail_at_every_call
-- does what these do.
local others = { print = true, it = true, fail_at_every_call = true }

describe("the programs", function()
  local text = programs.text()

  local function used(name) return text:find("%f[%w_]" .. name .. "%f[^%w_]") ~= nil end

  it("touch every public function", function()
    local modules = {
      async = async, fs = fs, net = net, process = process, signal = signal, std = std,
      ["std.coroutine"] = std.coroutine, testing = testing, tty = tty,
    }
    for module, object in pairs(modules) do
      for name, value in pairs(object) do
        local is_class = type(value) == "table" and async.errors[name] == value
        if not is_class and not others[name] and name:sub(1, 1) ~= "_" then
          local found = text:find(module .. "." .. name, 1, true) ~= nil
          assert.is_true(found, ("no program uses %s.%s"):format(module, name))
        end
      end
    end
  end)

  it("touch every method", function()
    for _, name in ipairs({ "luawait", "net", "fs", "process", "signal" }) do
      local path = ("types/%s.lua"):format(name)
      for class, method in helpers.read_file(path):gmatch("\nfunction (%u%w+)[.:]([%w_]+)") do
        -- print_stack writes to stderr; get_stack is all that is behind it.
        local found = method == "print_stack" or used(method)
        assert.is_true(found, ("no program uses %s:%s"):format(class, method))
      end
    end
  end)
end)

describe("a call that fails:", function()
  local built, hit = nil, {}

  setup(function() built = faults.available() end)
  teardown(programs.clean)

  for _, name in ipairs(programs.names()) do
    it(name, function()
      if not built then return pending("no linker with --wrap") end
      local rounds, names = faults.every_call(programs.sources[name])
      assert.is_true(rounds >= 2)
      for each in pairs(names) do hit[each] = true end
    end)
  end

  it("the memory for what comes, where no block of another stream is left", function()
    if not built then return pending("no linker with --wrap") end
    local rounds = faults.every_call([[
      run(function()
        local server <close> = net.serve("127.0.0.1", 0, function(stream)
          stream:read(1)
          async.await(async.Future()) -- the rest stays in its block
        end)
        local _, port = server:address()
        local clients = {}
        for i = 1, 6 do
          clients[i] = net.connect("127.0.0.1", port)
          clients[i]:write(("x"):rep(60000))
          async.sleep(0.0005)
        end
        server:shutdown(0)
        for i = 1, 6 do clients[i]:close() end
      end)]])
    assert.is_true(rounds >= 2)
  end)

  it("has been every one that the module makes", function()
    if not built then return pending("no linker with --wrap") end
    local pipe <close> = assert(io.popen(("nm -D '%s/luawait/core.so'"):format(os.getenv("LUAWAIT_BUILD") or "build")))
    local count = 0
    for name in pipe:read("a"):gmatch(" U (uv_[%w_]+)") do
      count = count + 1
      local on_terminals = name == "uv_tty_init" -- spec/io/tty_spec.lua
      if not cannot_fail[name] and not on_terminals and name ~= "uv_close" and name ~= "uv_loop_close" then
        assert.is_true(hit[name] == true, name .. " has not failed: wrap it in call_faults.c, have a program call it, "
          .. "or tell why it cannot fail")
      end
    end
    assert.is_true(count > 40)
  end)
end)

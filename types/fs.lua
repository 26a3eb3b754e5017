---@meta luawait.fs

-- What `require "luawait.fs"` gives. What waits, what a wrong argument raises and what a cancellation does is said
-- at the top of types/luawait.lua. All of it is done by threads of libuv's pool (4, see UV_THREADPOOL_SIZE), so that
-- the loop goes on meanwhile. A failed operation raises OSError: `code` ("ENOENT"), `errno`, `syscall` ("open"),
-- `path`, and `path2` where there are two.
--
-- Unless another thing is said: "Waits" is true of every function, and a cancelled one is not done at all when no
-- thread had begun it, else it goes on to its end in its thread. Either way nothing that it opens stays open.
--
-- Paths are strings of bytes, as the system has them, without zeros. File modes are integers: 420 is rw-r--r--.

---@class luawait.fs
local fs = {}

-- ---- whole files ----

---All bytes of a file, also of one that grows meanwhile, or whose size is told as 0 (as in /proc). A cancelled one
---stops reading. Waits.
---@param path string
---@return string data
function fs.read_file(path) end

---@class luawait.fs.WriteFileOptions
---@field append? boolean add to the file instead of replacing what is in it
---@field atomic? boolean whoever opens the file meanwhile, or after a crash, finds the old content or the new one
---@field mode? integer of the file where it is made anew (default 438, rw-rw-rw-, less the process's umask)

---Writes a file, which is made if there is none. A cancelled one may have written a part of the data.
---
---With `atomic` the data are written to a new file in the same directory (".PID-TIME.tmp"), which is synced and then
---takes the place of the old one; then the directory is synced. The new file has the mode of the old one, or `mode`,
---and the owner of this process; a symbolic link at `path` is replaced itself. A cancelled one has replaced the file
---or not, and removes its own; one that is killed may leave that behind. Waits.
---@param path string
---@param data string
---@param opts? luawait.fs.WriteFileOptions
function fs.write_file(path, data, opts) end

-- ---- open files ----

---@class luawait.fs.OpenOptions
---@field mode? integer of a file that is made (default 438, rw-rw-rw-, less the process's umask)

---Opens a file. A cancelled one closes it again. Opening a named pipe holds a thread until the other end is opened.
---Waits.
---@param path string
---@param mode? string as of io.open: "r" (default), "w", "a", "r+", "w+", "a+"; with "x" ("wx") there must be no such
--- file yet; "b" means nothing
---@param opts? luawait.fs.OpenOptions
---@return luawait.fs.File
function fs.open(path, mode, opts) end

---An open file. Operations of several tasks on it take turns in the order of their calls, each of them whole; they
---share one position, which is the system's: that of a child process, too, to which the file was given. Held in a
---`<close>` variable it is closed when the scope is left: left well, as by close(); with an error, without waiting. One
---that is dropped is closed when it is collected, with a report in debug mode. All are closed at the end of the run.
---Each method raises RuntimeError when the file is closed.
---@class luawait.fs.File
local File = {}

---Reads as Lua's own files do, for each format a result, up to the first that meets the end of the file, whose result
---is nil. Reads ahead in blocks; what is there is given without waiting. A cancelled one takes nothing: what it has
---read stays in the file. Waits.
---@param ... integer | "l" | "L" | "a" | "n" so many bytes at most (0: "", or nil at the end); a line without or with
--- its end; all that is left ("" at the end); a number. Default: "l"
---@return string | number | nil ...
function File:read(...) end

---Iterates over what read(...) returns, until that is nil. Each step may wait.
---@param ... integer | "l" | "L" | "a" | "n"
---@return fun(): string | number | nil, ...
function File:lines(...) end

---Writes all its arguments. Returns when the system has taken them. A cancelled one may have written a part. Waits.
---@param ... string | number
---@return luawait.fs.File self
function File:write(...) end

---Moves the position. A cancelled one may have done so. Waits.
---@param whence? "set" | "cur" | "end" where from: the beginning, here (default), the end
---@param offset? integer bytes (default 0)
---@return integer position bytes from the beginning
function File:seek(whence, offset) end

---Cuts or lengthens the file (with zeros, which need no room on the disk). Waits.
---@param size? integer bytes (default: those before the position)
---@return luawait.fs.File self
function File:truncate(size) end

---Returns when all that was written is on the disk (fsync). Waits.
---@return luawait.fs.File self
function File:sync() end

---What fs.stat tells, of this file. Waits.
---@return luawait.fs.Stat
function File:stat() end

---Closes it for the program at once; then waits for the operations begun before, and for the system. Raises OSError
---where the system says only now that something could not be written: it is closed all the same. A second time nothing
---happens. A cancelled one goes on. Outside a task (in a callback) it closes without waiting. Waits.
function File:close() end

-- ---- what a path names ----

---@alias luawait.fs.Type "file" | "directory" | "link" | "fifo" | "socket" | "char" | "block" | "unknown"

---@class luawait.fs.Stat
---@field type luawait.fs.Type
---@field mode integer the permissions, 0 to 4095
---@field size integer bytes
---@field uid integer
---@field gid integer
---@field nlink integer names that it has
---@field ino integer with dev: tells it from all others
---@field dev integer
---@field rdev integer of a device: which
---@field blocks integer of 512 bytes, on the disk
---@field blksize integer bytes that are best read at once
---@field atime number last read, seconds since 1970
---@field mtime number content last changed
---@field ctime number anything about it last changed
---@field birthtime number made, where the system knows that

---What the system knows of a file. Waits.
---@param path string
---@return luawait.fs.Stat
function fs.stat(path) end

---The same, but of a symbolic link itself. Waits.
---@param path string
---@return luawait.fs.Stat
function fs.lstat(path) end

---Is there anything? False for a link that leads nowhere. Raises OSError where that cannot be told (EACCES). Waits.
---@param path string
---@return boolean
function fs.exists(path) end

---May this process do that? Somebody may change it the next moment: mostly it is better to try, and see what is raised.
---Waits.
---@param path string
---@param how? string letters of "rwx" (default "": is there anything?)
---@return boolean
function fs.access(path, how) end

---Where a symbolic link leads, as it is written in it. Waits.
---@param path string
---@return string
function fs.readlink(path) end

---The absolute path, without links, "." and "..". Raises OSError where nothing is there. Waits.
---@param path string
---@return string
function fs.realpath(path) end

-- ---- names ----

---Removes a file or a link; not a directory. Waits.
---@param path string
function fs.remove(path) end

---Gives another name, replacing what has that. Within one file system; else OSError "EXDEV". Waits.
---@param path string
---@param new_path string
function fs.rename(path, new_path) end

---@class luawait.fs.CopyOptions
---@field exclusive? boolean raise OSError "EEXIST" where there is something at `new_path` already

---Copies the content and the mode of a file, sharing the blocks on the disk where the file system can do so. Waits.
---A copy that fails or is cancelled is removed, with what was at `new_path`; a device, say, stays.
---@param path string
---@param new_path string
---@param opts? luawait.fs.CopyOptions
function fs.copy(path, new_path, opts) end

---Gives a file a further name. Waits.
---@param path string
---@param new_path string
function fs.link(path, new_path) end

---Makes a symbolic link. Waits.
---@param target string where it leads, which need not exist; relative to the directory of the link
---@param path string of the link
function fs.symlink(target, path) end

-- ---- attributes ----

---Changes the permissions. Waits.
---@param path string
---@param mode integer 0 to 4095
function fs.chmod(path, mode) end

---Changes the owner and the group. Waits.
---@param path string
---@param uid integer -1: leave it
---@param gid integer -1: leave it
function fs.chown(path, uid, gid) end

---Changes the times. Waits.
---@param path string
---@param atime? number seconds since 1970 (default: now)
---@param mtime? number (default: atime)
function fs.utime(path, atime, mtime) end

-- ---- directories ----

---@class luawait.fs.MkdirOptions
---@field parents? boolean make the directories above it that are missing, too
---@field exist_ok? boolean no error if there is such a directory already
---@field mode? integer (default 511, rwxrwxrwx, less the process's umask); of parents too

---Makes a directory. Waits.
---@param path string
---@param opts? luawait.fs.MkdirOptions
function fs.mkdir(path, opts) end

---Removes an empty directory. Waits.
---@param path string
function fs.rmdir(path) end

---Removes a directory with all that is in it. Never follows a symbolic link, also where another process puts one into
---the place of a directory meanwhile: every step is made in the open directory that it concerns (openat with
---O_NOFOLLOW, unlinkat). A link at `path` itself is an error, also with a slash behind it. Each level needs a
---descriptor. Stops at the first that cannot be removed, which is the error's `path`. A cancelled one stops, too.
---Waits.
---@param path string
function fs.rmtree(path) end

---Iterates over the entries of a directory, without "." and "..", in the system's order. The directory is read at once;
---the loop does not wait. Raises OSError when it is called, not later. Waits.
---@param path string
---@return fun(): string?, luawait.fs.Type? entries the name, and the type, of a link itself; closable
function fs.scandir(path) end

---The names in a directory, in the system's order. Waits.
---@param path string
---@return string[]
function fs.listdir(path) end

---@class luawait.fs.WalkOptions
---@field bottom_up? boolean each directory after those in it (default: before)
---@field follow? boolean enter directories that symbolic links lead to, too; each directory is entered once
---@field on_error? fun(err: any) is called with the error of a directory that cannot be read, which is passed over;
--- without this the error is raised

---Iterates over a directory and all those below it: for each its path, an array of the names of the directories in it,
---and one of all other names. Top down, the caller may change `dirs`: only what is left in it is entered. Symbolic
---links are among the other names, unless they are followed. Each step may wait. As Python's os.walk. Waits.
---@param path string
---@param opts? luawait.fs.WalkOptions
---@return fun(): string?, string[]?, string[]? path, dirs, files
function fs.walk(path, opts) end

---@class luawait.fs.GlobOptions
---@field hidden? boolean names that begin with "." match like others (default: only where the pattern has that "."
--- itself)

---The paths that a pattern matches, sorted. `*`: any characters but "/", `?`: one, `[a-z]` `[!a-z]`: one of these or
---none of these, `[*]`: a star. `**`: any number of directories, not by way of links; at the end: everything below.
---A slash at the end: directories only, also by way of links; the paths end with it, too. Directories that cannot be
---read match nothing. Waits.
---@param pattern string
---@param opts? luawait.fs.GlobOptions
---@return string[]
function fs.glob(pattern, opts) end

---Makes a directory that is new, for this user alone. A cancelled one may have made it. Waits.
---@param prefix? string of its path, to which six characters are added (default: "lua-" in the system's directory for
--- temporary files)
---@return string path
function fs.mkdtemp(prefix) end

---Makes a file that is new, for this user alone, and opens it for reading and writing. A cancelled one may have made
---it. Waits.
---@param prefix? string as for mkdtemp
---@return luawait.fs.File
---@return string path
function fs.mkstemp(prefix) end

-- ---- watching ----

---@class luawait.fs.WatchOptions
---@field limit? integer 1 to 8192: events that are kept until they are asked for (default 1024)

---Watches a file, or the entries of a directory (not those of directories in it), by the system's means (inotify,
---kqueue, FSEvents). Never waits. In a for loop, or a `<close>` variable, it is closed at the end.
---@param path string
---@param opts? luawait.fs.WatchOptions
---@return luawait.fs.Watch
function fs.watch(path, opts) end

---What fs.watch gives; calling it is next(). Keeps the run from ending with a DeadlockError while a task waits for it.
---@class luawait.fs.Watch
---@overload fun(): string?, string?
local Watch = {}

---The next event; those that came before are kept. Waits; one task at a time, RuntimeError for a second one. Raises
---OSError. A cancelled one takes no event.
---
---"change": content or attributes of the entry `name` (of a file that is watched: its own name) have changed; "rename":
---it was made, removed, or got another name; "overflow", without a name: more has happened than could be kept, look
---for yourself.
---@return "change" | "rename" | "overflow" | nil kind nil once it is closed
---@return string? name
function Watch:next() end

---Ends it: whoever waits gets nil. Never waits.
function Watch:close() end

---Is it closed?
---@return boolean closed
function Watch:is_closing() end

return fs

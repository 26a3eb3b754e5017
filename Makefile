# Two commands matter: `make demo` and `make test`. Both install what is missing, build, and run.
# Everything here only calls the scripts; CONTRIBUTING.md tells how to run parts of it.

.PHONY: all build install setup demo test bench lint format tidy asan tsan valgrind fuzz stress coverage clean

all: build

setup:
	@scripts/setup.sh test

build:
	@scripts/build.sh

# make install PREFIX=/usr/local DESTDIR=/tmp/package
install: build
	@DESTDIR="$(DESTDIR)" cmake --install "$(or $(LUAWAIT_BUILD),build)" --prefix "$(or $(PREFIX),/usr/local)"

# Lua programs need the module alone, not what else is installed.
demo:
	@scripts/setup.sh demo
	@LUAWAIT_TARGET=core scripts/build.sh
	@scripts/lua.sh examples/fetch_all.lua

test: setup
	@scripts/build.sh "$${LUAWAIT_BUILD:-build}" -DLUAWAIT_TESTS=ON
	@scripts/test.sh

# make bench PEERS=1: beside other schedulers, where they are installed
bench:
	@scripts/setup.sh bench
	@LUAWAIT_TARGET=core scripts/build.sh
	@python3 bench/run.py $(if $(PEERS),--peers) $(ARGS)

# Layers, luacheck, the format of the C files, and clang-tidy.
lint: setup tidy
	@scripts/lint.sh

tidy:
	@scripts/setup.sh ci
	@scripts/tidy.sh

format:
	@scripts/format.sh

# The specs and the conformance scenarios under ASan, UBSan and the leak check (Linux, gcc).
asan:
	@scripts/setup.sh ci
	@scripts/asan.sh

# Several states in several threads under ThreadSanitizer (Linux, gcc).
tsan:
	@scripts/setup.sh ci
	@scripts/tsan.sh

# A few scenarios, and the programs that use the C API, under valgrind.
valgrind:
	@scripts/setup.sh ci
	@scripts/build.sh "$${LUAWAIT_BUILD:-build}" -DLUAWAIT_TESTS=ON
	@scripts/valgrind.sh

# What parses bytes, under libFuzzer: make fuzz SECONDS=600
fuzz:
	@scripts/setup.sh ci
	@scripts/fuzz.sh $(or $(SECONDS),24)

# Random programs over the whole API, under ASan: make stress SECONDS=600; make stress SEED=123 begins with that one
stress:
	@scripts/setup.sh ci
	@scripts/stress.sh $(or $(SECONDS),20) $(SEED)

# The lines of C and of Lua that the tests reach.
coverage:
	@scripts/setup.sh coverage
	@scripts/coverage.sh

clean:
	rm -rf build build-*

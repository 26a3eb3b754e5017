# The target `fuzz`, for scripts/fuzz.sh: the module linked into a program of libFuzzer's.
if(LUAWAIT_SANITIZE MATCHES "fuzzer-no-link")
  string(REPLACE "fuzzer-no-link" "fuzzer" sanitizers "${LUAWAIT_SANITIZE}")
  pkg_search_module(LUA54_LIB REQUIRED IMPORTED_TARGET lua5.4 lua-5.4 lua54 lua>=5.4)
  add_executable(fuzz EXCLUDE_FROM_ALL ${LUAWAIT_SOURCES} spec/fuzz/fuzz.c)
  luawait_module(fuzz)
  set_target_properties(fuzz PROPERTIES SUFFIX "")
  target_link_libraries(fuzz PRIVATE PkgConfig::LUA54_LIB)
  target_link_options(fuzz PRIVATE -fsanitize=${sanitizers} LINKER:--wrap=uv_read_start LINKER:--wrap=uv_read_stop
    LINKER:--wrap=uv_is_readable)
endif()

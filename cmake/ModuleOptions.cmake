include(CheckCCompilerFlag)
check_c_compiler_flag(-fno-plt LUAWAIT_HAS_NO_PLT)

# luawait_sanitize(TARGET): the options for LUAWAIT_SANITIZE.
function(luawait_sanitize target)
  if(LUAWAIT_SANITIZE)
    set(flags -fsanitize=${LUAWAIT_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_compile_options(${target} PRIVATE ${flags})
    target_link_options(${target} PRIVATE ${flags})
  endif()
endfunction()

# luawait_module(TARGET): the properties, and the compiler and linker options, of the module `core`.
function(luawait_module target)
  target_include_directories(${target} PRIVATE csrc)
  target_include_directories(${target} SYSTEM PRIVATE "${LUA54_INCLUDE_DIR}")
  target_link_libraries(${target} PRIVATE PkgConfig::LIBUV Threads::Threads)
  set_target_properties(${target} PROPERTIES
    C_STANDARD 11
    C_STANDARD_REQUIRED ON
    C_VISIBILITY_PRESET hidden
    PREFIX ""
    SUFFIX ".so") # on macOS too: it is what package.cpath looks for
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow)
  if(LUAWAIT_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(LUAWAIT_HAS_NO_PLT)
    # The functions of Lua and libuv are called through their addresses, without a jump each on the way there.
    target_compile_options(${target} PRIVATE -fno-plt)
  endif()
  if(APPLE)
    # The Lua symbols come from the interpreter that loads the module.
    target_link_options(${target} PRIVATE -undefined dynamic_lookup)
  endif()
  if(NOT APPLE)
    # A Lua state that is closed while a thread of libuv's pool is in the module's code unloads the module.
    # (The leak check of the sanitizers, which runs at exit, needs its symbols too.)
    target_link_options(${target} PRIVATE LINKER:-z,nodelete)
  endif()
  if(LUAWAIT_SANITIZE)
    luawait_sanitize(${target})
  endif()
endfunction()

if(LUAWAIT_LTO AND NOT LUAWAIT_SANITIZE)
  include(CheckIPOSupported)
  check_ipo_supported(RESULT LUAWAIT_CAN_LTO OUTPUT LUAWAIT_LTO_OUTPUT LANGUAGES C)
  message(STATUS "Link-time optimization: ${LUAWAIT_CAN_LTO}")
endif()

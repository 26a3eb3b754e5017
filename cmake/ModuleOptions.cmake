# Compiler and linker options of the module `core`.
target_compile_options(core PRIVATE -Wall -Wextra -Wshadow)
if(LUAWAIT_WERROR)
  target_compile_options(core PRIVATE -Werror)
endif()

# The functions of Lua and libuv are called through their addresses, without a jump each on the way there.
include(CheckCCompilerFlag)
check_c_compiler_flag(-fno-plt LUAWAIT_HAS_NO_PLT)
if(LUAWAIT_HAS_NO_PLT)
  target_compile_options(core PRIVATE -fno-plt)
endif()

if(APPLE)
  # The Lua symbols come from the interpreter that loads the module.
  target_link_options(core PRIVATE -undefined dynamic_lookup)
endif()

if(LUAWAIT_SANITIZE)
  set(LUAWAIT_SANITIZERS -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_compile_options(core PRIVATE ${LUAWAIT_SANITIZERS})
  target_link_options(core PRIVATE ${LUAWAIT_SANITIZERS})
  if(NOT APPLE)
    # The leak check runs at exit, after Lua unloaded its modules, and needs the symbols of this one.
    target_link_options(core PRIVATE LINKER:-z,nodelete)
  endif()
elseif(LUAWAIT_LTO)
  include(CheckIPOSupported)
  check_ipo_supported(RESULT LUAWAIT_CAN_LTO OUTPUT LUAWAIT_LTO_OUTPUT LANGUAGES C)
  set_target_properties(core PROPERTIES INTERPROCEDURAL_OPTIMIZATION ${LUAWAIT_CAN_LTO})
  message(STATUS "Link-time optimization: ${LUAWAIT_CAN_LTO}")
endif()

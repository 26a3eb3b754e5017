# With LUAWAIT_TESTS: what the tests run besides the module. The target `faults`; the programs of examples/embed, and
# those that the specs of the C API run, in BUILD/embed. All before the first test runs, since they run side by side.
if(LUAWAIT_TESTS)
  pkg_search_module(LUA54_LIB REQUIRED IMPORTED_TARGET lua5.4 lua-5.4 lua54 lua>=5.4)
  file(GLOB programs CONFIGURE_DEPENDS
    "${CMAKE_CURRENT_SOURCE_DIR}/examples/embed/*.c" "${CMAKE_CURRENT_SOURCE_DIR}/spec/support/embed_*.c")
  if(APPLE) # whose linker has no --wrap
    list(FILTER programs EXCLUDE REGEX "/embed_faults\\.c$")
  endif()
  foreach(program IN LISTS programs)
    get_filename_component(name "${program}" NAME_WE)
    add_executable(${name} "${program}")
    target_link_libraries(${name} PRIVATE luawait_static PkgConfig::LUA54_LIB m)
    target_include_directories(${name} PRIVATE "${LUA54_INCLUDE_DIR}")
    target_compile_options(${name} PRIVATE -Wall -Wextra -Wshadow)
    luawait_sanitize(${name})
    set_target_properties(${name} PROPERTIES
      C_STANDARD 11 C_STANDARD_REQUIRED ON RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/embed")
  endforeach()
  # What libuv and malloc say to the C API goes through this program, which has them fail.
  if(TARGET embed_faults)
    foreach(call malloc calloc uv_loop_init uv_mutex_init uv_async_init uv_thread_create)
      target_link_options(embed_faults PRIVATE LINKER:--wrap=${call})
    endforeach()
  endif()

  # A C module that is not linked with luawait.
  add_library(api_module MODULE spec/support/api_module.c)
  target_include_directories(api_module PRIVATE csrc "${LUA54_INCLUDE_DIR}")
  target_link_libraries(api_module PRIVATE Threads::Threads)
  luawait_sanitize(api_module)
  set_target_properties(api_module PROPERTIES
    C_STANDARD 11 PREFIX "" SUFFIX .so LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/embed")
  if(APPLE)
    target_link_options(api_module PRIVATE -undefined dynamic_lookup)
  endif()

  # For the spec that compiles the header as C++.
  file(WRITE "${CMAKE_BINARY_DIR}/embed/lua_include" "${LUA54_INCLUDE_DIR}")
endif()

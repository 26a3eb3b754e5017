# The target `faults`: the module with csrc/core/call_faults.c and file_faults.c between it and what it calls. Not for
# macOS, whose linker has no --wrap.
set(LUAWAIT_FAULTS
  "${CMAKE_CURRENT_SOURCE_DIR}/csrc/core/call_faults.c" "${CMAKE_CURRENT_SOURCE_DIR}/csrc/core/file_faults.c")
if(NOT APPLE)
  set(options)
  foreach(source IN LISTS LUAWAIT_FAULTS)
    file(STRINGS "${source}" lines REGEX "^(FILE_)?FAULT\\(|__wrap_[a-z0-9_]+\\(")
    foreach(line IN LISTS lines)
      if(line MATCHES "^(FILE_)?FAULT\\(([a-z0-9_]+)|__wrap_([a-z0-9_]+)\\(")
        list(APPEND options "LINKER:--wrap=${CMAKE_MATCH_2}${CMAKE_MATCH_3}")
      endif()
    endforeach()
  endforeach()
  list(REMOVE_DUPLICATES options)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${LUAWAIT_FAULTS})

  add_library(faults MODULE EXCLUDE_FROM_ALL ${LUAWAIT_SOURCES})
  luawait_module(faults)
  target_compile_definitions(faults PRIVATE LUAWAIT_FAULTS)
  target_link_options(faults PRIVATE ${options})
  set_target_properties(faults PROPERTIES
    OUTPUT_NAME core
    LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/faults/luawait"
    INTERPROCEDURAL_OPTIMIZATION OFF)
endif()

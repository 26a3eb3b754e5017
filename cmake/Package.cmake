# What programs in C find after the installation: libluawait.a, luawait.pc for pkg-config, and the CMake package
# `luawait` with the target luawait::luawait. All of it may be moved: paths are relative to the files. Lua is named in
# neither when LUA_INCDIR was given: such a host brings its own.
include(CMakePackageConfigHelpers)
set(LUAWAIT_CMAKE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/luawait")
file(RELATIVE_PATH LUAWAIT_UP "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
if(NOT LUA_INCDIR)
  set(LUAWAIT_LUA_MODULE "${LUA54_MODULE_NAME}") # pkg_search_module has set it, or it is the last resort there
  if(NOT LUAWAIT_LUA_MODULE)
    set(LUAWAIT_LUA_MODULE lua)
  endif()
endif()

set_target_properties(luawait_static PROPERTIES EXPORT_NAME luawait)
install(TARGETS luawait_static EXPORT luawait-targets
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
  INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(EXPORT luawait-targets NAMESPACE luawait:: DESTINATION "${LUAWAIT_CMAKE_DIR}")

configure_file(cmake/luawait.pc.in luawait.pc @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/luawait.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")

configure_package_config_file(cmake/luawait-config.cmake.in luawait-config.cmake
  INSTALL_DESTINATION "${LUAWAIT_CMAKE_DIR}")
write_basic_package_version_file(luawait-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES
  "${CMAKE_CURRENT_BINARY_DIR}/luawait-config.cmake" "${CMAKE_CURRENT_BINARY_DIR}/luawait-config-version.cmake"
  DESTINATION "${LUAWAIT_CMAKE_DIR}")

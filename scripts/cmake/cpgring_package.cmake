# Install rules, the CMake package and the pkg-config file.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/cpgring)

# Installed without debug information, which lies beside it: see cpgring_split_debug.cmake.
function(cpgring_install_stripped target folder)
  install(CODE "
    set(CPGRING_OBJCOPY \"${CMAKE_OBJCOPY}\")
    set(CPGRING_FILE \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${folder}/$<TARGET_FILE_NAME:${target}>\")
    include(\"${PROJECT_SOURCE_DIR}/scripts/cmake/cpgring_split_debug.cmake\")")
endfunction()

foreach(kind shared static)
  install(TARGETS cpgring_${kind} EXPORT cpgring_${kind})
  cpgring_install_stripped(cpgring_${kind} ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT cpgring_${kind} NAMESPACE cpgring:: DESTINATION ${package_dir} FILE cpgring-${kind}.cmake)
endforeach()
if(TARGET cpgring_cli)
  install(TARGETS cpgring_cli)
  cpgring_install_stripped(cpgring_cli ${CMAKE_INSTALL_BINDIR})
endif()
# In a directory of its own: whoever wants it in place of the stock one names that directory.
if(TARGET cpgring_compat)
  install(TARGETS cpgring_compat LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/cpgring NAMELINK_SKIP)
  cpgring_install_stripped(cpgring_compat ${CMAKE_INSTALL_LIBDIR}/cpgring)
endif()
install(DIRECTORY include/cpgring TYPE INCLUDE FILES_MATCHING PATTERN *.hpp)

configure_package_config_file(scripts/cmake/cpgring-config.cmake.in cpgring-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(cpgring-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/cpgring-config.cmake ${PROJECT_BINARY_DIR}/cpgring-config-version.cmake DESTINATION ${package_dir})

# Relative to where it lies, so that the installed tree can be moved and 'cmake --install --prefix' is enough.
file(RELATIVE_PATH prefix_from_pkgconfig /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" prefix_from_pkgconfig ${prefix_from_pkgconfig})
configure_file(scripts/cmake/cpgring.pc.in cpgring.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/cpgring.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

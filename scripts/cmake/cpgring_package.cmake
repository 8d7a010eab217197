# Install rules, the CMake package and the pkg-config files.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/cpgring)

# Strips an installed file. Its debug information is kept beside it: see cpgring_split_debug.cmake.
function(cpgring_install_stripped target folder)
  install(CODE "
    set(CPGRING_OBJCOPY \"${CMAKE_OBJCOPY}\")
    set(CPGRING_FILE \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${folder}/$<TARGET_FILE_NAME:${target}>\")
    include(\"${PROJECT_SOURCE_DIR}/scripts/cmake/cpgring_split_debug.cmake\")")
endfunction()

# The static libraries are exported separately, because a user of one needs the development files of what it depends on.
foreach(name cpgring cpgring_service cpgring_testing)
  foreach(kind shared static)
    set(export ${kind})
    if(kind STREQUAL "static" AND NOT name STREQUAL "cpgring")
      set(export service-static)
    endif()
    install(TARGETS ${name}_${kind} EXPORT cpgring-${export})
    cpgring_install_stripped(${name}_${kind} ${CMAKE_INSTALL_LIBDIR})
  endforeach()
endforeach()
foreach(export shared static service-static)
  install(EXPORT cpgring-${export} NAMESPACE cpgring:: DESTINATION ${package_dir} FILE cpgring-${export}.cmake)
endforeach()
if(TARGET cpgring_cli)
  install(TARGETS cpgring_cli)
  cpgring_install_stripped(cpgring_cli ${CMAKE_INSTALL_BINDIR})
endif()
# In a directory of its own: a user who wants it instead of the stock library adds that directory to the library path.
if(TARGET cpgring_compat)
  install(TARGETS cpgring_compat LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/cpgring NAMELINK_SKIP)
  cpgring_install_stripped(cpgring_compat ${CMAKE_INSTALL_LIBDIR}/cpgring)
endif()
install(DIRECTORY include/cpgring TYPE INCLUDE FILES_MATCHING PATTERN *.hpp)

configure_package_config_file(scripts/cmake/cpgring-config.cmake.in cpgring-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(cpgring-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/cpgring-config.cmake ${PROJECT_BINARY_DIR}/cpgring-config-version.cmake DESTINATION ${package_dir})

# Relative to the file's own directory, so that the installed tree can be moved and 'cmake --install --prefix' is enough.
file(RELATIVE_PATH prefix_from_pkgconfig /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" prefix_from_pkgconfig ${prefix_from_pkgconfig})
foreach(name cpgring cpgring-service cpgring-testing)
  configure_file(scripts/cmake/${name}.pc.in ${name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()

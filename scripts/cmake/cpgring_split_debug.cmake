# Strips an installed file and keeps its debug information in the folder .debug beside it, where gdb finds it. An archive is only stripped:
# linkers can't follow a debug link. Input: CPGRING_FILE, CPGRING_OBJCOPY.
set(link)
get_filename_component(folder "${CPGRING_FILE}" DIRECTORY)
get_filename_component(name "${CPGRING_FILE}" NAME)
if(NOT name MATCHES "\\.a$")
  file(MAKE_DIRECTORY "${folder}/.debug")
  execute_process(COMMAND ${CPGRING_OBJCOPY} --only-keep-debug "${CPGRING_FILE}" "${folder}/.debug/${name}.debug" COMMAND_ERROR_IS_FATAL ANY)
  set(link "--add-gnu-debuglink=.debug/${name}.debug")
endif()
execute_process(COMMAND ${CPGRING_OBJCOPY} --strip-debug ${link} "${name}" WORKING_DIRECTORY "${folder}" COMMAND_ERROR_IS_FATAL ANY)

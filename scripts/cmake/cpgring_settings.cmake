# Compiler settings of all our code: C++20, warnings (errors in the presets), position-independent code, optional sanitizers, and ccache if
# it is installed.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Release, RelWithDebInfo or Debug" FORCE)
endif()

find_program(CPGRING_CCACHE ccache)
if(CPGRING_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER ${CPGRING_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CPGRING_CCACHE})
endif()

add_compile_options(-Wall -Wextra -Wpedantic -Wconversion)
if(CPGRING_WERROR)
  add_compile_options(-Werror)
endif()
if(CPGRING_SANITIZE)
  add_compile_options(-fsanitize=${CPGRING_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${CPGRING_SANITIZE})
  if(CPGRING_SANITIZE MATCHES undefined)
    add_compile_options(-fno-sanitize=vptr)  # probes memory through a pipe, and so fails where a test has used up the descriptors
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-maybe-uninitialized)  # GCC warns of reads that do not exist in instrumented code, as its manual says
  endif()
endif()

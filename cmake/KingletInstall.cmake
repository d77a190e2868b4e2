# What does `cmake --install` put where? The library, its headers, the CMake package and the pkg-config file.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(kinglet_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/kinglet)
install(TARGETS kinglet EXPORT kinglet-targets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/kinglet DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING
        PATTERN "*.hpp" PATTERN "*.h")
install(EXPORT kinglet-targets NAMESPACE kinglet:: DESTINATION ${kinglet_package_dir})

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/kinglet-config.cmake.in
                              ${PROJECT_BINARY_DIR}/package/kinglet-config.cmake
                              INSTALL_DESTINATION ${kinglet_package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/kinglet-config-version.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/package/kinglet-config.cmake
              ${PROJECT_BINARY_DIR}/package/kinglet-config-version.cmake ${CMAKE_CURRENT_LIST_DIR}/KingletUtf8proc.cmake
        DESTINATION ${kinglet_package_dir})

# The static library's own needs stand under Libs, so that a plain `pkg-config --libs kinglet` links.
file(RELATIVE_PATH KINGLET_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" KINGLET_PC_PREFIX "${KINGLET_PC_PREFIX}")
if(BUILD_SHARED_LIBS)
  set(KINGLET_PC_CFLAGS " -DKINGLET_SHARED")
  set(KINGLET_PC_LIBS "")
else()
  set(KINGLET_PC_CFLAGS "")
  set(KINGLET_PC_LIBS " -lutf8proc -pthread")
  if(KINGLET_CUDA_BACKEND)
    string(APPEND KINGLET_PC_LIBS " -L${CUDAToolkit_LIBRARY_DIR} -lcudart_static -lrt -ldl")
  endif()
endif()
configure_file(${CMAKE_CURRENT_LIST_DIR}/kinglet.pc.in ${PROJECT_BINARY_DIR}/package/kinglet.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/package/kinglet.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

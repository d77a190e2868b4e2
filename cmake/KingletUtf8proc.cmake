# Where is utf8proc? Defines the imported target kinglet::utf8proc, for our build and, installed beside
# kinglet-config.cmake, for a consumer that links the static library.

if(NOT TARGET kinglet::utf8proc)
  find_path(KINGLET_UTF8PROC_INCLUDE_DIR utf8proc.h)
  find_library(KINGLET_UTF8PROC_LIBRARY utf8proc)
  mark_as_advanced(KINGLET_UTF8PROC_INCLUDE_DIR KINGLET_UTF8PROC_LIBRARY)
  if(KINGLET_UTF8PROC_INCLUDE_DIR AND KINGLET_UTF8PROC_LIBRARY)
    add_library(kinglet::utf8proc UNKNOWN IMPORTED)
    set_target_properties(kinglet::utf8proc PROPERTIES
      IMPORTED_LOCATION "${KINGLET_UTF8PROC_LIBRARY}"
      INTERFACE_INCLUDE_DIRECTORIES "${KINGLET_UTF8PROC_INCLUDE_DIR}")
  endif()
endif()

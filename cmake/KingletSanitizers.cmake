# kinglet_unrolled(SOURCE...): sources that are mostly unrolled loops. With a check of the arithmetic at every address they
# would take minutes to compile; what is read and written is still checked by the address sanitizer.
function(kinglet_unrolled)
  if(CMAKE_CXX_FLAGS MATCHES "-fsanitize=[a-z,-]*undefined")
    set_property(SOURCE ${ARGN} APPEND PROPERTY COMPILE_OPTIONS -fno-sanitize=pointer-overflow)
  endif()
endfunction()

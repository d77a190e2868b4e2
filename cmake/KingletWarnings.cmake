# Which warnings does Kinglet's own code stand, and who sees them? Nobody but us: they are PRIVATE.

option(KINGLET_WERROR "Turn warnings into errors" OFF)

function(kinglet_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wconversion -Wshadow)
  if(KINGLET_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
endfunction()

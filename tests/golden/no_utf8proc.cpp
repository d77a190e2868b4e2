// tests/golden/no_utf8proc.cpp: what stands in for utf8proc where none is installed for the foreign machine?
//
// The golden models are fed tokens, not text: whoever asks for a character's properties there is wrong.
#include <utf8proc.h>

#include <cstdlib>

extern "C" {
utf8proc_category_t utf8proc_category(utf8proc_int32_t) { std::abort(); }
utf8proc_int32_t utf8proc_toupper(utf8proc_int32_t) { std::abort(); }
utf8proc_int32_t utf8proc_tolower(utf8proc_int32_t) { std::abort(); }
utf8proc_int32_t utf8proc_totitle(utf8proc_int32_t) { std::abort(); }
}

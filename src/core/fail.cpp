// core/fail.cpp: where is fmt compiled? Here, once: in every file that words an error it would cost seconds.
#define FMT_HEADER_ONLY
#include "core/fail.hpp"

#include <fmt/format.h>

#if FMT_VERSION < 110000
namespace fmt::detail {
// All that fmt::format_to_n leaves undefined.
template void vformat_to<char>(buffer<char>&, string_view, basic_format_args<format_context>, locale_ref);
}  // namespace fmt::detail
#endif

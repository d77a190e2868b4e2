// examples/cli/json_line.hpp: how does a command say JSON?
#pragma once
#include <nlohmann/json_fwd.hpp>

namespace kinglet::cli {

/// One line on stdout. Bytes that are no UTF-8 become U+FFFD.
void print_line(const nlohmann::ordered_json& out);

}  // namespace kinglet::cli

// examples/cli/json_line.cpp: JSON on stdout, a line at a time.
#include "json_line.hpp"

#include <cstdio>

#include <nlohmann/json.hpp>

namespace kinglet::cli {

void print_line(const nlohmann::ordered_json& out) {
  std::puts(out.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
}

}  // namespace kinglet::cli
